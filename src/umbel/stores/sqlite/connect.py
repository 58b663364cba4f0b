"""SQLite connections as Umbel uses them, and its errors in Umbel's words."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from umbel.errors import StoreBusy, StoreError
from umbel.private import close_to_others, private_file
from umbel.stores.migrate import Migration, pending
from umbel.stores.sqlite.files import COMPANIONS, companion

log = logging.getLogger(__name__)

#: Marks a SQLite file as Umbel's ("Umbl").
APPLICATION_ID: Final = 0x556D626C
#: Seconds to wait for a lock before the caller is told to try again.
BUSY_SECONDS: Final = 1.0
#: First bytes of every SQLite file.
MAGIC: Final = b"SQLite format 3\x00"

_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PASSING: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_INTERRUPT,
    }
)
_WORDS: Final = {
    sqlite3.SQLITE_BUSY: "is locked by another process",
    sqlite3.SQLITE_LOCKED: "is locked",
    sqlite3.SQLITE_FULL: "cannot grow: the disk is full",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: is its directory there, and may Umbel write to it?",
    sqlite3.SQLITE_READONLY: "cannot be written: give Umbel's user the right to write to the file and its directory",
}


class Damaged(StoreError):
    """A file of the store is damaged."""

    def __init__(self, file: Path, why: str) -> None:
        super().__init__(f"{file} is damaged: {why}")
        self.file = file
        self.why = why


class Newer(Damaged):
    """A file of the store was written by a newer Umbel: of no use to this one, and no reason to stop capturing."""

    def __init__(self, file: Path, why: str) -> None:
        StoreError.__init__(self, why)
        self.file = file
        self.why = why


class ReadOnly(StoreError):
    """A file of the store may not be written."""

    def __init__(self, file: Path) -> None:
        super().__init__(f"{file} {_WORDS[sqlite3.SQLITE_READONLY]}")
        self.file = file


def explain(error: sqlite3.Error, file: Path) -> StoreError:
    """SQLite's error about `file` in Umbel's terms: `Damaged`, `ReadOnly`, `StoreBusy` or `StoreError`."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in _DAMAGE:
        return Damaged(file, str(error))
    if code == sqlite3.SQLITE_READONLY:
        return ReadOnly(file)
    message = f"{file} {_WORDS.get(code, 'cannot be used')} ({error})"
    return StoreBusy(message) if code in _PASSING else StoreError(message)


@contextmanager
def guard(file: Path) -> Iterator[None]:
    """Turn SQLite's errors about `file` into Umbel's."""
    try:
        yield
    except sqlite3.Error as error:
        raise explain(error, file) from error


def connect_writer(file: Path, *, cache_kib: int, checkpoint_pages: int) -> sqlite3.Connection:
    """The one connection that writes to a file, created if need be; transactions are begun and ended by hand."""
    with guard(file):
        _make_private(file)
        connection = sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA cache_size = -{cache_kib}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {checkpoint_pages}")
            connection.execute("PRAGMA temp_store = MEMORY")
        except sqlite3.Error:
            connection.close()
            raise
    if mode != "wal":
        connection.close()
        raise StoreError(f"{file} cannot use a write-ahead log (is it on a network file system?); give a local --store")
    return connection


def _make_private(file: Path) -> None:
    """Before SQLite makes it, which gives what it keeps beside it the same mode but leaves what is there as it is."""
    try:
        private_file(file)
        for suffix in COMPANIONS:
            close_to_others(companion(file, suffix))
    except OSError as error:
        # SQLite says it in its own terms, if it fails there too.
        log.debug("%s cannot be made private: %s", file, error)


def connect_reader(file: Path, *, cache_kib: int) -> sqlite3.Connection:
    """A connection that cannot write; raises SQLite's own errors. The caller lets one thread at a time use it."""
    try:
        return _connect_reader(file, cache_kib, "mode=ro")
    except sqlite3.OperationalError:
        # Nobody writes and we may not make the files that coordinate with a writer: then nothing will change.
        if os.access(file.parent, os.W_OK) or not file.exists() or file.with_name(f"{file.name}-wal").exists():
            raise
        return _connect_reader(file, cache_kib, "immutable=1")


def _connect_reader(file: Path, cache_kib: int, mode: str) -> sqlite3.Connection:
    uri = f"{file.absolute().as_uri()}?{mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute(f"PRAGMA cache_size = -{cache_kib}")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def migrate(connection: sqlite3.Connection, file: Path, migrations: Sequence[Migration]) -> None:
    """Bring a file to the newest version, step by step, each in a transaction; raises `Newer` for one beyond it."""
    with guard(file):
        owner = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if owner != APPLICATION_ID and (owner or version or tables):
        raise StoreError(f"{file} is another program's database; give another --store")
    try:
        steps = pending(migrations, version, str(file))
    except StoreError as error:
        raise Newer(file, str(error)) from error
    for migration in steps:
        with guard(file):
            _apply(connection, migration)


def _apply(connection: sqlite3.Connection, migration: Migration) -> None:
    """Take one step, unless another process has taken it since the version was read."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        if connection.execute("PRAGMA user_version").fetchone()[0] < migration.version:
            for statement in _statements(migration.script):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {migration.version}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, each of which ends a line; `executescript` would end the transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement


def _has_log(file: Path) -> bool:
    try:
        return file.with_name(f"{file.name}-wal").stat().st_size > 0
    except FileNotFoundError:
        return False


def check_header(file: Path) -> None:
    """Look at the first bytes and the length of a file; raises `Damaged` where they cannot be right."""
    with file.open("rb") as opened:
        header = opened.read(100)
        size = opened.seek(0, 2)
    if not size:
        return
    if len(header) < 100 or not header.startswith(MAGIC):
        raise Damaged(file, "it does not begin as a SQLite file does")
    page = int.from_bytes(header[16:18], "big")
    page = 65_536 if page == 1 else page
    # The page count is valid only if the change counter agrees with the version that wrote it.
    pages = int.from_bytes(header[28:32], "big") if header[24:28] == header[92:96] else 0
    # A disk that was full cuts the moving of the log into the file short: the rest is in the log still.
    if size < page * pages and not _has_log(file):
        raise Damaged(file, f"it has {size:,} bytes and should have {page * pages:,}")
