"""The operator's side of a SQLite store: its files looked over, brought to the newest form, made smaller."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from umbel.clock import Clock, SystemClock
from umbel.errors import StoreError
from umbel.private import private_directory
from umbel.stores.base import Finding
from umbel.stores.sqlite import catalog, segment
from umbel.stores.sqlite.blocks import SQL as SEALED
from umbel.stores.sqlite.bundles import Bundles, has_bundles
from umbel.stores.sqlite.connect import (
    Damaged,
    check_header,
    connect_reader,
    connect_writer,
    explain,
    guard,
)
from umbel.stores.sqlite.connect import migrate as apply_migrations
from umbel.stores.sqlite.files import Files, number_of, size, with_companions
from umbel.stores.sqlite.filter import GROUP
from umbel.stores.sqlite.lock import WriterLock
from umbel.stores.sqlite.sessions import no_store

#: Page cache of a connection, KiB.
CACHE_KIB: Final = 16_000

#: The names of what belongs to a store, and of what was set aside.
_OWN: Final = re.compile(r"(?P<segment>\d{6,}(-\d+)?\.db)(-wal|-shm)?|filter-(?P<group>\d{4,})\.bits|writer\.lock")
_DRAFT: Final = re.compile(r"\d{6,}\.sealing(-draft)?(-wal|-shm|-journal)?")
_ASIDE: Final = re.compile(r".*\.db\.(damaged|newer)-.*")
_COUNTS: Final = (
    "SELECT number, tasks, (SELECT count(*) FROM task), (SELECT count(*) FROM task JOIN record USING (n)) FROM segment"
)

_WITHOUT_ROW: Final = "SELECT n FROM task WHERE n NOT IN (SELECT n FROM record) ORDER BY n"


class SqliteKeeper:
    """`StoreKeeper` on files; `path` is the catalog's."""

    def __init__(self, path: Path, *, clock: Clock | None = None) -> None:
        self._files = Files(path)
        self._clock = clock or SystemClock()

    def migrate(self) -> Sequence[str]:
        with self._alone():
            return [step for file in self._databases() for step in self._migrate(file)]

    def check(self) -> Iterator[Finding]:
        with self._alone():
            for file in self._databases():
                yield Finding(file.name, self._problem(file))
            yield from self._strays()

    def vacuum(self) -> Iterator[Finding]:
        with self._alone():
            for file in self._databases():
                before = with_companions(file)
                with guard(file), closing(connect_writer(file, cache_kib=CACHE_KIB, checkpoint_pages=0)) as connection:
                    connection.execute("VACUUM")
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                after = with_companions(file)
                yield Finding(f"{file.name}: {before:,} bytes, now {after:,}")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the writer's lock; raises `StoreBusy` while a collector has it."""
        if not self._files.catalog.exists():
            raise no_store(self._files.catalog)
        lock = WriterLock(self._files.lock)
        try:
            private_directory(self._files.directory)
            lock.take()
        except OSError as error:
            raise StoreError(f"{self._files.directory} cannot be used: {error.strerror or error}") from error
        try:
            yield
        finally:
            lock.release()

    def _databases(self) -> list[Path]:
        """The catalog and the newest file of each segment."""
        newest = {number: generations[-1] for number, generations in self._files.generations().items()}
        return [self._files.catalog, *(self._files.segment(*pair) for pair in newest.items())]

    def _migrate(self, file: Path) -> list[str]:
        check_header(file)
        steps = catalog.MIGRATIONS if file == self._files.catalog else segment.MIGRATIONS
        with closing(connect_writer(file, cache_kib=CACHE_KIB, checkpoint_pages=1_000)) as connection:
            with guard(file):
                before = connection.execute("PRAGMA user_version").fetchone()[0]
            apply_migrations(connection, file, steps)
        return [f"{file.name}: {step.version:03d} {step.name}" for step in steps[before:]]

    def _problem(self, file: Path) -> str:
        """What is wrong with a file, "" for nothing."""
        mend = "umbel collect sets it aside and goes on without it; restore it from a backup to keep what it holds"
        try:
            check_header(file)
            with closing(connect_reader(file, cache_kib=CACHE_KIB)) as connection:
                found = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
                if found != ["ok"]:
                    return f"it is damaged: {'; '.join(found)[:500]}; {mend}"
                if file == self._files.catalog:
                    return self._unlisted(connection)
                return _miscounted(connection, file)
        except Damaged as error:
            return f"{error.why}; {mend}"
        except sqlite3.Error as error:
            return f"{explain(error, file)}; {mend}"

    def _unlisted(self, connection: sqlite3.Connection) -> str:
        """Segments that the catalog lists and that are gone."""
        there = self._files.generations()
        listed = [number for (number,) in connection.execute("SELECT number FROM segment WHERE dropping = 0")]
        gone = [number for number in listed if number not in there]
        if not gone:
            return ""
        names = ", ".join(self._files.segment(number).name for number in gone[:5])
        return f"{len(gone)} segments are gone ({names}): restore them, or let umbel collect enter their loss"

    def _strays(self) -> Iterator[Finding]:
        """Files in the store's directory that belong to nothing."""
        used = {file.name for file in self._databases()}
        groups = {number // GROUP for number in self._files.generations()}
        for file in sorted(self._files.directory.iterdir()):
            match = _OWN.fullmatch(file.name)
            if _DRAFT.fullmatch(file.name):
                yield Finding(file.name, "a segment was being sealed; umbel collect deletes it when it starts")
            elif match is None:
                aside = _ASIDE.fullmatch(file.name) is not None
                why = "was set aside" if aside else "belongs to nothing"
                yield Finding(file.name, f"it {why} ({size(file):,} bytes); delete it if you do not need it")
            elif match["segment"] and match["segment"] not in used:
                yield Finding(
                    file.name, "its segment is gone or was rewritten; umbel collect deletes what is left of it"
                )
            elif match["group"] and int(match["group"]) not in groups:
                yield Finding(file.name, "no segment needs it any more; delete it")


def _miscounted(connection: sqlite3.Connection, file: Path) -> str:
    row = connection.execute(_COUNTS).fetchone()
    if row is None:
        return "its making was not finished; umbel collect deletes it"
    number, said, tasks, records = row
    if number != number_of(file):
        return f"it says that it is segment {number}: was it renamed?"
    if connection.execute(SEALED["is_sealed"]).fetchone()[0]:
        said -= connection.execute(SEALED["sealed"]).fetchone()[2]
        # Those in blocks are read with all others when the records are added up.
        records = tasks
    elif has_bundles(connection):
        bundles = Bundles(connection)
        records += sum(bundles.record(n) is not None for (n,) in connection.execute(_WITHOUT_ROW))
    if not tasks == records == said:
        return f"it says {said:,} tasks and holds {tasks:,}, with {records:,} records"
    return ""
