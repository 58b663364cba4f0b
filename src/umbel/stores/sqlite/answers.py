"""Pages and counts of the tasks that match."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from umbel.clock import Clock
from umbel.errors import QueryError
from umbel.model.query import Field, Node, Order, Page
from umbel.model.tally import FACETS, Tally
from umbel.model.task import Summary, exception_type
from umbel.stores.base import Count, TaskPage
from umbel.stores.kinds import STATES
from umbel.stores.sqlite.compile import Condition, compile_node
from umbel.stores.sqlite.rows import SUMMARY_COLUMNS, summary_of
from umbel.stores.sqlite.scan import Scan, Stretch
from umbel.stores.sqlite.sessions import OpenSegment, Session

#: What a tally looks at.
TALLIED: Final = "task.n, task.state, task.name, task.worker, task.queue, task.exception"

_SEEN: Final = "SELECT coalesce(sent_at, received_at, started_at, finished_at, updated_at) FROM task WHERE n = ?"


def page_of(session: Session, where: Node, page: Page, clock: Clock, budget: float) -> TaskPage:
    """One page of the tasks that match."""
    condition = compile_node(where)
    cursor = parse_cursor(page.cursor)
    budget = budget if page.within is None else min(budget, page.within)
    scan = Scan(session, where, condition, order=page.order, cursor=cursor, clock=clock, budget=budget)
    ask = _Asking(scan, condition)
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
    return TaskPage(items, str(scan.at), complete=False, covered_since=_first_seen(session, scan.at))


def count_of(session: Session, where: Node, cap: int, clock: Clock, budget: float) -> Count:
    """How many tasks match, up to `cap`."""
    condition = compile_node(where)
    scan = Scan(session, where, condition, order=Order.NEWEST, cursor=None, clock=clock, budget=budget)
    ask = _Asking(scan, condition)
    n = 0
    with scan.timed():
        for area in scan.areas():
            if area.exact and area.bits is not None:
                n += area.bits.bit_count()
                area.done = True
            else:
                for stretch in scan.stretches(area):
                    n += ask.count(stretch, cap + 1 - n)
                    if n > cap:
                        break
            if n > cap:
                return Count(cap, capped=True)
    return Count(n, capped=not scan.complete)


def tally_of(session: Session, where: Node, most: int, clock: Clock, budget: float) -> Tally:
    """Which values the newest tasks that match have, up to `most` of them."""
    condition = compile_node(where)
    scan = Scan(session, where, condition, order=Order.NEWEST, cursor=None, clock=clock, budget=budget)
    ask = _Asking(scan, condition)
    counts: dict[Field, Counter[str]] = {field: Counter() for field in FACETS}
    n, last = 0, None
    with scan.timed():
        for area in scan.areas():
            for stretch in scan.stretches(area):
                # One more than is counted tells whether there are others.
                rows = ask.tallied(stretch, most + 1 - n)
                counted = rows[: most - n]
                scan.ask(stretch.number, partial(_count, counted, counts))
                n += len(counted)
                if len(rows) > len(counted):
                    last = counted[-1][0] if counted else scan.at
                    break
            if last is not None:
                break
    if scan.complete and last is None:
        return Tally(counts, n, whole=True)
    last = scan.at if last is None else last
    return Tally(counts, n, whole=False, since=None if last is None else _first_seen(session, last))


def _count(rows: Sequence[Any], counts: Mapping[Field, Counter[str]], segment: OpenSegment) -> None:
    """Add rows of `TALLIED` to the counts, by what their numbers and words stand for in their segment."""
    if not rows:
        return
    _, states, names, workers, queues, exceptions = (Counter(column) for column in zip(*rows, strict=True))
    for number, count in states.items():
        counts[Field.STATE][STATES[number].value] += count
    for field, column in ((Field.NAME, names), (Field.WORKER, workers), (Field.QUEUE, queues)):
        for word, count in column.items():
            counts[field][segment.word(word) if word else ""] += count
    for exception, count in exceptions.items():
        counts[Field.EXCEPTION][exception_type(exception or "")] += count


class _Asking:
    """The statements that a search asks segments."""

    def __init__(self, scan: Scan, condition: Condition) -> None:
        self._scan = scan
        self._condition = condition
        self._direction = "DESC" if scan.newest_first else "ASC"

    def rows(self, stretch: Stretch, limit: int) -> list[Any]:
        """The tasks of a stretch that match, in order, up to a limit."""
        return self._scan.ask(stretch.number, lambda segment: self._ask(segment, stretch, SUMMARY_COLUMNS, limit)) or []

    def count(self, stretch: Stretch, limit: int) -> int:
        """How many of a stretch match, up to a limit."""
        found = self._scan.ask(stretch.number, lambda segment: self._ask(segment, stretch, "1", limit))
        return len(found or ())

    def tallied(self, stretch: Stretch, limit: int) -> list[Any]:
        """What is counted of the tasks of a stretch that match, in order, up to a limit."""
        return self._scan.ask(stretch.number, lambda segment: self._ask(segment, stretch, TALLIED, limit)) or []

    def _ask(self, segment: OpenSegment, stretch: Stretch, columns: str, limit: int) -> list[Any]:
        condition = self._condition
        where = condition.kept_sql if segment.keeps else condition.sql
        join = condition.texts and not segment.keeps
        source = "task CROSS JOIN record ON record.n = task.n" if join else "task"
        if stretch.chosen is not None:
            # The order of the chosen ones is the one that is wanted.
            chosen = f"json_each(?) AS chosen CROSS JOIN {source}"
            sql = f"SELECT {columns} FROM {chosen} WHERE task.n = chosen.value AND ({where}) LIMIT ?"  # noqa: S608 - ours
            parameters = (json.dumps(stretch.chosen), *condition.parameters, limit)
            return segment.connection.execute(sql, parameters).fetchall()
        sql = (
            f"SELECT {columns} FROM {source} WHERE task.n >= ? AND task.n < ? AND ({where}) "  # noqa: S608 - built by us
            f"ORDER BY task.n {self._direction} LIMIT ?"
        )
        return segment.connection.execute(sql, (stretch.low, stretch.high, *condition.parameters, limit)).fetchall()


def _first_seen(session: Session, n: int) -> float | None:
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
