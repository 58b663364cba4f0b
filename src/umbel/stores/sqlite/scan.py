"""Walking the segments for the tasks that may match, in order of `n`, a stretch at a time, until the time is up."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final, TypeVar

from umbel.clock import Clock
from umbel.model.query import Node, Order
from umbel.stores.sqlite.bitmaps import positions_of
from umbel.stores.sqlite.candidates import asks_for_open, candidates, not_ended
from umbel.stores.sqlite.compile import Condition
from umbel.stores.sqlite.sessions import Listed, OpenSegment, Session
from umbel.stores.sqlite.texts import Texts

#: Tasks looked at in the first stretch, and at most in one; where only the chosen ones are, likewise.
FIRST: Final = 4_000
LONGEST: Final = 1_000_000
FIRST_CHOSEN: Final = 64
LONGEST_CHOSEN: Final = 4_096
#: A stretch that took less than this (seconds) is followed by one four times as long.
QUICK: Final = 0.05

T = TypeVar("T")


class OutOfTime(Exception):
    """A question to a segment was interrupted."""


@dataclass(slots=True)
class Area:
    """The part of one segment that a walk has to look at: tasks with low <= n < high."""

    listed: Listed
    low: int
    high: int
    #: Positions that may match; None: all.
    bits: int | None
    #: Whether all of them do.
    exact: bool
    #: What packed texts tell, where `bits` tell nothing.
    texts: Texts | None = None
    #: Has been looked at.
    done: bool = False


@dataclass(frozen=True, slots=True)
class Stretch:
    """A piece of an area: tasks with low <= n < high, or only the chosen ones, in order."""

    number: int
    low: int
    high: int
    chosen: list[int] | None
    #: Where the walk has come to after it.
    at: int


class Scan:
    """One walk."""

    def __init__(
        self,
        session: Session,
        where: Node,
        condition: Condition,
        *,
        order: Order,
        cursor: int | None,
        clock: Clock,
        budget: float,
    ) -> None:
        self.session = session
        self.newest_first = order is Order.NEWEST
        self._where = where
        self._not_ended = asks_for_open(where)
        self._condition = condition
        self._cursor = cursor
        self._clock = clock
        self._deadline = clock.monotonic() + budget
        self._length, self._chosen_length = FIRST, FIRST_CHOSEN
        #: Where the walk has come to, and whether that is the end.
        self.at: int | None = None
        self.complete = False

    def is_late(self) -> bool:
        """Is the time up? Not before something has been looked at."""
        return self.at is not None and self._clock.monotonic() >= self._deadline

    def until(self, deadline: float) -> None:
        """Have the time be up then (monotonic seconds), be it later or sooner than it was."""
        self._deadline = deadline

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Interrupt what takes too long inside, and end it there."""
        self.session.late = self.is_late
        try:
            yield
        except OutOfTime:
            pass
        finally:
            self.session.late = None

    def areas(self) -> Iterator[Area]:
        """Where to look, segment by segment; the caller looks at each until it is `done` or the time is up."""
        segments = [listed for listed in self.session.segments() if _overlaps(listed, self._condition)]
        for listed in segments if self.newest_first else reversed(segments):
            low, high = self._bounds(listed)
            if low >= high:
                continue
            if self.is_late():
                return
            found = self.ask(listed.number, partial(self._candidates, first_n=listed.first_n))
            bits, exact = found or (None, False)
            area = Area(listed, low, high, bits, exact, None if found else self._texts(listed))
            yield area
            if not area.done:
                return
            self.at = low if self.newest_first else high - 1
        self.complete = True

    def _bounds(self, listed: Listed) -> tuple[int, int]:
        if self._cursor is None:
            return listed.first_n, listed.end_n
        if self.newest_first:
            return listed.first_n, min(listed.end_n, self._cursor)
        return max(listed.first_n, self._cursor + 1), listed.end_n

    def _candidates(self, segment: OpenSegment, first_n: int) -> tuple[int, bool] | None:
        if segment.sealed is not None:
            return candidates(segment, segment.sealed, self._where)
        return not_ended(segment, first_n) if self._not_ended and segment.notes_open else None

    def _texts(self, listed: Listed) -> Texts | None:
        if not self._condition.texts:
            return None
        return self.ask(listed.number, lambda segment: Texts.of(segment, listed, self._where, self.session.packs))

    def stretches(self, area: Area) -> Iterator[Stretch]:
        """An area piece by piece, as long as there is time."""
        for stretch in self._pieces(area):
            if self.is_late():
                return
            if stretch.chosen == []:
                self.at = stretch.at
                continue
            started = self._clock.monotonic()
            yield stretch
            self.at = stretch.at
            if self._clock.monotonic() - started < QUICK:
                self._length = min(self._length * 4, LONGEST)
                self._chosen_length = min(self._chosen_length * 4, LONGEST_CHOSEN)
        area.done = True

    def _pieces(self, area: Area) -> Iterator[Stretch]:
        if area.bits is not None:
            return self._chosen(area, area.bits)
        return self._whole(area) if area.texts is None else self._packed(area, area.texts)

    def _packed(self, area: Area, texts: Texts) -> Iterator[Stretch]:
        number = area.listed.number
        for start, end in texts.spans(area.low, area.high, newest_first=self.newest_first):
            low, high = max(start, area.low), min(end, area.high)
            packed = texts.remembered(start) or self.ask(number, partial(texts.pack, low=start, high=end))
            chosen = texts.look(packed, low, high) if packed else None
            if chosen:
                chosen = [n for n in (reversed(chosen) if self.newest_first else chosen) if low <= n < high]
            yield Stretch(number, low, high, chosen, low if self.newest_first else high - 1)

    def _whole(self, area: Area) -> Iterator[Stretch]:
        low, high, number = area.low, area.high, area.listed.number
        while low < high:
            if self.newest_first:
                start = max(low, high - self._length)
                yield Stretch(number, start, high, None, start)
                high = start
            else:
                end = min(high, low + self._length)
                yield Stretch(number, low, end, None, end - 1)
                low = end

    def _chosen(self, area: Area, bits: int) -> Iterator[Stretch]:
        first_n = area.listed.first_n
        below, end = area.low - first_n, area.high - first_n
        # Only behind a cursor: each of these goes through all of the bits.
        if end < area.listed.tasks:
            bits &= (1 << end) - 1
        if below:
            bits = bits >> below << below
        positions = positions_of(bits, descending=self.newest_first)
        while chosen := [first_n + at for at in islice(positions, self._chosen_length)]:
            yield Stretch(area.listed.number, area.low, area.high, chosen, chosen[-1])

    def ask(self, number: int, question: Callable[[OpenSegment], T | None]) -> T | None:
        """What a segment answers; None where it has no answer. Raises `OutOfTime`."""
        segment = self.session.segment(number)
        if segment is None:
            return None
        try:
            return question(segment)
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", 0)
            # Of what a function of ours asks, SQLite only says that the function failed.
            if code == sqlite3.SQLITE_INTERRUPT or (code == sqlite3.SQLITE_ERROR and self.is_late()):
                raise OutOfTime from error
            self.session.spoil(number, error)
            return None


def _overlaps(listed: Listed, condition: Condition) -> bool:
    since, until = condition.since, condition.until
    return (since is None or listed.last_at >= since) and (until is None or listed.first_at <= until)
