"""The store's reader: never writes; what it asks is bounded in time and rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from string import Template
from typing import Any, Final

from umbel.clock import Clock, SystemClock
from umbel.model.event import EventClass
from umbel.model.holdings import Part, RetentionEffect
from umbel.model.ledger import Books, LedgerEntry, Quarantined, Reason
from umbel.model.merge import Task
from umbel.model.meter import Meters
from umbel.model.query import EVERYTHING, Field, Node, Order, Page
from umbel.model.rollup import RollupPoint
from umbel.model.tally import FACETS, Tally
from umbel.model.task import Summary, summarize
from umbel.model.worker import Worker
from umbel.retention import Retention
from umbel.stores.base import (
    TALLIED,
    Count,
    ExceptionCount,
    ScanPage,
    StoreState,
    Survey,
    Surveying,
    TaskPage,
    survey_of,
    tally_of,
)
from umbel.stores.clickhouse import books, holdings, series, workers
from umbel.stores.clickhouse.compile import Condition, compile_node
from umbel.stores.clickhouse.connection import ANSWER, Connection, chunks
from umbel.stores.clickhouse.meters import together
from umbel.stores.clickhouse.rows import RECORD, task_of, texts_of
from umbel.stores.clickhouse.scan import END, FIRST, SQL, Cursor, Range, Scan, count_matches, find, write_cursor
from umbel.stores.clickhouse.size import bytes_of
from umbel.stores.clickhouse.spans import runs_of, spans_of, tasks_in
from umbel.stores.clickhouse.target import Target

#: Seconds that one question may take before it answers with what it has.
BUDGET: Final = 2.0

#: Records fetched at once by a scan, and bytes of text after which a page of it ends.
FETCHED: Final = 100
PAGE_BYTES: Final = 8 * 1024 * 1024

_NOWHERE: Final = (-1, Task(""))
_RECORDS: Final = Template(SQL["records"]).substitute(record=RECORD)
#: The whole of time.
_ALL: Final[Sequence[Range]] = ((0, END),)
#: Sources whose books are added up.
_SOURCES: Final = 100_000


class ClickHouseReader:
    """`StoreReader` on a server or a cluster, whose tables need not be there yet."""

    def __init__(
        self, target: Target, *, clock: Clock | None = None, budget: float = BUDGET, stretch: int = FIRST
    ) -> None:
        """`stretch` is how many rows are looked at first."""
        self._target = target
        self._clock = clock or SystemClock()
        self._budget = budget
        self._stretch = stretch
        self._connection = Connection(target)

    def version(self) -> str:
        text: str = self._connection.query(SQL["version"])[0][0]
        return text

    # Tasks

    def tasks(self, where: Node, page: Page) -> TaskPage:
        stretch = min(self._stretch, 4 * page.limit) if where == EVERYTHING else self._stretch
        found = find(self._scan(compile_node(where), page.within), page, stretch)
        records = self._fetch([id_ for _, id_ in found.keys])
        # Left out: what retention took in between, and what another writer is just placing elsewhere.
        items = [summarize(records[id_][1]) for n, id_ in found.keys if records.get(id_, _NOWHERE)[0] == n]
        return TaskPage(items, found.next, found.complete, found.reached)

    def count(self, where: Node, cap: int = 10_000, within: float | None = None) -> Count:
        if where == EVERYTHING:
            n = self._tasks()
            return Count(min(n, cap), capped=n > cap)
        n, capped = count_matches(self._scan(compile_node(where), within), cap, self._stretch)
        return Count(n, capped)

    def tally(
        self, where: Node, most: int = 20_000, within: float | None = None, fields: Sequence[Field] = FACETS
    ) -> Tally:
        del fields
        return tally_of(self.tasks(where, Page(min(most, TALLIED), within=within)))

    def survey(self, where: Node, asked: Surveying) -> Survey:
        return survey_of(self, where, asked)

    def task(self, task_id: str) -> Task | None:
        return self.records([task_id]).get(task_id)

    def records(self, ids: Sequence[str]) -> Mapping[str, Task]:
        return {id_: task for id_, (_, task) in self._fetch(ids).items()}

    def _fetch(self, ids: Sequence[str]) -> Mapping[str, tuple[int, Task]]:
        """Least n and record of each id that there is."""
        found = {}
        for chunk in chunks(ids):
            for row in self._connection.query(_RECORDS, {"ids": chunk}):
                found[row[0]] = (row[1], task_of(row))
        return found

    def scan(self, cursor: str = "", limit: int = 1_000) -> ScanPage:
        walk = Scan(self._connection, compile_node(EVERYTHING), _ALL, self._clock, ANSWER)
        found = find(walk, Page(min(limit, 1_000), cursor, Order.OLDEST), 4 * limit)
        tasks: list[Task] = []
        chunk: Mapping[str, tuple[int, Task]] = {}
        size = 0
        for at, (n, id_) in enumerate(found.keys):
            if at % FETCHED == 0:
                if size > PAGE_BYTES:
                    before = write_cursor(found.keys[at - 1])
                    return ScanPage(tasks, before, self._seen_at(found.keys[:at]))
                chunk = self._fetch([key[1] for key in found.keys[at : at + FETCHED]])
            first_n, task = chunk.get(id_, _NOWHERE)
            if first_n == n:
                tasks.append(task)
                size += texts_of(task)
        return ScanPage(tasks, found.next, self._seen_at(found.keys))

    def _seen_at(self, keys: Sequence[Cursor]) -> float:
        """When the spans that these tasks are in were last written to."""
        if not keys:
            return 0.0
        length = self._target.layout.span
        low, high = keys[0][0] // length, keys[-1][0] // length
        return max((span.touched_at for span in spans_of(self._connection) if low <= span.number <= high), default=0.0)

    def positions(self) -> Mapping[str, str]:
        found = {}
        for source, data in self._connection.query(SQL["books"]):
            position = books.decode_book(data).position
            if position is not None:
                found[source] = position
        return found

    def related(self, task_id: str, limit: int = 100) -> Sequence[Summary]:
        ids = [id_ for (id_,) in self._connection.query(SQL["children"], {"parent": task_id})]
        found = sorted((n, id_, task) for id_, (n, task) in self._fetch(ids).items())
        summaries = (summarize(task) for _, _, task in found)
        return [summary for summary in summaries if summary.parent_id == task_id][:limit]

    def _scan(self, condition: Condition, within: float | None) -> Scan:
        ranges = _ALL
        if condition.since is not None or condition.until is not None:
            ranges = self._ranges(condition)
        budget = self._budget if within is None else min(self._budget, within)
        return Scan(self._connection, condition, ranges, self._clock, budget)

    def _ranges(self, condition: Condition) -> Sequence[Range]:
        """Where tasks with a time in the condition's span may have been seen first."""
        since = 0.0 if condition.since is None else condition.since
        until = math.inf if condition.until is None else condition.until
        spans = spans_of(self._connection)
        may = [span.last_at >= since and span.first_at <= until for span in spans]
        return runs_of([span.number for span in spans], may, self._target.layout.span)

    # Sums

    def rollup(self, start: float, end: float, step: int, name: str | None = None) -> Sequence[RollupPoint]:
        return series.series(self._connection, start, end, step, name)

    def rollup_names(self, start: float, end: float) -> Sequence[RollupPoint]:
        return series.by_name(self._connection, start, end)

    def exceptions(self, start: float, end: float, limit: int = 20) -> Sequence[ExceptionCount]:
        return series.exceptions(self._connection, start, end, limit)

    # The rest

    def names(self, limit: int = 1_000) -> Sequence[str]:
        return [name for (name,) in self._connection.query(SQL["names"], {"limit": limit})]

    def workers(self) -> Sequence[Worker]:
        return workers.read(self._connection)

    def meters(self) -> Meters:
        return together(data for (data,) in self._connection.query(SQL["meters"]))

    def ledger(self, limit: int = 200, since: float = 0.0) -> Sequence[LedgerEntry]:
        rows = self._connection.query(SQL["ledger"], {"since": since, "limit": limit})
        return [books.decode_entry(data) for (data,) in rows]

    def quarantine(self, limit: int = 100) -> Sequence[Quarantined]:
        return [books.decode_quarantined(data) for data in self._of_kind("quarantine", limit)]

    def state(self) -> StoreState:
        # The last commit first: tasks that come meanwhile may be counted, none that it brought is missed.
        found = [books.decode_book(data) for data in self._of_kind("book", _SOURCES)]
        last = max(found, key=lambda book: book.committed_at, default=books.Book())
        return StoreState(
            books=_sum(found),
            tasks=self._tasks(),
            bytes=bytes_of(self._connection),
            committed_at=last.committed_at,
            commit_seconds=last.commit_seconds,
            captured_at=max((book.captured_at for book in found), default=0.0),
            set_aside=(),
            quarantined=self._connection.query(SQL["quarantined"])[0][0],
        )

    def parts(self) -> Sequence[Part]:
        return holdings.parts(self._connection)

    def preview(self, retention: Retention, now: float) -> RetentionEffect:
        return holdings.preview(self._connection, retention, now, self._clock, self._budget)

    def close(self) -> None:
        self._connection.close()

    def _of_kind(self, kind: str, limit: int) -> Sequence[Any]:
        return [data for (data,) in self._connection.query(SQL["of_kind"], {"kind": kind, "limit": limit})]

    def _tasks(self) -> int:
        """How many tasks there are."""
        spans = spans_of(self._connection)
        dirty = tasks_in(self._connection, [span.number for span in spans if not span.clean])
        return sum(span.tasks for span in spans if span.clean) + sum(dirty.values())


def _sum(found: Sequence[books.Book]) -> Books:
    discarded: Counter[tuple[Reason, EventClass]] = Counter()
    missed: Counter[str] = Counter()
    for book in found:
        discarded.update({books.reason_of(key): count for key, count in book.discarded.items()})
        missed.update(book.missed)
    stored = sum(book.stored for book in found)
    return Books(stored + sum(discarded.values()), stored, dict(discarded), dict(missed))
