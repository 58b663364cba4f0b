"""The labels that a store's counters tell apart: bounded in number, what comes beyond is counted together.

See `umbel.model.meter` for the counters; each has a kind and a pair of labels, such as task and worker. Where there is
no room for a pair, its second label goes first: what is asked of a task stays true however many workers there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from umbel.model.meter import Counters, Meter, Pair, extend

#: Pairs that each kind tells apart; one of a histogram is some twenty series on the page of metrics.
PAIRS: Final[Mapping[int, int]] = {
    Meter.EVENTS: 1_000,
    Meter.RUN: 200,
    Meter.WAIT: 100,
    Meter.FAILURES: 400,
    Meter.PREFETCH: 400,
}
#: First labels that are told apart beyond those, each with all its second labels together.
FIRSTS: Final[Mapping[int, int]] = {
    Meter.EVENTS: 250,
    Meter.RUN: 200,
    Meter.WAIT: 0,
    Meter.FAILURES: 200,
    Meter.PREFETCH: 200,
}
OTHER: Final = "other"
#: Seconds after which a pair that nothing was counted for makes room for a new one.
IDLE: Final = 86_400.0
#: Characters of a label.
LABEL: Final = 200

#: Kind, three labels, count, seconds, and the wall time of the change.
Row = tuple[int, str, str, str, int, float, float]


class Pairs:
    """Which pairs there are, each with the wall time of its latest change."""

    def __init__(
        self,
        known: Iterable[tuple[int, str, str, float]],
        pairs: Mapping[int, int] = PAIRS,
        firsts: Mapping[int, int] = FIRSTS,
    ) -> None:
        """`pairs` and `firsts`: how many of each kind may be told apart."""
        self._pairs, self._firsts = pairs, firsts
        self._known: dict[Pair, float] = {(kind, a, b): at for kind, a, b, at in known}
        #: By kind, and whether the second label is `OTHER`.
        self._count = Counter(map(_sort, self._known))
        #: Wall time before which no pair of a kind is idle: a full kind is not looked through for each new pair.
        self._busy_until: dict[int, float] = {}

    def place(self, meters: Mapping[Pair, Counters], now: float) -> tuple[dict[Pair, Counters], list[Pair]]:
        """What is added under the pairs that are told apart, and the idle pairs that are to be dropped before."""
        placed: dict[Pair, Counters] = {}
        gone: list[Pair] = []
        for (kind, a, b), counters in meters.items():
            pair = self._place((kind, a[:LABEL], b[:LABEL]), now, gone)
            if pair not in self._known:
                self._count[_sort(pair)] += 1
            self._known[pair] = now
            if pair in placed:
                extend(kind, placed[pair], counters)
            else:
                placed[pair] = dict(counters)
        return placed, gone

    def rows(self, meters: Mapping[Pair, Counters], now: float) -> tuple[list[Row], list[Pair]]:
        """The same with a row for each counter, in their order."""
        placed, gone = self.place(meters, now)
        rows = [
            (*pair, label, count, seconds, now)
            for pair, counters in placed.items()
            for label, (count, seconds) in counters.items()
        ]
        return sorted(rows), gone

    def _place(self, pair: Pair, now: float, gone: list[Pair]) -> Pair:
        """The pair that this one is counted under."""
        kind, a, b = pair
        if pair in self._known or self._room(kind, now, gone):
            return pair
        if not b:
            # A publisher is no worker, and a queue has no second label: neither becomes `OTHER` there.
            return kind, OTHER, ""
        first = (kind, a, OTHER)
        if first in self._known or self._count[kind, True] < self._firsts[kind]:
            return first
        return kind, OTHER, OTHER

    def _room(self, kind: int, now: float, gone: list[Pair]) -> bool:
        """Whether one more pair may be told apart; the idle ones go for it."""
        if self._count[kind, False] < self._pairs[kind]:
            return True
        if kind in self._busy_until and now <= self._busy_until[kind]:
            return False
        told = {pair: at for pair, at in self._known.items() if pair[0] == kind and pair[1] != OTHER}
        idle = [pair for pair, at in told.items() if now - at > IDLE]
        for pair in idle:
            del self._known[pair], told[pair]
            self._count[_sort(pair)] -= 1
        gone += idle
        self._busy_until[kind] = min(told.values(), default=now) + IDLE
        return self._count[kind, False] < self._pairs[kind]


def _sort(pair: Pair) -> tuple[int, bool]:
    return pair[0], pair[2] == OTHER
