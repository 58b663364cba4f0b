"""The engines under test: how to open each, and how to hurt it."""

from __future__ import annotations

import os
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import md5
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import psycopg

from tests.support.clickhouse import ClickHouseServer
from tests.support.postgres import PostgresServer
from umbel.access.base import Vault
from umbel.alerts.book import AlertBook
from umbel.clock import Clock, SystemClock
from umbel.model.merge import Task
from umbel.model.query import EVERYTHING, Node, Order, Page
from umbel.model.task import Summary
from umbel.stores.base import StoreReader, StoreWriter
from umbel.stores.clickhouse import (
    ClickHouseAlertBook,
    ClickHouseJournal,
    ClickHouseReader,
    ClickHouseVault,
    ClickHouseWriter,
)
from umbel.stores.clickhouse.anchors import Anchors
from umbel.stores.clickhouse.connection import Connection
from umbel.stores.clickhouse.spans import spans_of
from umbel.stores.clickhouse.target import Layout, Target
from umbel.stores.journal import Journal
from umbel.stores.postgres import (
    PostgresAlertBook,
    PostgresJournal,
    PostgresReader,
    PostgresVault,
    PostgresWriter,
    path_of,
)
from umbel.stores.sqlite import SqliteAlertBook, SqliteJournal, SqliteReader, SqliteVault, SqliteWriter
from umbel.stores.sqlite.segment import Segment

End = TypeVar("End", bound=StoreWriter | StoreReader | Journal)


class Crash(BaseException):
    """Stands for the death of the writing process."""


class StoreRig(ABC):
    """One engine with a store of its own."""

    #: What it says of being locked.
    locked_words = "locked"
    #: Rounds of upkeep that drop nothing after which there is nothing more to drop.
    idle_rounds = 60
    #: How many of the generated examples it is tried on.
    share = 1.0
    #: In how many commits its writing processes commit their history.
    batches = 150
    #: Fixtures of tests/services.py, and what is to be done with them for rigs to work, in child processes too.
    services: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def use(cls, *services: Any) -> None:
        """Take the services."""
        assert not services

    def __init__(self, directory: Path, clock: Clock | None = None) -> None:
        self.directory = directory
        self.clock = clock or SystemClock()
        self._kept: list[StoreWriter | StoreReader | Journal] = []

    def rolled_up(self, writer: object) -> bool:
        """Whether rounds of upkeep have nothing left to do before rules are followed."""
        return True

    def keep(self, end: End) -> End:
        """Remember a writer or reader, for `close`."""
        self._kept.append(end)
        return end

    def close(self) -> None:
        """Close every writer and reader; closing one twice is harmless."""
        for end in self._kept:
            end.close()

    @abstractmethod
    def writer(self, *, small: bool = True) -> StoreWriter:
        """A new writer, opened; bounds so small that histories of a test reach them, or larger ones."""

    @abstractmethod
    def reader(self, budget: float = 60.0) -> StoreReader:
        """A new reader."""

    @abstractmethod
    def journal(self, entries: int = 1_000) -> Journal:
        """A new journal; the store has been begun by a writer."""

    @abstractmethod
    def vault(self) -> Vault:
        """A new vault; the caller closes it."""

    @abstractmethod
    def alert_book(self) -> AlertBook:
        """A new book of alerts, for a store that may not be there yet; the caller closes it."""

    @abstractmethod
    def crash_before_books(self, writer: StoreWriter) -> None:
        """Let the next write die (`Crash`) after its tasks are durable and before its position is."""

    @abstractmethod
    def bury(self, writer: StoreWriter) -> None:
        """Free what a dead process would no longer hold."""

    @abstractmethod
    @contextmanager
    def locked(self) -> Iterator[None]:
        """Another program holds the store locked."""

    @abstractmethod
    @contextmanager
    def full(self, writer: StoreWriter) -> Iterator[None]:
        """There is no room for another page."""


class SqliteRig(StoreRig):
    """Segments of three tasks, and records of two in memory; or of 200 and 50."""

    @property
    def path(self) -> Path:
        return self.directory / "umbel.db"

    def writer(self, *, small: bool = True) -> SqliteWriter:
        size, cache = (3, 2) if small else (200, 50)
        made = SqliteWriter(self.path, clock=self.clock, segment_tasks=size, cache_tasks=cache, quiet=0.0)
        writer = self.keep(made)
        writer.open()
        return writer

    def reader(self, budget: float = 60.0) -> SqliteReader:
        return self.keep(SqliteReader(self.path, clock=self.clock, budget=budget))

    def journal(self, entries: int = 1_000) -> SqliteJournal:
        return self.keep(SqliteJournal(self.path, clock=self.clock, entries=entries))

    def vault(self) -> Vault:
        return SqliteVault(self.path, clock=self.clock)

    def alert_book(self) -> AlertBook:
        return SqliteAlertBook(self.path, clock=self.clock)

    def crash_before_books(self, writer: StoreWriter) -> None:
        assert isinstance(writer, SqliteWriter)

        def die() -> None:
            raise Crash

        writer._catalog.commit = die  # type: ignore[union-attr, method-assign]

    def bury(self, writer: StoreWriter) -> None:
        assert isinstance(writer, SqliteWriter)
        writer._drop()
        writer._lock.release()

    @contextmanager
    def locked(self) -> Iterator[None]:
        other = sqlite3.connect(self.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.close()

    @contextmanager
    def full(self, writer: StoreWriter) -> Iterator[None]:
        """SQLite itself says that it is full, in the newest segment."""
        assert isinstance(writer, SqliteWriter)
        shelf = writer._shelf
        assert shelf is not None
        opened = shelf.open

        def narrow(number: int) -> Segment:
            segment = opened(number)
            segment._connection.execute("PRAGMA max_page_count = 1").fetchone()
            return segment

        shelf.open = narrow  # type: ignore[method-assign]
        try:
            yield
        finally:
            shelf.open = opened  # type: ignore[method-assign]
            writer._abandon()


class PostgresRig(StoreRig):
    """A schema of its own on the session's server; parts of three tasks, or of 200."""

    services = ("postgres_server",)
    # A commit takes a server a while on a busy machine.
    share = 0.5
    #: Child processes find the server by this variable.
    VARIABLE = "TEST_POSTGRES_URL"

    @classmethod
    def use(cls, *services: PostgresServer) -> None:
        os.environ[cls.VARIABLE] = services[0].url()

    @property
    def schema(self) -> str:
        return f"t{md5(str(self.directory).encode()).hexdigest()[:20]}"

    @property
    def url(self) -> str:
        return f"{os.environ[self.VARIABLE]}&schema={self.schema}"

    def writer(self, *, small: bool = True) -> PostgresWriter:
        target, size = path_of(self.url), 3 if small else 200
        writer = self.keep(PostgresWriter(target, clock=self.clock, part_tasks=size))
        writer.open()
        return writer

    def reader(self, budget: float = 60.0) -> PostgresReader:
        return self.keep(PostgresReader(path_of(self.url), clock=self.clock, budget=budget))

    def journal(self, entries: int = 1_000) -> PostgresJournal:
        return self.keep(PostgresJournal(path_of(self.url), clock=self.clock, entries=entries))

    def vault(self) -> Vault:
        return PostgresVault(path_of(self.url), clock=self.clock)

    def alert_book(self) -> AlertBook:
        return PostgresAlertBook(path_of(self.url), clock=self.clock)

    def crash_before_books(self, writer: StoreWriter) -> None:
        """One transaction holds both: it dies when all but its end is written."""
        assert isinstance(writer, PostgresWriter)

        def die(session: object) -> None:
            raise Crash

        writer._commit = die  # type: ignore[method-assign]

    def bury(self, writer: StoreWriter) -> None:
        assert isinstance(writer, PostgresWriter)
        writer._drop()

    @contextmanager
    def locked(self) -> Iterator[None]:
        with self.other() as other, other.transaction():
            other.execute("LOCK TABLE task IN SHARE MODE")
            yield

    @contextmanager
    def full(self, writer: StoreWriter) -> Iterator[None]:
        """The server says what it says of a full disk, whenever a row is written."""
        with self.other() as other:
            other.execute(
                "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                "RAISE EXCEPTION USING ERRCODE = 'disk_full', MESSAGE = 'could not extend file'; END $$"
            )
            other.execute(
                "CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON task FOR EACH ROW EXECUTE FUNCTION full_disk()"
            )
            try:
                yield
            finally:
                other.execute("DROP FUNCTION full_disk CASCADE")

    @contextmanager
    def other(self) -> Iterator[psycopg.Connection[Any]]:
        """Another program's connection."""
        with psycopg.connect(os.environ[self.VARIABLE], autocommit=True) as connection:
            connection.execute(f"SET search_path = {self.schema}")
            yield connection


class ClickHouseRig(StoreRig):
    """A database of its own on the session's server.

    Parts of four microseconds in spans of two, and two ids remembered; or of a minute, 20 seconds and 50 ids.
    """

    services = ("clickhouse_server",)
    # Each example takes it many times as long as the others, and so does each commit.
    share = 0.1
    batches = 30
    # It knows no locks; what it does instead is this.
    locked_words = "too many parts"
    # Its rounds are the dearest; once all is rolled up, each part of a test may take one to be looked through.
    idle_rounds = 8
    #: Child processes find the server by this variable.
    VARIABLE = "TEST_CLICKHOUSE_PORT"

    @classmethod
    def use(cls, *services: ClickHouseServer) -> None:
        os.environ[cls.VARIABLE] = str(services[0].port)

    @property
    def target(self) -> Target:
        database = f"t{md5(str(self.directory).encode()).hexdigest()[:20]}"
        layout = Layout(60_000_000, 20_000_000) if self._large.exists() else Layout(4, 2)
        return Target("127.0.0.1", int(os.environ[self.VARIABLE]), database, layout=layout)

    @property
    def _large(self) -> Path:
        """Tells the rigs of other processes how the tables are laid out."""
        return self.directory / "large"

    def writer(self, *, small: bool = True) -> ClickHouseWriter:
        if not small:
            self._large.touch()
        anchors = Anchors(2) if small else Anchors(50)
        writer = self.keep(ClickHouseWriter(self.target, clock=self.clock, anchors=anchors))
        writer.open()
        return writer

    def reader(self, budget: float = 60.0) -> ClickHouseReader:
        return self.keep(ClickHouseReader(self.target, clock=self.clock, budget=budget, stretch=3))

    def rolled_up(self, writer: object) -> bool:
        assert isinstance(writer, ClickHouseWriter)
        return all(span.clean for span in spans_of(writer._connection)[:-1])

    def journal(self, entries: int = 1_000) -> ClickHouseJournal:
        return self.keep(ClickHouseJournal(self.target, clock=self.clock, entries=entries))

    def vault(self) -> Vault:
        return ClickHouseVault(self.target, clock=self.clock)

    def alert_book(self) -> AlertBook:
        return ClickHouseAlertBook(self.target, clock=self.clock)

    def crash_before_books(self, writer: StoreWriter) -> None:
        assert isinstance(writer, ClickHouseWriter)
        connection = writer._connection
        insert = connection.insert

        def die(table: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> None:
            if table == "entry":
                raise Crash
            insert(table, columns, rows)

        connection.insert = die  # type: ignore[method-assign]

    def bury(self, writer: StoreWriter) -> None:
        """A dead process holds nothing."""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The server itself refuses inserts: too many parts wait for their merges."""
        with self._setting("parts_to_throw_insert", 1):
            yield

    @contextmanager
    def full(self, writer: StoreWriter) -> Iterator[None]:
        """The server itself says that its disk is full."""
        with self._setting("min_free_disk_bytes_to_perform_insert", 1 << 60):
            yield

    @contextmanager
    def _setting(self, name: str, value: int) -> Iterator[None]:
        connection = Connection(self.target)
        connection.command(f"ALTER TABLE task MODIFY SETTING {name} = {value}")
        try:
            yield
        finally:
            connection.command(f"ALTER TABLE task RESET SETTING {name}")
            connection.close()


RIGS: dict[str, type[StoreRig]] = {"clickhouse": ClickHouseRig, "postgres": PostgresRig, "sqlite": SqliteRig}


def all_tasks(
    reader: StoreReader, where: Node = EVERYTHING, limit: int = 2, order: Order = Order.NEWEST
) -> list[Summary]:
    """Every page of an answer, put together."""
    found: list[Summary] = []
    cursor = ""
    while True:
        page = reader.tasks(where, Page(limit, cursor, order))
        assert len(page.items) <= limit
        found += page.items
        if page.next is None:
            assert page.complete
            return found
        cursor = page.next


def all_records(reader: StoreReader, limit: int = 2) -> list[Task]:
    """Every page of a scan, put together."""
    found: list[Task] = []
    cursor: str | None = ""
    while cursor is not None:
        page = reader.scan(cursor, limit)
        assert len(page.tasks) <= limit
        found += page.tasks
        cursor = page.next
    return found
