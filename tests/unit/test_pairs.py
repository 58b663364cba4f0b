"""The counters that a store tells apart: so many of each kind, the idle ones make room, and looking costs little."""

from __future__ import annotations

from umbel.model.meter import Meter
from umbel.stores.pairs import IDLE, OTHER, Pairs

FULL = 50


def full(firsts: int = 0) -> Pairs:
    return Pairs((), {Meter.RUN: FULL}, {Meter.RUN: firsts})


def pair(number: int) -> tuple[int, str, str]:
    return (Meter.RUN, f"task{number}", "w")


def place(pairs: Pairs, numbers: range, now: float) -> tuple[set[tuple[int, str, str]], list[tuple[int, str, str]]]:
    placed, gone = pairs.place({pair(number): {"": (1, 0.5)} for number in numbers}, now)
    return set(placed), gone


def test_what_comes_beyond_the_bound_is_counted_together() -> None:
    pairs = full()
    placed, gone = place(pairs, range(FULL + 20), 0.0)
    assert placed == {*(pair(number) for number in range(FULL)), (Meter.RUN, OTHER, OTHER)}
    assert gone == []


def test_the_worker_goes_first_and_a_publisher_becomes_none() -> None:
    pairs = full(firsts=10)
    place(pairs, range(FULL), 0.0)
    many = {(Meter.RUN, f"more{n}", worker): {"": (1, 0.5)} for n in range(12) for worker in ("", "w1", "w2")}
    placed, _ = pairs.place(many, 0.0)  # type: ignore[arg-type] # a kind is a number
    assert {key: counters[""][0] for key, counters in placed.items()} == {
        **{(Meter.RUN, f"more{n}", OTHER): 2 for n in range(10)},
        (Meter.RUN, OTHER, OTHER): 4,
        (Meter.RUN, OTHER, ""): 12,
    }


def test_pairs_that_were_idle_for_a_day_make_room_although_others_came_in_vain_before() -> None:
    pairs = full()
    place(pairs, range(FULL), 0.0)
    place(pairs, range(10), 5.0)
    for now in (10.0, IDLE):
        assert place(pairs, range(1000, 1001), now) == ({(Meter.RUN, OTHER, OTHER)}, [])
    placed, gone = place(pairs, range(1000, 1001), IDLE + 0.5)
    assert set(gone) == {pair(number) for number in range(10, FULL)}
    assert placed == {pair(1000)}


class Asked(float):
    """A time that counts how often it was asked for a difference."""

    times = 0

    def __sub__(self, other: float) -> float:
        Asked.times += 1
        return float(self) - other


def test_a_full_kind_is_not_looked_through_for_each_new_pair() -> None:
    pairs = full()
    place(pairs, range(FULL), 0.0)
    Asked.times = 0
    place(pairs, range(FULL, 100 * FULL), Asked(1.0))
    assert Asked.times <= 2 * FULL
