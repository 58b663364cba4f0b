"""A small SQLite file of its own that any number of web processes write to: the store belongs to the collector."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from umbel.clock import Clock
from umbel.errors import StoreError
from umbel.stores.migrate import Migration
from umbel.stores.sqlite.connect import Damaged, connect_writer, guard, migrate

log = logging.getLogger(__name__)

#: Attempts to open the file while another web makes it.
TRIES: Final = 20


class Beside:
    """One connection, made when it is first needed; a damaged file is set aside under a dated name and a new one begun.

    `what` is what the log calls it; `remedy` is what to do where its directory cannot be made.
    """

    def __init__(self, file: Path, clock: Clock, migrations: Sequence[Migration], what: str, remedy: str) -> None:
        self._file = file
        self._clock = clock
        self._migrations = migrations
        self._what = what
        self._remedy = remedy
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """The connection, one thread at a time; each statement is a transaction of its own."""
        with self._lock:
            if self._connection is None:
                self._connection = self._connect()
            with guard(self._file):
                yield self._connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The connection; all that is done inside, or nothing of it."""
        with self.open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _connect(self) -> sqlite3.Connection:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StoreError(f"{self._file.parent} cannot be made: {error.strerror}; {self._remedy}") from error
        for _ in range(TRIES):
            try:
                return self._prepare()
            except Damaged as damage:
                self._set_aside(damage)
            except StoreError as error:
                # Two webs that start together both make the file; who comes second finds it made.
                log.debug("%s is not ready: %s", self._what, error)
                time.sleep(0.05)
        return self._prepare()

    def _set_aside(self, damage: Damaged) -> None:
        aside = self._file.with_name(f"{self._file.name}.damaged-{self._clock.now():.0f}")
        log.error("%s is set aside as %s, and a new one begun: %s", self._what, aside, damage.why)
        self._file.rename(aside)

    def _prepare(self) -> sqlite3.Connection:
        connection = connect_writer(self._file, cache_kib=256, checkpoint_pages=1_000)
        try:
            # Another web may be making the file at this moment.
            connection.execute("PRAGMA busy_timeout = 5000")
            # What was answered with "done" must be there whatever happens to the machine.
            connection.execute("PRAGMA synchronous = FULL")
            migrate(connection, self._file, self._migrations)
        except BaseException:
            connection.close()
            raise
        return connection
