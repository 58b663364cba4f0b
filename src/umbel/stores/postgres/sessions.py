"""Connections for readers, each used by one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import psycopg

from umbel.errors import StoreError
from umbel.stores.postgres.connect import Connection, connect, explain
from umbel.stores.postgres.schema import MIGRATIONS, version_of
from umbel.stores.postgres.target import Target
from umbel.stores.sqlfile import load

#: Connections kept for the next request.
IDLE: Final = 4

SQL: Final = load(Path(__file__).with_name("reader.sql"))
#: What the server says of a connection that it has ended, or that ended with it.
_ENDED: Final = (psycopg.OperationalError, psycopg.InterfaceError)

T = TypeVar("T")


class ReadSession:
    """One connection that only reads."""

    def __init__(self, target: Target, budget: float) -> None:
        limit = f"{max(1, round(budget * 1000))}ms"
        settings = {"default_transaction_read_only": "on", "statement_timeout": limit, "lock_timeout": limit}
        self.connection: Connection = connect(target, "web", settings)
        try:
            _check(self.connection, target)
        except BaseException:
            self.connection.close()
            raise

    def query(self, name: str, *parameters: Any) -> list[Any]:
        """The rows of a named statement."""
        return self.connection.execute(SQL[name], parameters).fetchall()

    def rows(self, statement: str, parameters: tuple[Any, ...]) -> list[Any]:
        """The rows of a statement built by us, which came in binary form."""
        # What the statement consists of is ours; what the user wrote is in the parameters.
        return self.connection.cursor(binary=True).execute(statement.encode(), parameters).fetchall()


class Sessions:
    """Lends connections out."""

    def __init__(self, target: Target, budget: float) -> None:
        self._target = target
        self._budget = budget
        self._idle: list[ReadSession] = []
        self._lock = threading.Lock()
        self._closed = False

    def ask(self, question: Callable[[ReadSession], T]) -> T:
        """The answer of a question; asked once more where a kept connection turns out to have ended."""
        session, is_kept = self._take()
        try:
            with self._lent(session):
                return question(session)
        except StoreError as error:
            if not (is_kept and session.connection.closed and isinstance(error.__cause__, _ENDED)):
                raise
        session, _ = self._take(fresh=True)
        with self._lent(session):
            return question(session)

    @contextmanager
    def _lent(self, session: ReadSession) -> Iterator[None]:
        """Gives the connection back if it can be used again; raises `StoreError` for whatever PostgreSQL says."""
        try:
            yield
        except psycopg.errors.UndefinedTable as error:
            session.connection.close()
            raise no_store(self._target) from error
        except psycopg.Error as error:
            session.connection.close()
            raise explain(error, self._target) from error
        finally:
            self._give(session)

    def _take(self, *, fresh: bool = False) -> tuple[ReadSession, bool]:
        """A connection, and whether it has been used before."""
        with self._lock:
            if self._closed:
                raise StoreError(f"{self._target} has been closed")
            if fresh:
                # If one has ended, so have the others.
                ended, self._idle = self._idle, []
            else:
                ended, kept = [], self._idle.pop() if self._idle else None
                if kept is not None:
                    return kept, True
        for session in ended:
            session.connection.close()
        return ReadSession(self._target, self._budget), False

    def _give(self, session: ReadSession) -> None:
        if session.connection.closed:
            return
        with self._lock:
            if not self._closed and len(self._idle) < IDLE:
                self._idle.append(session)
                return
        session.connection.close()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for session in idle:
            session.connection.close()


def _check(connection: Connection, target: Target) -> None:
    """Raises `StoreError` where there is no store that this version can read."""
    version = version_of(connection, target)
    if not version:
        raise no_store(target)
    if version < len(MIGRATIONS):
        raise StoreError(
            f"{target} has the format of an older Umbel ({version}, this one reads {len(MIGRATIONS)}): "
            "start this version's collector once, it brings the store up to date"
        )


def no_store(target: Target) -> StoreError:
    """What a reader is told before the first collector has run."""
    return StoreError(f"no store yet at {target}: the collector begins it (umbel up, or umbel collect)")
