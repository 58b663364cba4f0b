"""The store's reader: never waits for the writer, never writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
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
from umbel.stores.base import Count, ExceptionCount, ScanPage, StoreState, Survey, Surveying, TaskPage
from umbel.stores.sqlite import answers, filterfile, holdings, meters, series, survey, walk
from umbel.stores.sqlite.catalog import decode_worker
from umbel.stores.sqlite.files import Files
from umbel.stores.sqlite.filter import GROUP
from umbel.stores.sqlite.ids import WITH_ID, Key, to_key, to_text
from umbel.stores.sqlite.records import task_of
from umbel.stores.sqlite.rows import SUMMARY_COLUMNS, summary_of
from umbel.stores.sqlite.sessions import Session, Sessions

#: Seconds that one question may take before it answers with what it has.
BUDGET: Final = 0.9

#: In one statement, so that a commit between the two cannot make a record of two halves.
_BY_ID: Final = (
    f"SELECT {SUMMARY_COLUMNS}, body, args, kwargs, result, traceback FROM task LEFT JOIN record USING (n) "  # noqa: S608
    f"WHERE task.n IN ({WITH_ID} = ?)"
)
_CHILDREN: Final = (
    f"SELECT {SUMMARY_COLUMNS} FROM task "  # noqa: S608 - built by us
    "WHERE parent = ? AND parent IS NOT NULL AND parent <> id ORDER BY n LIMIT ?"
)


class SqliteReader:
    """`StoreReader` on files; `path` is the catalog's, which need not be there yet."""

    def __init__(self, path: Path, *, clock: Clock | None = None, budget: float = BUDGET) -> None:
        self._files = Files(path)
        self._clock = clock or SystemClock()
        self._budget = budget
        self._sessions = Sessions(self._files)

    def version(self) -> str:
        with self._sessions.use() as session:
            born, commits = session.query("version")[0]
        return f"{born}-{commits}"

    # Tasks

    def tasks(self, where: Node, page: Page) -> TaskPage:
        with self._sessions.use() as session:
            return answers.page_of(session, where, page, self._clock, self._budget)

    def count(self, where: Node, cap: int = 10_000, within: float | None = None) -> Count:
        budget = self._budget if within is None else min(self._budget, within)
        with self._sessions.use() as session:
            if where == EVERYTHING:
                n = session.query("tasks")[0][0]
                return Count(min(n, cap), capped=n > cap)
            return answers.count_of(session, where, cap, self._clock, budget)

    def tally(
        self, where: Node, most: int = 20_000, within: float | None = None, fields: Sequence[Field] = FACETS
    ) -> Tally:
        budget = self._budget if within is None else min(self._budget, within)
        with self._sessions.use() as session:
            return survey.tally_of(session, where, most, self._clock, budget=budget, fields=fields)

    def survey(self, where: Node, asked: Surveying) -> Survey:
        with self._sessions.use() as session:
            return survey.survey_of(session, where, asked, self._clock, self._budget)

    def task(self, task_id: str) -> Task | None:
        return self.records([task_id]).get(task_id)

    def records(self, ids: Sequence[str]) -> Mapping[str, Task]:
        with self._sessions.use() as session:
            suspects = _suspects(session, [to_key(id_) for id_ in ids])
            found: dict[str, Task] = {}
            for number in sorted(suspects, reverse=True):
                wanted = [key for key in suspects[number] if to_text(key) not in found]
                found |= _records(session, number, wanted)
        return found

    def scan(self, cursor: str = "", limit: int = 1_000) -> ScanPage:
        with self._sessions.use() as session:
            return walk.page_from(session, answers.parse_cursor(cursor), limit)

    def positions(self) -> Mapping[str, str]:
        with self._sessions.use() as session:
            return dict(session.query("positions"))

    def related(self, task_id: str, limit: int = 100) -> Sequence[Summary]:
        key = to_key(task_id)
        found: list[Summary] = []
        deadline = self._clock.monotonic() + self._budget
        with self._sessions.use() as session:
            for listed in reversed(session.segments()):
                segment = session.segment(listed.number)
                if segment is not None:
                    rows = segment.connection.execute(_CHILDREN, (key, limit - len(found)))
                    found += [summary_of(row) for row in rows]
                if len(found) >= limit or self._clock.monotonic() >= deadline:
                    break
        return found

    # Sums

    def rollup(self, start: float, end: float, step: int, name: str | None = None) -> Sequence[RollupPoint]:
        with self._sessions.use() as session:
            return series.series(session, start, end, step, name)

    def rollup_names(self, start: float, end: float) -> Sequence[RollupPoint]:
        with self._sessions.use() as session:
            return series.by_name(session, start, end)

    def exceptions(self, start: float, end: float, limit: int = 20) -> Sequence[ExceptionCount]:
        with self._sessions.use() as session:
            return series.exceptions(session, start, end, limit)

    # The catalog

    def names(self, limit: int = 1_000) -> Sequence[str]:
        with self._sessions.use() as session:
            return [name for (name,) in session.query("names", limit)]

    def workers(self) -> Sequence[Worker]:
        with self._sessions.use() as session:
            return [decode_worker(record) for (record,) in session.query("workers")]

    def meters(self) -> Meters:
        with self._sessions.use() as session:
            return meters_of(meters.told(session.query("meters")))

    def ledger(self, limit: int = 200, since: float = 0.0) -> Sequence[LedgerEntry]:
        with self._sessions.use() as session:
            rows = session.query("ledger", since, limit)
        return [
            LedgerEntry(Reason(reason), EventClass(class_), first, last, count, bool(estimated), worker, detail)
            for reason, class_, first, last, count, estimated, worker, detail in rows
        ]

    def quarantine(self, limit: int = 100) -> Sequence[Quarantined]:
        with self._sessions.use() as session:
            rows = session.query("quarantine", limit)
        return [Quarantined(at, Reason(reason), *rest) for at, reason, *rest in rows]

    def state(self) -> StoreState:
        with self._sessions.use() as session:
            stored, committed_at, seconds, captured_at = session.query("book")[0]
            discarded = {(Reason(r), EventClass(c)): n for r, c, n in session.query("discarded")}
            missed = dict(session.query("missed"))
            return StoreState(
                books=Books(stored + sum(discarded.values()), stored, discarded, missed),
                tasks=session.query("tasks")[0][0],
                bytes=self._files.size(),
                committed_at=committed_at,
                commit_seconds=seconds,
                captured_at=captured_at,
                set_aside=[file for (file,) in session.query("set_aside")],
                quarantined=session.query("quarantined")[0][0],
            )

    def parts(self) -> Sequence[Part]:
        with self._sessions.use() as session:
            return holdings.parts(session)

    def preview(self, retention: Retention, now: float) -> RetentionEffect:
        with self._sessions.use() as session:
            return holdings.preview(session, retention, now, self._clock, self._budget)

    def close(self) -> None:
        self._sessions.close()


def _records(session: Session, number: int, keys: Sequence[Key]) -> dict[str, Task]:
    """The records that are in one segment."""
    segment = session.segment(number)
    if segment is None:
        return {}
    found = {}
    try:
        for key in keys:
            row = segment.connection.execute(_BY_ID, (key,)).fetchone()
            if row is not None:
                summary = summary_of(row[:-5])
                found[summary.id] = task_of(summary, segment.record(row[0], row[-5:]), segment.word)
    except sqlite3.DatabaseError as error:
        session.spoil(number, error)
    return found


def _suspects(session: Session, keys: Sequence[Key]) -> dict[int, list[Key]]:
    """The segments that may know the ids: by the filter's files, or because they are not in these yet."""
    found: dict[int, list[Key]] = {}
    filtered = set()
    for listed in session.segments():
        if listed.filtered:
            filtered.add(listed.number)
        else:
            found[listed.number] = list(keys)
    for group in {number // GROUP for number in filtered}:
        for number, key in filterfile.lookup(session.files.filter(group), group, keys):
            if number in filtered:
                found.setdefault(number, []).append(key)
    return found
