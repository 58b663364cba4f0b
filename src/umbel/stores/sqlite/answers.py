"""Pages and counts of the tasks that match."""

from __future__ import annotations

import json
import sqlite3
from itertools import islice
from typing import Any, Final

from umbel.clock import Clock
from umbel.errors import QueryError
from umbel.model.query import Node, Order, Page
from umbel.model.task import Summary
from umbel.stores.base import Count, TaskPage
from umbel.stores.sqlite.compile import Condition, compile_node
from umbel.stores.sqlite.rows import SUMMARY_COLUMNS, summary_of
from umbel.stores.sqlite.scan import OutOfTime, Scan, Stretch
from umbel.stores.sqlite.sessions import OpenSegment, Session

#: Rows taken at once of those that are counted, and where texts are looked at for each.
TAKEN: Final = 1_000
TAKEN_TEXTS: Final = 16

_SEEN: Final = "SELECT coalesce(sent_at, received_at, started_at, finished_at, updated_at) FROM task WHERE n = ?"


def page_of(session: Session, where: Node, page: Page, clock: Clock, budget: float) -> TaskPage:
    """One page of the tasks that match."""
    condition = compile_node(where)
    cursor = parse_cursor(page.cursor)
    budget = budget if page.within is None else min(budget, page.within)
    scan = Scan(session, where, condition, order=page.order, cursor=cursor, clock=clock, budget=budget)
    ask = Asking(scan, condition)
    items: list[Summary] = []
    last = 0
    with scan.timed():
        for area in scan.areas():
            for stretch in scan.stretches(area):
                for row in ask.rows(stretch, page.limit + 1 - len(items)):
                    if len(items) == page.limit:
                        return TaskPage(items, str(last))
                    items.append(summary_of(row))
                    last = row[0]
    if scan.complete or scan.at is None:
        return TaskPage(items, None)
    return TaskPage(items, str(scan.at), complete=False, covered_since=first_seen(session, scan.at))


def count_of(session: Session, where: Node, cap: int, clock: Clock, budget: float) -> Count:
    """How many tasks match, up to `cap`."""
    condition = compile_node(where)
    scan = Scan(session, where, condition, order=Order.NEWEST, cursor=None, clock=clock, budget=budget)
    ask = Asking(scan, condition)
    n = 0
    with scan.timed():
        for area in scan.areas():
            if area.exact and area.bits is not None:
                n += area.bits.bit_count()
                area.done = True
            else:
                for stretch in scan.stretches(area):
                    found, late = ask.stream(stretch, "1", cap + 1 - n)
                    n += len(found)
                    if late or n > cap:
                        return Count(min(n, cap), capped=True)
            if n > cap:
                return Count(cap, capped=True)
    return Count(n, capped=not scan.complete)


class Asking:
    """The statements that a search asks segments."""

    def __init__(self, scan: Scan, condition: Condition) -> None:
        self._scan = scan
        self._condition = condition
        self._direction = "DESC" if scan.newest_first else "ASC"

    def rows(self, stretch: Stretch, limit: int) -> list[Any]:
        """The tasks of a stretch that match, in order, up to a limit."""
        return self._scan.ask(stretch.number, lambda segment: self._ask(segment, stretch, SUMMARY_COLUMNS, limit)) or []

    def stream(self, stretch: Stretch, columns: str, limit: int) -> tuple[list[Any], bool]:
        """Those of a stretch that match, in order, and whether the time was up before all were there."""
        found: list[Any] = []
        late = False

        def question(segment: OpenSegment) -> None:
            nonlocal late
            late = self._take(self._execute(segment, stretch, columns, limit), found)

        try:
            self._scan.ask(stretch.number, question)
        except OutOfTime:
            late = True
        return found, late

    def _take(self, cursor: sqlite3.Cursor, found: list[Any]) -> bool:
        size = TAKEN_TEXTS if self._condition.texts else TAKEN
        try:
            while True:
                before = len(found)
                # What was found before an interruption stays found.
                found.extend(islice(cursor, size))
                if len(found) - before < size:
                    return False
                if self._scan.is_late():
                    return True
        finally:
            cursor.close()

    def _ask(self, segment: OpenSegment, stretch: Stretch, columns: str, limit: int) -> list[Any]:
        return self._execute(segment, stretch, columns, limit).fetchall()

    def _execute(self, segment: OpenSegment, stretch: Stretch, columns: str, limit: int) -> sqlite3.Cursor:
        condition = self._condition
        where = condition.kept_sql if segment.keeps else condition.sql
        join = condition.texts and not segment.keeps
        source = "task CROSS JOIN record ON record.n = task.n" if join else "task"
        if stretch.chosen is not None:
            # The order of the chosen ones is the one that is wanted.
            chosen = f"json_each(?) AS chosen CROSS JOIN {source}"
            sql = f"SELECT {columns} FROM {chosen} WHERE task.n = chosen.value AND ({where}) LIMIT ?"  # noqa: S608 - ours
            parameters = (json.dumps(stretch.chosen), *condition.parameters, limit)
            return segment.connection.execute(sql, parameters)
        sql = (
            f"SELECT {columns} FROM {source} WHERE task.n >= ? AND task.n < ? AND ({where}) "  # noqa: S608 - built by us
            f"ORDER BY task.n {self._direction} LIMIT ?"
        )
        return segment.connection.execute(sql, (stretch.low, stretch.high, *condition.parameters, limit))


def first_seen(session: Session, n: int) -> float | None:
    """When a task was first seen, by its own events."""
    for listed in session.segments():
        if listed.first_n <= n < listed.end_n:
            segment = session.segment(listed.number)
            found = segment.connection.execute(_SEEN, (n,)).fetchone() if segment is not None else None
            return found[0] if found else listed.first_at
    return None


def parse_cursor(text: str) -> int | None:
    """The order number that a cursor names; raises `QueryError` for what is none."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise QueryError("the cursor is none that this store gave", 0)
    return int(text)
