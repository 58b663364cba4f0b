"""Connections for readers: a session is the catalog and a few segments, used by one thread at a time."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from umbel.errors import StoreError
from umbel.logs import Limited
from umbel.stores.migrate import pending
from umbel.stores.sqlfile import load
from umbel.stores.sqlite.bitmaps import REST, Bitmaps, Kind
from umbel.stores.sqlite.blocks import SQL as SEALED
from umbel.stores.sqlite.blocks import Blocks, Record
from umbel.stores.sqlite.bundles import Bundles, has_bundles
from umbel.stores.sqlite.catalog import MIGRATIONS
from umbel.stores.sqlite.connect import APPLICATION_ID, connect_reader, explain
from umbel.stores.sqlite.files import Files
from umbel.stores.sqlite.grams import Grams
from umbel.stores.sqlite.looks import Looks
from umbel.stores.sqlite.packs import Packs
from umbel.stores.sqlite.vocabulary import Vocabulary
from umbel.stores.sqlite.words import WordList, WordReader

#: Sessions kept for the next request.
IDLE: Final = 4
#: Segments that a session keeps open.
SEGMENTS: Final = 64
#: Page cache of a connection, KiB.
CACHE_KIB: Final = 500
#: Steps of SQLite's machine between two looks at the time.
LOOK: Final = 50_000

SQL: Final[Mapping[str, str]] = load(Path(__file__).with_name("reader.sql"))
#: A file: its path, device and inode.
Identity = tuple[Path, int, int]
_log: Final = Limited(logging.getLogger(__name__))


@dataclass(frozen=True, slots=True)
class Listed:
    """A segment as the catalog lists it."""

    number: int
    first_n: int
    tasks: int
    first_at: float
    last_at: float
    first_minute: int
    last_minute: int
    #: 1 if all its ids are in the filter's file.
    filtered: int
    #: How often it was rewritten: part of its file's name; 0 while it is open.
    generation: int
    #: Tasks that rules of retention have dropped.
    dropped: int

    @property
    def end_n(self) -> int:
        return self.first_n + self.tasks


class Memory:
    """What all sessions of a reader remember together."""

    def __init__(self) -> None:
        self.packs = Packs()
        self.looks = Looks()
        self.vocabulary = Vocabulary()


class Sealed:
    """What only a sealed segment has."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.first_n: int
        self.tasks: int
        self.first_n, self.tasks = connection.execute("SELECT first_n, tasks FROM segment").fetchone()
        self.dropped: int
        _, _, self.dropped, self._indexed = connection.execute(SEALED["sealed"]).fetchone()
        self.bitmaps = Bitmaps(connection)
        self.blocks = Blocks(connection)
        self._connection = connection
        self._zones: list[list[tuple[int, float, float]]] | None = None
        self._words: dict[Kind, WordList] = {}
        self._grams: Grams | None = None

    @property
    def grams(self) -> Grams | None:
        """The index of its texts, if there is one."""
        if self._grams is None and self._indexed:
            self._grams = Grams(self._connection, self.tasks)
        return self._grams

    def words(self, kind: Kind) -> WordList:
        """The words that have bits of their own."""
        found = self._words.get(kind)
        if found is None:
            texts = dict(self._connection.execute(SEALED["words"]))
            numbers = [n for n in self.bitmaps.sizes(kind) if n != REST]
            found = self._words[kind] = WordList({n: texts[n] if n else "" for n in numbers})
        return found

    @property
    def zones(self) -> list[list[tuple[int, float, float]]]:
        """Of each time the zones that have any: number, first, last."""
        if self._zones is None:
            execute = self._connection.execute
            self._zones = [execute(SEALED["zones"], (field,)).fetchall() for field in range(4)]
        return self._zones


class OpenSegment:
    """A segment's connection and its words."""

    def __init__(self, connection: sqlite3.Connection, identity: Identity, memory: Memory) -> None:
        self.connection = connection
        self.looks = memory.looks
        self.word = WordReader(connection, memory.vocabulary.of(identity))
        self.identity = identity
        self.sealed = Sealed(connection) if connection.execute(SEALED["is_sealed"]).fetchone()[0] else None
        #: Whether its writer notes the tasks that change after their end (older ones did not).
        self.notes_late = bool(connection.execute(SQL["notes_late"]).fetchone()[0])
        #: Whether its tasks that have not ended have an index (those of older ones had none).
        self.notes_open = self.sealed is None and bool(connection.execute(SQL["notes_open"]).fetchone()[0])
        #: Whether it has rollups of ten minutes (older ones had none).
        self.tens = all(connection.execute(SQL[name]).fetchone()[0] for name in ("has_tens_table", "has_tens"))
        self.bundles = Bundles(connection)
        self._bundled = False
        connection.create_function("kept", 2, self._kept)

    @property
    def bundled(self) -> bool:
        """Whether there may be bundles; a writer makes a place for them when it opens an older file."""
        if not self._bundled:
            self._bundled = has_bundles(self.connection)
        return self._bundled

    @property
    def keeps(self) -> bool:
        """Whether not every record has a row: `kept` tells the texts of the others, for SQL."""
        return self.sealed is not None or self.bundled

    def _kept(self, n: int, field: int) -> str | None:
        found: str | None
        if self.sealed is not None:
            found = self.sealed.blocks.field(n - self.sealed.first_n, field)
        else:
            found = self.bundles.field(n, field)
        return found

    def record(self, n: int, record: Record | None) -> Record:
        """A record that has a row, or else the one that was sealed or bundled."""
        if record is None or record[0] is None:
            if self.sealed is not None:
                record = self.sealed.blocks.record(n - self.sealed.first_n)
            elif self.bundled:
                record = self.bundles.record(n)
        return record or ()


class Session:
    """One thread's view of the store."""

    def __init__(self, files: Files, memory: Memory) -> None:
        self.files = files
        self.packs = memory.packs
        self._memory = memory
        #: Tells whether a question to a segment is to be given up.
        self.late: Callable[[], bool] | None = None
        self.identity = _identity(files.catalog)
        self._segments: dict[int, OpenSegment] = {}
        self.catalog = connect_reader(files.catalog, cache_kib=CACHE_KIB)
        try:
            #: Of the catalog: an older collector may still write it.
            self.version = self._check()
        except BaseException:
            self.catalog.close()
            raise

    def _check(self) -> int:
        owner = self.catalog.execute("PRAGMA application_id").fetchone()[0]
        version: int = self.catalog.execute("PRAGMA user_version").fetchone()[0]
        tables = self.catalog.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        begun = version and self.catalog.execute(SQL["version"]).fetchone()
        if owner != APPLICATION_ID and (owner or tables):
            raise StoreError(f"{self.files.catalog} is another program's database; give another --store")
        pending(MIGRATIONS, version, str(self.files.catalog))
        if not begun:
            raise no_store(self.files.catalog)
        return version

    def query(self, name: str, *parameters: Any) -> list[Any]:
        """The rows of a named statement over the catalog."""
        return self.catalog.execute(SQL[name], parameters).fetchall()

    def segments(self) -> list[Listed]:
        """The newest first."""
        return [Listed(*row) for row in self.catalog.execute(SQL["segments"])]

    def file(self, number: int) -> Path:
        """The file of a segment, as the catalog has it now."""
        found = self.query("generation", number)
        return self.files.segment(number, found[0][0] if found else 0)

    def segment(self, number: int) -> OpenSegment | None:
        """A segment's connection; None where the segment was dropped meanwhile or cannot be read."""
        file = self.file(number)
        while True:
            before = self._segments.get(number)
            found = self._open(number, file)
            if found is not None and found is before:
                return found
            now = self.file(number)
            if now == file:
                return found
            # Another file has taken the place of the one that we have opened or missed.
            file = now

    def _open(self, number: int, file: Path) -> OpenSegment | None:
        found = self._segments.pop(number, None)
        try:
            identity = (file, *_identity(file))
            if found is not None and found.identity != identity:
                found.connection.close()
                found = None
            if found is None:
                connection = connect_reader(file, cache_kib=CACHE_KIB)
                found = OpenSegment(connection, identity, self._memory)
                # From here on: what is interrupted before would look like a file that cannot be read.
                connection.set_progress_handler(self._look, LOOK)
        except FileNotFoundError:
            return None
        except sqlite3.Error as error:
            if file.exists():
                _log.warning(str(file), f"{explain(error, file)}; its tasks are left out")
            return None
        self._segments[number] = found
        while len(self._segments) > SEGMENTS:
            self._segments.pop(next(iter(self._segments))).connection.close()
        return found

    def _look(self) -> int:
        return int(self.late is not None and self.late())

    def spoil(self, number: int, error: sqlite3.Error) -> None:
        """A segment could not be read: say so, and open it anew next time."""
        found = self._segments.pop(number)
        _log.warning(str(found.identity[0]), f"{explain(error, found.identity[0])}; its tasks are left out")
        found.connection.close()

    def close(self) -> None:
        for segment in self._segments.values():
            segment.connection.close()
        self._segments.clear()
        self.catalog.close()


class Sessions:
    """Lends sessions out."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._memory = Memory()
        #: Of the catalog that this memory is of.
        self._identity: tuple[int, int] | None = None
        self._idle: list[Session] = []
        self._lock = threading.Lock()
        self._closed = False

    @contextmanager
    def use(self) -> Iterator[Session]:
        """A session for the calling thread; raises `StoreError` for whatever SQLite says."""
        file = self._files.catalog
        try:
            session = self._take()
        except sqlite3.Error as error:
            raise explain(error, file) if file.exists() else no_store(file) from error
        try:
            yield session
        except sqlite3.Error as error:
            session.close()
            raise explain(error, file) from error
        except BaseException:
            self._give(session)
            raise
        self._give(session)

    def _take(self) -> Session:
        if not self._files.catalog.exists():
            raise no_store(self._files.catalog)
        identity = _identity(self._files.catalog)
        with self._lock:
            if self._closed:
                raise StoreError(f"{self._files.catalog} has been closed")
            if identity != self._identity:
                # Another store has taken the place of the one before: its segments may go by the same paths and inodes.
                self._identity, self._memory = identity, Memory()
            memory = self._memory
            session = self._idle.pop() if self._idle else None
        if session is not None and session.identity != identity:
            session.close()
            session = None
        return session or Session(self._files, memory)

    def _give(self, session: Session) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < IDLE:
                self._idle.append(session)
                return
        session.close()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for session in idle:
            session.close()


def no_store(file: Path) -> StoreError:
    """What a reader is told before the first collector has run."""
    return StoreError(f"no store yet at {file}: the collector begins it (umbel up, or umbel collect)")


def _identity(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_dev, found.st_ino
