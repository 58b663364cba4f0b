"""Pending, firing, over: what is told is what holds, once, whatever trembles, restarts or is silenced."""

from __future__ import annotations

from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from umbel.alerts.machine import FOLLOWED, GATHER, Finding, Phase, Reading, State, Step, step
from umbel.alerts.rules import Kind, Rule

T = 1_750_000_000.0


class Play:
    """A rule's life: each look stored and read again, as by a process that restarts in between."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.state = State()
        self.silent: set[str] = set()
        self.told: list[tuple[str, str]] = []

    def look(self, now: float, *keys: str, error: str = "") -> Step:
        reading = Reading({key: Finding(f"{key} is bad") for key in keys}, error=error)
        stored = msgspec.json.decode(msgspec.json.encode(self.state), type=State)
        made = step(self.rule, stored, reading, T + now, self.silent.__contains__)
        self.state = made.state
        self.told += [("firing", key) for key in made.firing] + [("over", key) for key in made.over]
        return made


def rule(hold: float = 0.0, keep: float = 0.0, **more: float) -> Rule:
    return Rule("r", Kind.UMBEL, hold=hold, keep=keep, **more)  # type: ignore[arg-type]


def test_it_fires_once_it_has_held_for_long_enough_and_says_when_it_is_over() -> None:
    play = Play(rule(hold=60))
    play.look(0, "a")
    play.look(59, "a")
    assert play.told == []
    assert play.state.instances["a"].phase is Phase.PENDING
    turn = play.look(60, "a").turns[0]
    assert (turn.key, turn.fired) == ("a", True)
    play.look(75, "a")
    play.look(90)
    assert play.told == [("firing", "a"), ("over", "a")]
    assert play.state.instances == {}


def test_what_holds_too_shortly_is_never_told_and_waits_anew() -> None:
    play = Play(rule(hold=60))
    for now in range(0, 600, 30):
        play.look(now, *(("a",) if now % 60 == 0 else ()))
    assert play.told == []


def test_what_trembles_is_told_once_and_over_once_when_it_has_been_quiet() -> None:
    play = Play(rule(keep=60))
    for now in range(0, 300, 15):
        play.look(now, *(("a",) if now % 45 == 0 else ()))
    assert play.told == [("firing", "a")]
    for now in range(300, 500, 15):
        play.look(now)
    assert play.told == [("firing", "a"), ("over", "a")]


def test_what_fires_together_is_told_together_and_what_follows_soon_is_gathered() -> None:
    play = Play(rule())
    assert set(play.look(0, "a", "b").firing) == {"a", "b"}
    assert play.look(10, "a", "b", "c").firing == {}
    play.look(20, "a", "c", "d")
    made = play.look(GATHER, "a", "c", "d")
    assert (set(made.firing), set(made.over)) == ({"c", "d"}, {"b"})


def test_what_has_fired_and_ended_before_it_could_be_told_is_told_as_over() -> None:
    play = Play(rule())
    play.look(0, "a")
    play.look(5, "a", "b")
    play.look(10, "a")
    made = play.look(GATHER + 1, "a")
    assert (set(made.firing), set(made.over)) == (set(), {"b"})


def test_a_silence_holds_back_what_fires_until_it_ends_and_never_the_end_of_what_was_told() -> None:
    play = Play(rule())
    play.look(0, "told")
    play.silent = {"told", "held", "short"}
    play.look(100, "told", "held", "short")
    play.look(200, "held")
    assert play.told == [("firing", "told"), ("over", "told")]
    play.silent = set()
    play.look(300, "held")
    assert play.told[2:] == [("firing", "held")]


def test_it_is_told_again_where_the_rule_says_so() -> None:
    play = Play(rule(repeat=600))
    for now in range(0, 1_300, 50):
        play.look(now, "a")
    assert play.told == [("firing", "a")] * 3


def test_what_cannot_be_judged_stays_as_it_was() -> None:
    play = Play(rule(hold=30))
    play.look(0, "a")
    before = play.state
    made = play.look(1_000, error="the broker is away")
    assert (made.state, made.turns, play.told) == (before, (), [])


def test_a_new_kind_of_failure_has_no_recovery() -> None:
    play = Play(Rule("new", Kind.EXCEPTION))
    play.look(0, "f")
    play.look(4_000)
    assert play.told == [("firing", "f")]
    assert play.state.instances == {}


def test_a_clock_that_is_set_back_neither_fires_at_once_nor_hangs() -> None:
    play = Play(rule(hold=60, keep=60))
    play.look(10_000, "a")
    play.look(0, "a")
    assert play.told == []
    play.look(60, "a")
    assert play.told == [("firing", "a")]
    play.look(-5_000)
    play.look(-4_900)
    assert play.told == [("firing", "a"), ("over", "a")]


def test_the_worst_of_many_are_followed_and_no_more() -> None:
    play = Play(rule())
    found = {f"{n:04}": Finding("", weight=n) for n in range(5_000)}
    made = step(play.rule, State(), Reading(found), T)
    assert len(made.state.instances) == FOLLOWED
    assert "4999" in made.state.instances


looks = st.lists(
    st.tuples(st.floats(0.5, 90), st.sets(st.sampled_from("abc")), st.booleans(), st.sets(st.sampled_from("abc"))),
    max_size=60,
)


@given(looks, st.sampled_from([0.0, 20.0, 60.0]), st.sampled_from([0.0, 20.0, 60.0]))
def test_whatever_happens_each_thing_is_told_in_turns_and_the_last_word_is_true(
    history: list[tuple[float, set[str], bool, set[str]]], hold: float, keep: float
) -> None:
    play, now = Play(rule(hold, keep)), 0.0
    for pause, holds, blind, silent in history:
        now += pause
        play.silent = silent
        play.look(now, *holds, error="blind" if blind else "")
    play.silent = set()
    # Quiet at last, for long enough: everybody has heard of the end.
    for _ in range(6):
        now += 61.0
        play.look(now)
    assert play.state.instances == {}
    for key in "abc":
        words = [word for word, told in play.told if told == key]
        # Never twice firing without an end between; an end alone tells of what was over before it could be told.
        assert all(not (one == two == "firing") for one, two in pairwise(words))
        assert not words or words[-1] == "over"


@given(st.lists(st.sets(st.sampled_from("abc")), max_size=30))
def test_without_a_silence_whatever_fires_is_told(history: list[set[str]]) -> None:
    play, fired, now = Play(rule()), set[str](), 0.0
    for holds in history:
        now += 15.0
        fired |= {turn.key for turn in play.look(now, *holds).turns if turn.fired}
    for _ in range(3):
        now += 61.0
        play.look(now)
    assert {key for _word, key in play.told} == fired
