"""Walking the parts for the tasks that match, in order of `n`, a stretch at a time, until the time is up."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from math import inf
from typing import Any, Final

import psycopg

from umbel.clock import Clock
from umbel.errors import QueryError
from umbel.model.query import Order, Page
from umbel.model.task import Summary
from umbel.stores.base import Count, TaskPage
from umbel.stores.postgres.compile import Condition
from umbel.stores.postgres.rows import SUMMARY_COLUMNS, summary_of
from umbel.stores.postgres.sessions import ReadSession
from umbel.stores.postgres.zones import ranges

#: Tasks looked at in the first stretch, and at most in one.
FIRST: Final = 4_000
LONGEST: Final = 1_000_000
#: Times as long is the next stretch, if as many times what this one took is less than a half of the time left.
GROWTH: Final = 4


@dataclass(frozen=True, slots=True)
class Listed:
    """A part as readers see it; its tasks have first_n <= n < end_n."""

    number: int
    first_n: int
    end_n: int
    tasks: int
    first_at: float
    last_at: float
    first_minute: int
    last_minute: int
    touched_at: float


@dataclass(frozen=True, slots=True)
class Stretch:
    """A piece of one part: tasks with low <= n < high."""

    part: int
    low: int
    high: int


def parts_of(session: ReadSession) -> list[Listed]:
    """The parts that have tasks, the newest first."""
    found = []
    end: int | None = None
    for number, first_n, next_n, *rest in session.query("parts"):
        found.append(Listed(number, first_n, next_n if end is None else end, *rest))
        end = first_n
    return found


class Scan:
    """One walk; `stretches` says where to look next, and stops when the time is up."""

    def __init__(self, session: ReadSession, condition: Condition, order: Order, cursor: int | None) -> None:
        self._parts = [part for part in parts_of(session) if _overlaps(part, condition)]
        self._passed = _passed(session, condition, self._parts)
        if order is Order.OLDEST:
            self._parts.reverse()
        self._newest_first = order is Order.NEWEST
        self._cursor = cursor
        #: Where the walk has come to, and whether that is the end.
        self.at: int | None = None
        self.part = 0
        self.complete = False

    def stretches(self, clock: Clock, budget: float, whole: Container[int] = ()) -> Iterator[Stretch]:
        """Where to look next; parts that are `whole` are looked at in one piece, as an index answers for them."""
        deadline = clock.monotonic() + budget
        length = FIRST
        for part, first, end in self._ranges():
            low, high = first, end
            while low < high:
                if self.at is not None and clock.monotonic() >= deadline:
                    return
                started = clock.monotonic()
                size = high - low if part.number in whole else length
                if self._newest_first:
                    stretch = Stretch(part.number, max(low, high - size), high)
                    high = stretch.low
                else:
                    stretch = Stretch(part.number, low, min(high, low + size))
                    low = stretch.high
                yield stretch
                self.part = part.number
                self.at = stretch.low if self._newest_first else stretch.high - 1
                now = clock.monotonic()
                if GROWTH * (now - started) < (deadline - now) / 2:
                    length = min(length * GROWTH, LONGEST)
        self.complete = True

    def _ranges(self) -> Iterator[tuple[Listed, int, int]]:
        """What of the parts is to be looked at, in order."""
        for part in self._parts:
            found = list(ranges(*self._bounds(part), self._passed.get(part.number, ())))
            for low, high in reversed(found) if self._newest_first else found:
                yield part, low, high

    def _bounds(self, part: Listed) -> tuple[int, int]:
        if self._cursor is None:
            return part.first_n, part.end_n
        if self._newest_first:
            return part.first_n, min(part.end_n, self._cursor)
        return max(part.first_n, self._cursor + 1), part.end_n


def _overlaps(part: Listed, condition: Condition) -> bool:
    since, until = condition.since, condition.until
    return (since is None or part.last_at >= since) and (until is None or part.first_at <= until)


def _passed(session: ReadSession, condition: Condition, parts: list[Listed]) -> dict[int, set[int]]:
    """By part: the zones in which nothing can match, by the times that the condition tells."""
    found: dict[int, set[int]] = {}
    if condition.since is None and condition.until is None:
        return found
    since = -inf if condition.since is None else condition.since
    until = inf if condition.until is None else condition.until
    for part, zone in session.query("zones", [part.number for part in parts], since, until):
        found.setdefault(part, set()).add(zone)
    return found


class _Asking:
    """The statements that a search asks of stretches: with the hint where the part has an index for it."""

    def __init__(self, session: ReadSession, condition: Condition) -> None:
        self._session = session
        self._condition = condition
        self.indexed = {number for (number,) in session.query("indexed")} if condition.hint else set[int]()

    def rows(self, stretch: Stretch, what: str, tail: str, limit: int, *, around: str = "{}") -> list[Any]:
        """What is selected of the tasks that match, up to a limit."""
        condition = self._condition
        where, parameters = f"({condition.sql})", condition.parameters
        if stretch.part in self.indexed:
            where, parameters = f"{condition.hint} AND {where}", (*condition.hint_parameters, *parameters)
        sql = f"SELECT {what} FROM task WHERE part = %s AND n >= %s AND n < %s AND {where} {tail} LIMIT %s"  # noqa: S608 - built by us
        span = (stretch.part, stretch.low, stretch.high)
        return self._session.rows(around.format(sql), (*span, *parameters, limit))


def page_of(session: ReadSession, condition: Condition, page: Page, clock: Clock, budget: float) -> TaskPage:
    """One page of the tasks that match."""
    scan = Scan(session, condition, page.order, parse_cursor(page.cursor))
    budget = budget if page.within is None else min(budget, page.within)
    direction = "DESC" if page.order is Order.NEWEST else "ASC"
    ask = _Asking(session, condition)
    items: list[Summary] = []
    last = 0
    try:
        for stretch in scan.stretches(clock, budget, ask.indexed):
            for row in ask.rows(stretch, SUMMARY_COLUMNS, f"ORDER BY n {direction}", page.limit + 1 - len(items)):
                if len(items) == page.limit:
                    return TaskPage(items, str(last))
                items.append(summary_of(row))
                last = row[0]
    except psycopg.errors.QueryCanceled:
        # The server's own time limit. The stretch is looked at again by whoever goes on, from a short one.
        if scan.at is None:
            raise
    if scan.complete or scan.at is None:
        return TaskPage(items, None)
    return TaskPage(items, str(scan.at), complete=False, covered_since=_first_seen(session, scan))


def _first_seen(session: ReadSession, scan: Scan) -> float | None:
    """When the last task that was looked at was first seen, by its own events."""
    rows = session.query("first_seen", scan.part, scan.at)
    return rows[0][0] if rows else None


def count_of(session: ReadSession, condition: Condition, cap: int, clock: Clock, budget: float) -> Count:
    """How many tasks match, up to `cap`."""
    scan = Scan(session, condition, Order.NEWEST, None)
    ask = _Asking(session, condition)
    n = 0
    try:
        for stretch in scan.stretches(clock, budget, ask.indexed):
            n += ask.rows(stretch, "1", "", cap + 1 - n, around="SELECT count(*) FROM ({}) AS found")[0][0]
            if n > cap:
                return Count(cap, capped=True)
    except psycopg.errors.QueryCanceled:
        # The server's own time limit: there are at least these.
        return Count(n, capped=True)
    return Count(n, capped=not scan.complete)


def parse_cursor(text: str) -> int | None:
    """The order number that a cursor names; raises `QueryError` for what is none."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise QueryError("the cursor is none that this store gave", 0)
    return int(text)
