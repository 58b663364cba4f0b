"""The catalog file, as its writer has it open: books, positions, ledger, workers, and the list of segments."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import msgspec

from umbel.model.ledger import LedgerEntry, Quarantined
from umbel.model.worker import Worker, WorkerKey, join_workers
from umbel.stores import migrate
from umbel.stores.base import Commit
from umbel.stores.sqlfile import load
from umbel.stores.sqlite.connect import Damaged, check_header, connect_writer, guard
from umbel.stores.sqlite.connect import migrate as apply_migrations
from umbel.stores.sqlite.meters import MeterRows
from umbel.stores.sqlite.segment import SegmentInfo
from umbel.stores.sqlite.vectors import Sums

#: Rows kept of each kind; the oldest go first.
LEDGER_ROWS: Final = 50_000
QUARANTINE_ROWS: Final = 1_000
QUARANTINE_BYTES: Final = 16 * 1024 * 1024
WORKER_ROWS: Final = 10_000
NAME_ROWS: Final = 10_000
MISSED_ROWS: Final = 10_000
SET_ASIDE_ROWS: Final = 100
#: Pages of the write-ahead log after which a commit moves them into the file, if nobody has (`moving`).
CHECKPOINT_PAGES: Final = 16_000
#: Seconds between two losses of one kind that are still one entry.
JOINED: Final = 5.0
#: Seconds for which a name need not be noted again.
NAME_SECONDS: Final = 60.0

_SQL: Final = load(Path(__file__).with_name("catalog.sql"))
MIGRATIONS: Final = migrate.load(Path(__file__).parent / "migrations" / "catalog")
_pack: Final = msgspec.msgpack.Encoder().encode
decode_worker: Final = msgspec.msgpack.Decoder(Worker).decode


class Catalog:
    """The catalog file; errors are those of `guard`."""

    def __init__(self, file: Path) -> None:
        """Open or create it; raises `Damaged` if that is what it is."""
        self.file = file
        if file.exists():
            check_header(file)
        self._connection = connect_writer(file, cache_kib=4_000, checkpoint_pages=CHECKPOINT_PAGES)
        self._names: dict[str, float] = {}
        self._meters = MeterRows(self._connection)
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        apply_migrations(self._connection, self.file, MIGRATIONS)
        with guard(self.file):
            problem = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if problem != "ok":
                raise Damaged(self.file, problem)
            made = self._connection.execute(_SQL["begin_book"], (secrets.token_hex(8),)).rowcount
            if made:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    @property
    def changes(self) -> int:
        """Rows that were changed since it was opened."""
        return self._connection.total_changes

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is done inside, or nothing of it; for everything but `write`."""
        self.begin()
        try:
            with guard(self.file):
                yield
                self._connection.execute(_SQL["touch"])
            self.commit()
        except BaseException:
            self.rollback()
            raise

    def begin(self) -> None:
        with guard(self.file):
            self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        with guard(self.file):
            self._connection.execute("COMMIT")

    def rollback(self) -> None:
        """Undo the transaction, if one is open."""
        self._names.clear()
        self._meters.forget()
        with guard(self.file):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def close(self) -> None:
        self._connection.close()

    # Commits

    def write(self, commit: Commit, names: Iterable[str], segments: Iterable[SegmentInfo], seconds: float) -> None:
        """Everything of a commit but its tasks, inside a transaction; `seconds` is how long it took until here."""
        execute, executemany = self._connection.execute, self._connection.executemany
        with guard(self.file):
            executemany(_SQL["put_segment"], [asdict(info) for info in segments])
            self._note_names(names, commit.at)
            self._join_workers(commit.workers)
            if commit.meters:
                self._meters.write(commit.meters, commit.at)
            executemany(_SQL["discard"], [(*key, count) for key, count in commit.discarded.items()])
            for entry in commit.ledger:
                self.enter(entry)
                if entry.estimated:
                    self.miss(entry)
            dropped = self._quarantine(commit.quarantine)
            if commit.position is not None:
                execute(_SQL["put_position"], (commit.position.source, commit.position.value))
            values = {"stored": commit.stored, "at": commit.at, "seconds": seconds, "captured_at": commit.captured_at}
            execute(_SQL["commit"], {**values, "dropped": dropped})

    def enter(self, entry: LedgerEntry) -> None:
        """Add to the ledger, to the entry before if it is of the same kind and touches; and to the estimates."""
        execute = self._connection.execute
        detail = entry.detail[:1_000]
        kind = (entry.reason, entry.event_class, entry.worker, entry.estimated, detail)
        last = execute(_SQL["last_entry"], kind).fetchone()
        if last and entry.first_at <= last[2] + JOINED and last[1] <= entry.last_at + JOINED:
            execute(_SQL["extend_entry"], (entry.first_at, entry.last_at, entry.count, last[0]))
        else:
            times = entry.first_at, entry.last_at, entry.count
            row = (entry.reason, entry.event_class, *times, entry.estimated, entry.worker, detail)
            execute(_SQL["put_entry"], row)
            execute(_SQL["trim_ledger"], (LEDGER_ROWS,))

    def miss(self, entry: LedgerEntry) -> None:
        """Add an estimated entry to the books, by worker as far as there is room for them."""
        execute = self._connection.execute
        worker = entry.worker
        if worker and not execute(_SQL["is_missed"], (worker,)).fetchone():
            worker = worker if execute(_SQL["count_missed"]).fetchone()[0] < MISSED_ROWS else ""
        execute(_SQL["miss"], (worker, entry.count))

    def _quarantine(self, events: Iterable[Quarantined]) -> int:
        """Keep events that were not understood; how many older ones went for them."""
        rows = [(e.at, e.reason, e.error, e.content_type, e.raw) for e in events]
        if not rows:
            return 0
        self._connection.executemany(_SQL["put_quarantine"], rows)
        room = QUARANTINE_BYTES
        for kept, (id_, size) in enumerate(self._connection.execute(_SQL["quarantine_sizes"]).fetchall()):
            room -= size
            if kept >= QUARANTINE_ROWS or room < 0:
                return self._connection.execute(_SQL["trim_quarantine"], (id_,)).rowcount
        return 0

    def _join_workers(self, workers: Mapping[WorkerKey, Worker]) -> None:
        rows = []
        for key, worker in workers.items():
            found = self._connection.execute(_SQL["worker"], key).fetchone()
            joined = worker
            if found:
                joined = decode_worker(found[0])
                join_workers(joined, worker)
            rows.append((*key, joined.seen_at, _pack(joined)))
        self._connection.executemany(_SQL["put_worker"], rows)

    def _note_names(self, names: Iterable[str], at: float) -> None:
        fresh = [name for name in names if name and abs(at - self._names.get(name, -1e18)) > NAME_SECONDS]
        self._connection.executemany(_SQL["put_name"], [(name, at) for name in fresh])
        if len(self._names) > NAME_ROWS:
            self._names.clear()
        self._names.update(dict.fromkeys(fresh, at))

    # Upkeep

    def position(self, source: str) -> str | None:
        with guard(self.file):
            row = self._connection.execute(_SQL["position"], (source,)).fetchone()
        return row[0] if row else None

    def positions(self, prefix: str) -> dict[str, str]:
        """The position of each source whose name begins with `prefix`."""
        with guard(self.file):
            return dict(self._connection.execute(_SQL["positions"], (len(prefix), prefix)).fetchall())

    def forget_position(self, source: str) -> None:
        self._connection.execute(_SQL["forget_position"], (source,))

    def workers(self) -> list[Worker]:
        """Worker processes, the most recently seen first."""
        with guard(self.file):
            rows = self._connection.execute(_SQL["workers"], (WORKER_ROWS,)).fetchall()
        return [decode_worker(record) for (record,) in rows]

    def segments(self) -> list[tuple[SegmentInfo, bool, bool, int]]:
        """Every segment, with whether it is in the filter file, whether it is being dropped, and its generation."""
        with guard(self.file):
            rows = self._connection.execute(_SQL["segments"]).fetchall()
        return [(_info(row), bool(row[9]), bool(row[10]), row[11]) for row in rows]

    def put_segment(self, info: SegmentInfo) -> None:
        self._connection.execute(_SQL["put_segment"], asdict(info))

    def set_sealed(self, number: int, generation: int, at: float, dropped: int) -> None:
        self._connection.execute(_SQL["set_sealed"], (generation, at, dropped, number))

    def dropped(self, number: int) -> int:
        """How many of a segment's tasks went by rules of retention."""
        with guard(self.file):
            row = self._connection.execute(_SQL["dropped"], (number,)).fetchone()
        return row[0] if row else 0

    def days(self) -> set[int]:
        """Days (since the epoch) whose sums are there."""
        with guard(self.file):
            return {day for (day,) in self._connection.execute(_SQL["days"])}

    def put_day(self, day: int, names: Sums | None) -> None:
        """Note the sums of a day by name, or that there are too many of them."""
        self._connection.execute(_SQL["put_day"], (day, names is not None))
        rows = ((day, name, cells) for name, cells in (names.packed() if names else ()))
        self._connection.executemany(_SQL["put_day_rollup"], rows)

    def missing_block(self, longest: int) -> tuple[int, int] | None:
        """The first day and the days of a block of at most `longest` whose two halves are summed and it is not."""
        with guard(self.file):
            found: tuple[int, int] | None = self._connection.execute(_SQL["missing_block"], (longest,)).fetchone()
        return found

    def unit(self, first: int, days: int) -> list[tuple[str, bytes]]:
        """The sums of a day or a block by name, packed."""
        return self._connection.execute(_SQL["unit_rollups"], (first, days)).fetchall()

    def put_block(self, first: int, days: int, names: Sums) -> None:
        """Note the sums of a block by name."""
        self._connection.execute(_SQL["put_block"], (first, days))
        rows = ((first, days, name, cells) for name, cells in names.packed())
        self._connection.executemany(_SQL["put_block_rollup"], rows)

    def hours(self, since: int) -> set[int]:
        """The first hours (since the epoch) of the shortest sums of hours that are there, from one on."""
        with guard(self.file):
            return {first for (first,) in self._connection.execute(_SQL["hours"], (since,))}

    def put_hours(self, first: int, hours: int, names: Sums | None) -> None:
        """Note the sums of some hours by name, or that there are too many of them."""
        self._connection.execute(_SQL["put_hours"], (first, hours, names is not None))
        rows = ((first, hours, name, cells) for name, cells in (names.packed() if names else ()))
        self._connection.executemany(_SQL["put_hours_rollup"], rows)

    def missing_hours(self, longest: int) -> tuple[int, int] | None:
        """The first hour and the hours of a sum of at most `longest` whose two halves are there and it is not."""
        with guard(self.file):
            found: tuple[int, int] | None = self._connection.execute(_SQL["missing_hours"], (longest,)).fetchone()
        return found

    def hours_unit(self, first: int, hours: int) -> list[tuple[str, bytes]]:
        """The sums of some hours by name, packed."""
        return self._connection.execute(_SQL["hours_rollups"], (first, hours)).fetchall()

    def set_filtered(self, number: int, filtered: bool) -> None:
        self._connection.execute(_SQL["set_filtered"], (filtered, number))

    def set_dropping(self, number: int) -> None:
        self._connection.execute(_SQL["set_dropping"], (number,))

    def forget_segment(self, number: int) -> None:
        self._connection.execute(_SQL["forget_segment"], (number,))

    def note_set_aside(self, at: float, file: str) -> None:
        self._connection.execute(_SQL["put_set_aside"], (at, file))
        self._connection.execute(_SQL["trim_set_aside"], (SET_ASIDE_ROWS,))

    def note_names(self, names: Iterable[str], at: float) -> None:
        """Note names that were found in a segment."""
        self._note_names(names, at)

    def events_a_task(self) -> float:
        """Events stored for each task there is, for estimates."""
        with guard(self.file):
            stored, tasks = self._connection.execute(_SQL["stored_and_tasks"]).fetchone()
        return max(1.0, stored / tasks) if tasks else 1.0

    def is_clean(self) -> bool:
        with guard(self.file):
            return bool(self._connection.execute(_SQL["clean"]).fetchone()[0])

    def set_clean(self, clean: bool) -> None:
        self._connection.execute(_SQL["set_clean"], (clean,))

    def prune(self, oldest: float | None) -> None:
        """Drop workers not seen since `oldest`, and rows beyond their bounds; a bounded number at a time."""
        execute = self._connection.execute
        if oldest is not None:
            execute(_SQL["drop_old_workers"], (oldest,))
        execute(_SQL["trim_workers"], (WORKER_ROWS,))
        execute(_SQL["trim_names"], (NAME_ROWS,))

    def checkpoint(self) -> None:
        with guard(self.file):
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()


def _info(row: tuple[Any, ...]) -> SegmentInfo:
    names = (
        "number",
        "first_n",
        "tasks",
        "first_at",
        "last_at",
        "first_minute",
        "last_minute",
        "created_at",
        "touched_at",
    )
    return SegmentInfo(**dict(zip(names, row, strict=False)))
