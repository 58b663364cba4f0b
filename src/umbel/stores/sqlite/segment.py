"""One segment file, as its writer has it open."""

from __future__ import annotations

import copy
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from umbel.model.gather import Plain
from umbel.model.merge import Task
from umbel.model.rollup import contribution
from umbel.model.task import ENDED
from umbel.model.usual import Alike
from umbel.stores import migrate
from umbel.stores.sqlfile import load
from umbel.stores.sqlite.blocks import SQL, Blocks, Record
from umbel.stores.sqlite.bundles import FEWEST, Bundles, Row, pack_bundle
from umbel.stores.sqlite.bundles import ROWS as BUNDLED
from umbel.stores.sqlite.cache import Entry
from umbel.stores.sqlite.connect import Damaged, check_header, connect_writer, guard
from umbel.stores.sqlite.connect import migrate as apply_migrations
from umbel.stores.sqlite.ids import WITH_ID, BoundKey, Key, bound_key
from umbel.stores.sqlite.plain import PlainRows, Shared, rows_of, usual_rows
from umbel.stores.sqlite.records import task_of
from umbel.stores.sqlite.rollups import Added, Rollups, added
from umbel.stores.sqlite.rows import ENDED_NUMBERS, SUMMARY_COLUMNS, summary_of
from umbel.stores.sqlite.words import WordReader, WordWriter

#: Pages of the write-ahead log after which SQLite moves them into the file (64 MB): fewer, longer pauses.
CHECKPOINT_PAGES: Final = 16_000
#: Rows of each table written at once: few enough to be in the processor's cache still.
ROWS: Final = 192
#: Ids looked up in one statement.
LOOKUP: Final = 100

_SQL: Final = load(Path(__file__).with_name("segment.sql"))
MIGRATIONS: Final = migrate.load(Path(__file__).parent / "migrations" / "segment")
#: Beyond every time and minute.
_NEVER: Final = 1e18


@dataclass(slots=True)
class SegmentInfo:
    """What a segment says about itself; see its table."""

    number: int
    first_n: int
    created_at: float
    touched_at: float
    tasks: int = 0
    first_at: float = _NEVER
    last_at: float = -1.0
    first_minute: int = 1 << 60
    last_minute: int = -1

    @property
    def next_n(self) -> int:
        """The order number that the next new task gets."""
        return self.first_n + self.tasks


#: A task that is in no segment yet: its id in both forms, its record (see `Entry`).
New = tuple[str, BoundKey, Plain | Task]


class Unfinished(Damaged):
    """The process that made the segment died before it was made; nothing is in it."""


class Segment:
    """A segment file; errors are those of `guard`."""

    def __init__(self, file: Path, connection: sqlite3.Connection, info: SegmentInfo) -> None:
        self.file = file
        self.info = info
        self._connection = connection
        self._words = WordWriter(connection)
        self._word = WordReader(connection)
        self._plain = PlainRows(self._words)
        self._rollups = Rollups(connection, self._words)
        sealed = connection.execute(SQL["is_sealed"]).fetchone()[0]
        self._blocks = Blocks(connection) if sealed else None
        self._bundles = Bundles(connection)
        self._tasks: list[tuple[Any, ...]] = []
        self._records: list[tuple[Any, ...]] = []
        self._late: list[tuple[Any, ...]] = []
        self._usual_tasks: list[tuple[Any, ...]] = []
        #: Records of new tasks that came whole, to be bundled.
        self._whole: list[Row] = []

    @classmethod
    def create(cls, file: Path, info: SegmentInfo, *, cache_kib: int) -> Segment:
        """Make a new, empty segment."""
        connection = _connect(file, cache_kib)
        with guard(file):
            connection.executescript(_SQL["lay_out"])
            connection.execute(_SQL["create"], asdict(info))
            connection.execute(_SQL["note_tens"])
            # From here on the file shows what it is, even without its write-ahead log.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return cls(file, connection, info)

    @classmethod
    def open(cls, file: Path, *, cache_kib: int) -> Segment:
        """Open a segment that there is; raises `Damaged` for a file that is none, or gone."""
        if not file.exists():
            raise Damaged(file, "it is gone")
        check_header(file)
        connection = _connect(file, cache_kib)
        with guard(file):
            cursor = connection.execute(_SQL["info"])
            row = cursor.fetchone()
            if row is None:
                connection.close()
                raise Unfinished(file, "its making was not finished")
            names = [column[0] for column in cursor.description]
        return cls(file, connection, SegmentInfo(**dict(zip(names, row, strict=True))))

    @property
    def busy(self) -> bool:
        """Whether a transaction has begun."""
        return self._connection.in_transaction

    def find(self, keys: Sequence[Key]) -> dict[Key, Entry]:
        """The tasks with these ids, where they are here."""
        found: dict[Key, Entry] = {}
        with guard(self.file):
            for start in range(0, len(keys), LOOKUP):
                some = keys[start : start + LOOKUP]
                marks = ",".join("?" * len(some))
                rows = self._connection.execute(
                    f"SELECT {SUMMARY_COLUMNS}, body, args, kwargs, result, traceback "  # noqa: S608 - marks only
                    f"FROM task LEFT JOIN record USING (n) WHERE task.n IN ({WITH_ID} IN ({marks}))",
                    some,
                )
                for row in rows:
                    summary = summary_of(row[:-5])
                    task = task_of(summary, self._record(row[0], row[-5:]), self._word)
                    what, ended = added(contribution(task, summary)), summary.state in ENDED
                    found[row[1]] = Entry(summary.id, row[0], self.info.number, task, what, ended)
        return found

    def _record(self, n: int, record: Record) -> Record:
        """A record that has a row, or else the one that was sealed or bundled."""
        if record[0] is not None:
            return record
        if self._blocks is None:
            return self._bundles.record(n) or record
        return self._blocks.record(n - self.info.first_n) or record

    def sealed(self) -> tuple[float, int, int] | None:
        """When it was sealed, its generation, and how many of its tasks were dropped by rules; None for an open one."""
        if self._blocks is None:
            return None
        with guard(self.file):
            at, generation, dropped, _ = self._connection.execute(SQL["sealed"]).fetchone()
        return at, generation, dropped

    def tally(self) -> list[tuple[str, int, int, float]]:
        """Of a sealed segment: name, number of the state, how many tasks have these, when the last was last seen."""
        with guard(self.file):
            return self._connection.execute(SQL["tally"]).fetchall()

    def sums(self, step: int, first: int, end: int) -> list[tuple[str, bytes]]:
        """What its tasks have added to some hours or days (since the epoch; `step` in seconds) by name, packed."""
        with guard(self.file):
            return self._connection.execute(_SQL["sums"], (step, first, end)).fetchall()

    def begin(self) -> None:
        """Begin a transaction, unless one has begun."""
        if not self.busy:
            if not self.file.exists():
                raise Damaged(self.file, "it is gone")
            with guard(self.file):
                self._connection.execute("BEGIN IMMEDIATE")

    def add(self, new: Iterable[New], usual: Mapping[str, Alike]) -> list[Entry]:
        """Take tasks that are in no segment yet into the transaction; those that more events are likely to come for.

        What the `usual` ones among them add to the rollups is for `count` to take.
        """
        usual_tasks, whole = self._usual_tasks, self._whole
        shared: dict[Alike, Shared] = {}
        first_n = n = self.info.next_n
        kept: list[Entry] = []
        for id_, key, record in new:
            alike = usual.get(id_)
            if alike is not None:
                common = shared.get(alike)
                if common is None:
                    common = shared[alike] = self._plain.shared(alike)
                task, rest = usual_rows(n, key, record, common)  # type: ignore[arg-type]  # usual ones are plain
                usual_tasks.append(task)
                whole.append(rest)
                if len(usual_tasks) >= ROWS:
                    self._write_rows()
            else:
                entry = self._add(n, id_, key, record)
                if entry is not None:
                    kept.append(entry)
            n += 1
        self.info.tasks += n - first_n
        return kept

    def count(self, alike: Alike) -> None:
        """Usual tasks that are alike are counted in the rollups from now on."""
        self._rollups.add_alike(alike)

    def _add(self, n: int, id_: str, key: BoundKey, record: Plain | Task) -> Entry | None:
        """Take a task of any kind; None if no more events are likely to come for it."""
        # Whether it was seen being sent does not matter: most workers' tasks are not.
        whole = isinstance(record, list) and None not in record[1:]
        task, what = self._take(n, id_, key, record, self._whole if whole else self._records)
        self._rollups.add(what)
        if len(self._tasks) >= ROWS:
            self._write_rows()
        if whole:
            return None
        # A copy: the cache joins what comes later into it, and the commit stays as it is.
        return Entry(id_, n, self.info.number, copy.copy(record), what, task[3] in ENDED_NUMBERS)

    def _take(
        self, n: int, id_: str, key: BoundKey, record: Plain | Task, records: list[Row]
    ) -> tuple[tuple[Any, ...], Added]:
        """Take a record into the transaction; its row of `task`, and what it adds to the rollups from now on."""
        if isinstance(record, list):
            task, rest, what, first, last = self._plain.make(n, key, id_, record)
        else:
            task, rest, what, first, last = rows_of(n, key, record, self._words)
        self._tasks.append(task)
        records.append(rest)
        if first < self.info.first_at:
            self.info.first_at = first
        if last > self.info.last_at:
            self.info.last_at = last
        return task, what

    def put(self, entry: Entry) -> None:
        """Take an entry's new record into the transaction."""
        task, what = self._take(entry.n, entry.id, bound_key(entry.id), entry.record, self._records)
        self._rollups.change(entry.added, what)
        if entry.ended and self._blocks is None:
            self._late.append((entry.n,))
        entry.added, entry.ended = what, task[3] in ENDED_NUMBERS

    @property
    def touched_names(self) -> Iterable[str]:
        """Names of the tasks in the transaction, until it is flushed."""
        return self._rollups.names

    def _write_rows(self, *, last: bool = False) -> None:
        """Write the rows taken so far, those that are bundled only where a bundle is full, or `last`."""
        if self._usual_tasks:
            self.info.first_at = min(self.info.first_at, *(task[5] or task[6] for task in self._usual_tasks))
            self.info.last_at = max(self.info.last_at, *(task[8] for task in self._usual_tasks))
        bundles = self._bundled(last=last)
        with guard(self.file):
            for statement, rows in (
                ("add_usual_task", self._usual_tasks),
                ("put_task", self._tasks),
                ("put_bundle", bundles),
                ("put_record", self._records),
                ("put_late", self._late),
            ):
                if rows:
                    self._connection.executemany(_SQL[statement], rows)
                    rows.clear()

    def _bundled(self, *, last: bool) -> list[Row]:
        """The full bundles of what came whole; at the end also the rest, or its rows if they are too few."""
        whole = self._whole
        full = len(whole) // BUNDLED * BUNDLED
        bundles: list[Row] = [pack_bundle(whole[start : start + BUNDLED]) for start in range(0, full, BUNDLED)]
        del whole[:full]
        if last and whole:
            if len(whole) < FEWEST:
                self._records += whole
            else:
                bundles.append(pack_bundle(whole))
            whole.clear()
        return bundles

    def flush(self, at: float) -> None:
        """Write what was put; `at` is the wall time."""
        info = self.info
        self._write_rows(last=True)
        with guard(self.file):
            minutes = self._rollups.flush()
            if minutes:
                info.first_minute = min(info.first_minute, minutes[0])
                info.last_minute = max(info.last_minute, minutes[1])
            info.touched_at = max(info.touched_at, at)
            self._connection.execute(_SQL["update"], asdict(info))

    def commit(self) -> None:
        with guard(self.file):
            self._connection.execute("COMMIT")

    def ids(self) -> Iterator[Iterable[Key]]:
        """Every id, in pieces."""
        with guard(self.file):
            cursor = self._connection.execute(_SQL["ids"])
            while rows := cursor.fetchmany(10_000):
                yield [row[0] for row in rows]

    def names(self) -> list[str]:
        """Task names, a bounded number."""
        with guard(self.file):
            return [row[0] for row in self._connection.execute(_SQL["names"])]

    def shrink(self, cache_kib: int) -> None:
        """Use less memory from now on: it takes no new tasks any more."""
        for part in (self._words, self._word, self._plain, self._rollups):
            part.shrink()
        with guard(self.file):
            self._connection.execute(f"PRAGMA cache_size = -{cache_kib}")
            self._connection.execute("PRAGMA shrink_memory")

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file as far as readers allow."""
        with guard(self.file):
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def close(self) -> None:
        """Close; a transaction that has not ended is rolled back."""
        self._connection.close()


def _connect(file: Path, cache_kib: int) -> sqlite3.Connection:
    connection = connect_writer(file, cache_kib=cache_kib, checkpoint_pages=CHECKPOINT_PAGES)
    try:
        apply_migrations(connection, file, MIGRATIONS)
    except BaseException:
        connection.close()
        raise
    return connection
