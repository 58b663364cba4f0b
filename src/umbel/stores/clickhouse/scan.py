"""Walking the tasks that match in order of when they were first seen, a stretch at a time, until the time is up.

Tasks of a stretch are those whose least n lies in it. Their rows lie in it as well, but for strays, whose other rows
are fetched from where `stray` says that they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from umbel.clock import Clock
from umbel.errors import QueryError
from umbel.model.query import Order, Page
from umbel.stores.clickhouse.compile import Condition
from umbel.stores.clickhouse.connection import ANSWER, Connection, OutOfTime
from umbel.stores.clickhouse.facts import facts_in
from umbel.stores.sqlfile import load

#: Rows looked at in the first stretch, and at most in one.
FIRST: Final = 4_000
LONGEST: Final = 1_000_000
#: Times as long is the next stretch, if as many times what this one took is less than a half of the time left: each
#: query takes something of its own, however short its stretch and whatever else the machine does.
GROWTH: Final = 4
#: Beyond every n.
END: Final = 10**18 - 1

SQL: Final = load(Path(__file__).with_name("reader.sql"))

Cursor = tuple[int, str]
Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Found:
    """Keys of tasks that match, in order; where to go on, and whether all was looked at until there."""

    keys: Sequence[Cursor]
    next: str | None
    complete: bool = True
    #: Where the walk has come to, UTC seconds, if it is not complete.
    reached: float | None = None


class Scan:
    """One walk over ranges of n (ascending, apart from each other)."""

    def __init__(
        self, connection: Connection, condition: Condition, ranges: Sequence[Range], clock: Clock, budget: float
    ) -> None:
        self._connection = connection
        self._condition = condition
        self._ranges = ranges
        self._clock = clock
        self._deadline = clock.monotonic() + budget
        #: Whether the walk came to its end.
        self.complete = False

    def stretches(self, order: Order, cursor: Cursor | None, length: int) -> Iterator[Range]:
        """Where to look next; ends when the time is up, but never before the first."""
        newest = order is Order.NEWEST
        first = True
        for whole in reversed(self._ranges) if newest else self._ranges:
            rest = _beyond(whole, cursor, newest=newest)
            while rest[0] < rest[1]:
                began = self._clock.monotonic()
                if not first and began >= self._deadline:
                    return
                first = False
                stretch = self._stretch(rest, length, newest=newest)
                if stretch is None:
                    break
                rest = (rest[0], stretch[0]) if newest else (stretch[1], rest[1])
                yield stretch
                now = self._clock.monotonic()
                if GROWTH * (now - began) < (self._deadline - now) / 2:
                    length = min(length * GROWTH, LONGEST)
        self.complete = True

    def _stretch(self, rest: Range, length: int, *, newest: bool) -> Range | None:
        """The end of a range that holds about `length` rows, or None if there are none."""
        low, high = rest
        name = "newest_stretch" if newest else "oldest_stretch"
        parameters = {"low": low, "high": high, "length": length}
        rows = self._connection.query(SQL[name], parameters)
        count, bound = rows[0]
        if not count:
            return None
        if count < length:
            return low, high
        return (bound, high) if newest else (low, bound + 1)

    def seconds(self, first: bool) -> float:
        """What a query may take: the first one of a walk may overrun the budget, so that each brings it on."""
        return ANSWER / 2 if first else self._deadline - self._clock.monotonic()

    def keys(self, stretch: Range, order: Order, cursor: Cursor | None, limit: int, seconds: float) -> list[Cursor]:
        """The first matches of a stretch beyond the cursor."""
        direction, beyond = ("DESC", "<") if order is Order.NEWEST else ("ASC", ">")
        parameters: dict[str, Any] = {"limit": limit}
        tail = f"ORDER BY n0 {direction}, id {direction} LIMIT {{limit:UInt64}}"
        more = ""
        if cursor is not None:
            more = f"AND (n0, id) {beyond} ({{cursor_n:UInt64}}, {{cursor_id:String}})"
            parameters |= {"cursor_n": cursor[0], "cursor_id": cursor[1]}
        sql, bound = self._select("n0, id", stretch, more, tail)
        rows = self._connection.query(sql, {**bound, **parameters}, seconds=seconds)
        return [(n, id_) for n, id_ in rows]

    def count(self, stretch: Range, limit: int, seconds: float) -> int:
        """How many match in a stretch, up to `limit`."""
        inner, bound = self._select("1", stretch, "", "LIMIT {limit:UInt64}")
        rows = self._connection.query(f"SELECT count() FROM ({inner})", {**bound, "limit": limit}, seconds=seconds)  # noqa: S608 - built by us
        n: int = rows[0][0]
        return n

    def _select(self, what: str, stretch: Range, more: str, tail: str) -> tuple[str, Mapping[str, Any]]:
        condition = self._condition
        hints = "".join(f" AND id IN (SELECT id FROM task WHERE {SOURCE} AND {hint})" for hint in condition.hints)  # noqa: S608
        sql = (
            f"SELECT {what} FROM (SELECT {facts_in(condition.sql)} FROM task WHERE {SOURCE}{hints} GROUP BY id) "  # noqa: S608
            f"WHERE n0 >= {{low:UInt64}} AND n0 < {{high:UInt64}} {more} AND ({condition.sql}) {tail}"
        )
        return sql, {**condition.parameters, "low": stretch[0], "high": stretch[1]}


def _beyond(whole: Range, cursor: Cursor | None, *, newest: bool) -> Range:
    """What of a range is beyond a cursor, its own n included."""
    low, high = whole
    if cursor is None:
        return whole
    return (low, min(high, cursor[0] + 1)) if newest else (max(low, cursor[0]), high)


#: The rows of a stretch, and the others of its strays.
SOURCE: Final = SQL["source"]


def find(scan: Scan, page: Page, first: int) -> Found:
    """One page of the tasks that match."""
    cursor = parse_cursor(page.cursor)
    keys: list[Cursor] = []
    reached: Cursor | None = None
    for stretch in scan.stretches(page.order, cursor, first):
        limit = page.limit + 1 - len(keys)
        try:
            keys += scan.keys(stretch, page.order, cursor, limit, scan.seconds(first=reached is None))
        except OutOfTime:
            if reached is None:
                raise
            return _interrupted(keys, reached)
        if len(keys) > page.limit:
            return Found(keys[: page.limit], write_cursor(keys[page.limit - 1]))
        reached = (stretch[0] if page.order is Order.NEWEST else stretch[1], "")
    if scan.complete or reached is None:
        return Found(keys, None)
    return _interrupted(keys, reached)


def _interrupted(keys: Sequence[Cursor], reached: Cursor) -> Found:
    return Found(keys, write_cursor(reached), complete=False, reached=reached[0] / 1e6)


def count_matches(scan: Scan, cap: int, first: int) -> tuple[int, bool]:
    """How many tasks match, up to `cap`, and whether there may be more."""
    n = 0
    begun = False
    for stretch in scan.stretches(Order.NEWEST, None, first):
        try:
            n += scan.count(stretch, cap + 1 - n, scan.seconds(first=not begun))
        except OutOfTime:
            return n, True
        begun = True
        if n > cap:
            return cap, True
    return n, not scan.complete


def write_cursor(cursor: Cursor) -> str:
    """The text of a cursor."""
    return f"{cursor[0]}~{cursor[1]}"


def parse_cursor(text: str) -> Cursor | None:
    """The key that a cursor names; raises `QueryError` for what is none."""
    if not text:
        return None
    number, separator, id_ = text.partition("~")
    if not (separator and number.isascii() and number.isdigit() and len(number) <= 18):
        raise QueryError("the cursor is none that this store gave", 0)
    return int(number), id_
