"""The store's reader: never waits for a writer, never writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from umbel.clock import Clock, SystemClock
from umbel.model.event import EventClass
from umbel.model.holdings import Part, RetentionEffect
from umbel.model.ledger import Books, LedgerEntry, Quarantined, Reason
from umbel.model.merge import Task
from umbel.model.meter import Meters, meters_of
from umbel.model.query import EVERYTHING, Field, Node, Page
from umbel.model.rollup import RollupPoint
from umbel.model.tally import FACETS, Tally
from umbel.model.task import Summary
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
from umbel.stores.postgres import holdings, scan, series, walk
from umbel.stores.postgres.books import together
from umbel.stores.postgres.compile import compile_node
from umbel.stores.postgres.facets import INDEXED
from umbel.stores.postgres.news import News
from umbel.stores.postgres.rows import RECORD_COLUMNS, SUMMARY_COLUMNS, record_of, summary_of
from umbel.stores.postgres.sessions import ReadSession, Sessions
from umbel.stores.postgres.target import Target
from umbel.stores.postgres.text import sought, told

#: Seconds that one question may take before it answers with what it has.
BUDGET: Final = 2.0
#: Seconds for which the size of the store is believed, unless parts come or go: the server looks at every file for it.
SIZE_SECONDS: Final = 5.0

_RECORDS: Final = f"SELECT {RECORD_COLUMNS} FROM task WHERE part = ANY(%s) AND id = ANY(%s)"  # noqa: S608 - built by us
_CHILDREN: Final = (
    f"SELECT {SUMMARY_COLUMNS} FROM task WHERE part = %s AND left(parent, {INDEXED}) = %s AND parent = %s "  # noqa: S608 - built by us
    "AND parent <> '' AND parent <> id ORDER BY n LIMIT %s"
)


class PostgresReader:
    """`StoreReader` on a schema of a database, which need not be there yet."""

    def __init__(self, target: Target, *, clock: Clock | None = None, budget: float = BUDGET) -> None:
        self._clock = clock or SystemClock()
        self._budget = budget
        self._sessions = Sessions(target, budget)
        self._news = News(target, self._clock)
        #: Of the store: parts, when looked at, bytes.
        self._size: tuple[str, float, int] = ("", 0.0, 0)

    def version(self) -> str:
        born, commits = self._sessions.ask(lambda session: session.query("version")[0])
        return f"{born}-{commits}"

    def wait(self, timeout: float) -> None:
        """`CommitNews`, so that the web asks only when there is something to tell."""
        self._news.wait(timeout)

    # Tasks

    def tasks(self, where: Node, page: Page) -> TaskPage:
        condition = compile_node(where)
        return self._sessions.ask(lambda session: scan.page_of(session, condition, page, self._clock, self._budget))

    def count(self, where: Node, cap: int = 10_000, within: float | None = None) -> Count:
        budget = self._budget if within is None else min(self._budget, within)
        condition = compile_node(where)

        def answer(session: ReadSession) -> Count:
            if where == EVERYTHING:
                n = session.query("tasks")[0][0]
                return Count(min(n, cap), capped=n > cap)
            return scan.count_of(session, condition, cap, self._clock, budget)

        return self._sessions.ask(answer)

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
        wanted = [sought(id_) for id_ in ids]

        def answer(session: ReadSession) -> Mapping[str, Task]:
            where = session.query("where", wanted)
            if not where:
                return {}
            parts = sorted({part for _, part in where})
            rows = session.rows(_RECORDS, (parts, [id_ for id_, _ in where]))
            return {task.id: task for task, _ in map(record_of, rows)}

        return self._sessions.ask(answer)

    def scan(self, cursor: str = "", limit: int = 1_000) -> ScanPage:
        at = scan.parse_cursor(cursor)
        return self._sessions.ask(lambda session: walk.page_from(session, at, limit))

    def related(self, task_id: str, limit: int = 100) -> Sequence[Summary]:
        parent = sought(task_id)

        def answer(session: ReadSession) -> Sequence[Summary]:
            found: list[Summary] = []
            deadline = self._clock.monotonic() + self._budget
            for part in reversed(scan.parts_of(session)):
                rows = session.rows(_CHILDREN, (part.number, parent[:INDEXED], parent, limit - len(found)))
                found += map(summary_of, rows)
                if len(found) >= limit or self._clock.monotonic() >= deadline:
                    break
            return found

        return self._sessions.ask(answer)

    # Sums

    def rollup(self, start: float, end: float, step: int, name: str | None = None) -> Sequence[RollupPoint]:
        return self._sessions.ask(lambda session: series.series(session, start, end, step, name))

    def rollup_names(self, start: float, end: float) -> Sequence[RollupPoint]:
        return self._sessions.ask(lambda session: series.by_name(session, start, end))

    def exceptions(self, start: float, end: float, limit: int = 20) -> Sequence[ExceptionCount]:
        return self._sessions.ask(lambda session: series.exceptions(session, start, end, limit))

    # Everything else

    def positions(self) -> Mapping[str, str]:
        return {told(source): told(value) for source, value in self._sessions.ask(lambda one: one.query("positions"))}

    def parts(self) -> Sequence[Part]:
        return self._sessions.ask(holdings.parts)

    def preview(self, retention: Retention, now: float) -> RetentionEffect:
        return self._sessions.ask(lambda session: holdings.preview(session, retention, now, self._clock, self._budget))

    def names(self, limit: int = 1_000) -> Sequence[str]:
        return [told(name) for (name,) in self._sessions.ask(lambda session: session.query("names", limit))]

    def workers(self) -> Sequence[Worker]:
        return together(record for (record,) in self._sessions.ask(lambda session: session.query("workers")))

    def meters(self) -> Meters:
        rows = self._sessions.ask(lambda session: session.query("meters"))
        return meters_of((kind, told(a), told(b), told(c), count, seconds) for kind, a, b, c, count, seconds in rows)

    def ledger(self, limit: int = 200, since: float = 0.0) -> Sequence[LedgerEntry]:
        rows = self._sessions.ask(lambda session: session.query("ledger", since, limit))
        return [
            LedgerEntry(Reason(reason), EventClass(class_), first, last, count, estimated, told(worker), told(detail))
            for reason, class_, first, last, count, estimated, worker, detail in rows
        ]

    def quarantine(self, limit: int = 100) -> Sequence[Quarantined]:
        rows = self._sessions.ask(lambda session: session.query("quarantine", limit))
        return [
            Quarantined(at, Reason(reason), told(error), told(type_), raw) for at, reason, error, type_, raw in rows
        ]

    def state(self) -> StoreState:
        return self._sessions.ask(self._state)

    def _state(self, session: ReadSession) -> StoreState:
        # One moment for all of it: books and tasks that belong together.
        with session.connection.transaction():
            session.connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            stored, committed_at, captured_at, seconds, quarantined, tasks, parts = session.query("book")[0]
            discarded = {(Reason(r), EventClass(c)): n for r, c, n in session.query("discarded")}
            missed = {told(worker): count for worker, count in session.query("missed")}
            size = self._bytes(session, parts)
        return StoreState(
            books=Books(stored + sum(discarded.values()), stored, discarded, missed),
            tasks=tasks,
            bytes=size,
            committed_at=committed_at,
            commit_seconds=seconds,
            captured_at=captured_at,
            set_aside=(),
            quarantined=quarantined,
        )

    def _bytes(self, session: ReadSession, parts: str) -> int:
        known, at, size = self._size
        now = self._clock.monotonic()
        if known != parts or now - at >= SIZE_SECONDS:
            size = session.query("bytes")[0][0]
            self._size = (parts, now, size)
        return size

    def close(self) -> None:
        self._sessions.close()
        self._news.close()
