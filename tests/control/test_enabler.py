"""Whom the enabler tells, how often, and that it never makes anybody wait."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest

from tests.services import wait_until
from umbel.clock import ManualClock
from umbel.control.client_enabler import KNOWN, PENDING, EventsEnabler
from umbel.control.commands import Command, EnableEvents, Reply
from umbel.errors import ControlError

OK = {"ok": "task events enabled"}
UNAVAILABLE = {"error": "event dispatcher unavailable"}
#: Told to see that all before it was dealt with; never among what was sent.
MARKER = "marker@h"


class Recorded:
    """Takes commands as a broker would: at once, not at all, or when it is let; workers reply unless told not to."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.sent: list[Command] = []
        self.fails = 0
        self.gate = threading.Event()
        self.gate.set()
        self.closed = False
        #: Who replies to a broadcast to everybody, who never does, and who replies something else.
        self.present: list[str] = []
        self.silent: set[str] = set()
        self.answers: dict[str, Any] = {}
        self.markers = 0

    def send(self, command: Command) -> None:
        raise NotImplementedError

    def ask(self, command: Command, timeout: float = 1.0) -> Mapping[str, Any]:
        assert timeout <= 1.0
        if self.fails:
            self.fails -= 1
            raise ControlError("broker away")
        asked = command.destination or self.present
        others = tuple(name for name in command.destination if name != MARKER)
        if others or not command.destination:
            self.sent.append(EnableEvents(others))
        self.markers += len(command.destination) - len(others)
        self.gate.wait(60)
        return {name: self.answers.get(name, OK) for name in asked if name not in self.silent}

    def call(self, command: Command, timeout: float = 1.0, expected: Sequence[str] = ()) -> Iterator[Reply]:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True


Start = Callable[..., tuple[Recorded, EventsEnabler]]


@pytest.fixture
def start() -> Iterator[Start]:
    made: list[tuple[Recorded, EventsEnabler]] = []

    def begin(*, interval: float = 0.05, **state: Any) -> tuple[Recorded, EventsEnabler]:
        control = Recorded()
        for name, value in state.items():
            setattr(control, name, value)
        enabler = EventsEnabler(control, clock=control.clock, interval=interval, retry_max=0.1)
        made.append((control, enabler))
        return control, enabler

    yield begin
    for control, enabler in made:
        control.gate.set()
        enabler.stop()


def settled(control: Recorded, enabler: EventsEnabler) -> list[Command]:
    """What was sent, once all that was asked for and replied to before has had its effect."""
    for _ in range(2):
        before = control.markers

        def told(before: int = before) -> bool:
            # Left out where everybody is about to be told: then it is asked for again.
            enabler.came_online(MARKER)
            return control.markers > before

        wait_until(told, "the marker told", every=0.01)
    return list(control.sent)


def test_everybody_is_told_at_the_start(start: Start) -> None:
    control, _ = start()
    wait_until(lambda: control.sent == [EnableEvents()], "one broadcast")


def test_who_replies_to_the_first_broadcast_is_not_told_again(start: Start) -> None:
    control, enabler = start(present=["a@h", "b@h"], silent={"b@h"})
    settled(control, enabler)
    for _ in range(10):
        enabler.saw("a@h")
        enabler.saw("b@h")
    assert settled(control, enabler) == [EnableEvents(), EnableEvents(("b@h",))]


def test_a_worker_is_told_once_at_first_sight_and_each_time_it_comes_online(start: Start) -> None:
    control, enabler = start()
    settled(control, enabler)
    for _ in range(100):
        enabler.saw("a@h")
    wait_until(lambda: len(control.sent) == 2, "a told")
    control.clock.advance(3600)
    for _ in range(100):
        enabler.saw("a@h")
    assert settled(control, enabler)[1:] == [EnableEvents(("a@h",))]
    enabler.came_online("a@h")
    wait_until(lambda: len(control.sent) == 3, "a told again")
    assert control.sent[2] == EnableEvents(("a@h",))


def told_at(control: Recorded, enabler: EventsEnabler, hostname: str, sightings: int) -> list[float]:
    """Seconds after which the worker is told when it is seen every two, each sighting having its effect."""
    began, times = control.clock.monotonic(), []

    for _ in range(sightings):
        before = len(control.sent)
        enabler.saw(hostname)
        if any(hostname in command.destination for command in settled(control, enabler)[before:]):
            times.append(control.clock.monotonic() - began)
        control.clock.advance(2.0)
    return times


def test_a_worker_that_does_not_reply_is_told_again_ever_more_rarely(start: Start) -> None:
    control, enabler = start(silent={"a@h"}, interval=0.01)
    settled(control, enabler)
    times = told_at(control, enabler, "a@h", 100)
    gaps = [after - before for before, after in pairwise(times)]
    assert gaps == [2.0, 4.0, 8.0, 16.0, 30.0, 58.0, 60.0]


def test_a_worker_that_replies_late_is_left_alone_and_one_that_returns_is_told_at_once(start: Start) -> None:
    control, enabler = start(silent={"a@h"}, interval=0.01)
    settled(control, enabler)
    assert told_at(control, enabler, "a@h", 10) == [0.0, 2.0, 6.0, 14.0]
    enabler.came_online("a@h")
    wait_until(lambda: EnableEvents(("a@h",)) in control.sent[-1:], "a told at once")
    control.clock.advance(2.0)
    assert told_at(control, enabler, "a@h", 3) == [0.0, 4.0]
    control.silent.clear()
    control.clock.advance(60)
    assert told_at(control, enabler, "a@h", 20) == [0.0]


def test_an_absent_worker_is_not_told_for_ever(start: Start) -> None:
    control, enabler = start(silent={"a@h"})
    settled(control, enabler)
    enabler.came_online("a@h")
    wait_until(lambda: len(control.sent) == 2, "a told")
    control.clock.advance(3600)
    assert settled(control, enabler) == [EnableEvents(), EnableEvents(("a@h",))]


def test_a_reply_from_before_a_restart_does_not_count(start: Start) -> None:
    control, enabler = start()
    settled(control, enabler)
    control.gate.clear()
    enabler.saw("a@h")
    wait_until(lambda: len(control.sent) == 2, "a asked")
    enabler.came_online("a@h")
    control.gate.set()
    wait_until(lambda: len(control.sent) == 3, "the new a asked too")
    assert control.sent[2] == EnableEvents(("a@h",))


def test_a_reply_to_everybody_spares_those_seen_meanwhile(start: Start) -> None:
    gate = threading.Event()
    control, enabler = start(gate=gate, present=["a@h"])
    wait_until(lambda: control.sent, "the first broadcast")
    enabler.saw("a@h")
    gate.set()
    assert settled(control, enabler) == [EnableEvents()]


def test_a_worker_that_cannot_is_named_once_with_the_remedy(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    control, enabler = start(answers={"a@h": UNAVAILABLE})
    settled(control, enabler)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            enabler.saw("a@h")
            settled(control, enabler)
            control.clock.advance(60)
    assert control.sent[1:] == [EnableEvents(("a@h",))]
    assert [record.getMessage() for record in caplog.records] == [
        "a@h will send no task events: event dispatcher unavailable. Start with -E (--task-events)."
    ]


def test_many_workers_that_cannot_make_one_line(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    names = [f"w{number}@h" for number in range(2_000)]
    with caplog.at_level(logging.WARNING):
        control, enabler = start(present=names, answers=dict.fromkeys(names, UNAVAILABLE))
        settled(control, enabler)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("w0@h, w1@h, w2@h, w3@h, w4@h and 1,995 more will send no task events: event dispatcher")


def test_sightings_of_one_moment_share_a_broadcast(start: Start) -> None:
    control, enabler = start(interval=0.5)
    wait_until(lambda: control.sent, "the first broadcast")
    for number in range(50):
        enabler.saw(f"w{number}@h")
    wait_until(lambda: len(control.sent) >= 2, "the next")
    settled(control, enabler)
    told = [name for command in control.sent[1:] for name in command.destination]
    assert sorted(told) == sorted(f"w{number}@h" for number in range(50))
    assert len(control.sent) <= 3


def test_more_than_can_wait_become_everybody(start: Start) -> None:
    control, enabler = start()
    settled(control, enabler)
    control.gate.clear()
    enabler.saw("first@h")
    wait_until(lambda: len(control.sent) == 2, "the first worker told")
    for number in range(PENDING + 10):
        enabler.saw(f"w{number}@h")
    control.gate.set()
    wait_until(lambda: len(control.sent) == 3, "two more broadcasts")
    assert control.sent[2] == EnableEvents()


def test_many_absent_ones_grow_rare_too(start: Start) -> None:
    names = [f"w{number}@h" for number in range(PENDING + 1)]
    control, enabler = start(silent=set(names), interval=0.01)
    settled(control, enabler)
    before = len(control.sent)
    for _ in range(30):
        for name in names:
            enabler.saw(name)
        settled(control, enabler)
        control.clock.advance(2.0)
    assert 5 <= len(control.sent) - before <= 12


def test_no_more_workers_are_remembered_than_allowed(start: Start) -> None:
    names = [f"w{number}@h" for number in range(KNOWN + 1)]
    control, enabler = start(present=names)
    settled(control, enabler)
    enabler.saw(names[-1])
    enabler.saw(names[0])
    assert settled(control, enabler)[1:] == [EnableEvents((names[0],))]


def test_after_failures_everybody_is_told(start: Start) -> None:
    control, enabler = start(fails=3)
    enabler.saw("a@h")
    wait_until(lambda: control.sent, "a broadcast in spite of all")
    assert control.sent == [EnableEvents()]


def test_a_worker_that_was_told_before_a_failure_must_reply_again(start: Start) -> None:
    control, enabler = start(present=["a@h"])
    settled(control, enabler)
    control.present, control.fails = [], 1
    enabler.saw("b@h")
    wait_until(lambda: len(control.sent) == 2, "everybody told")
    enabler.saw("a@h")
    wait_until(lambda: control.sent[2:] == [EnableEvents(("a@h",))], "a told again")


def test_a_strange_answer_does_not_end_it(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    control, enabler = start(answers={"a@h": None})
    settled(control, enabler)
    answers, control.answers = control.answers, None  # type: ignore[assignment]
    with caplog.at_level(logging.WARNING):
        enabler.saw("b@h")
        wait_until(lambda: "could not be told" in caplog.text, "the failure in the log")
    control.answers = answers
    settled(control, enabler)
    enabler.saw("a@h")
    wait_until(lambda: EnableEvents(("a@h",)) in control.sent, "others are told still")


def test_a_broker_that_hangs_keeps_neither_callers_nor_stop_waiting(start: Start) -> None:
    control, enabler = start()
    settled(control, enabler)
    control.gate.clear()
    enabler.saw("a@h")
    wait_until(lambda: len(control.sent) == 2, "a question under way")
    began = time.monotonic()
    for number in range(1_000):
        enabler.saw(f"w{number}@h")
        enabler.came_online(f"w{number}@h")
    assert time.monotonic() - began < 10
    began = time.monotonic()
    enabler.stop()
    assert time.monotonic() - began < 20


def test_stop_closes_the_control_and_may_be_repeated(start: Start) -> None:
    control, enabler = start()
    enabler.stop()
    enabler.stop()
    assert control.closed
