"""One connection that is kept for short statements of the web: made when it is needed, and again when it has ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

import psycopg

from umbel.stores.postgres.connect import Connection, connect, explain
from umbel.stores.postgres.target import Target

T = TypeVar("T")


class Kept:
    """Used by one thread after the other; raises `StoreError` for whatever PostgreSQL says."""

    def __init__(
        self,
        target: Target,
        purpose: str,
        settings: Mapping[str, str],
        prepare: Callable[[Connection], None] | None = None,
    ) -> None:
        """`prepare` is done once with each new connection."""
        self._target = target
        self._purpose = purpose
        self._settings = dict(settings)
        self._prepare = prepare
        self._lock = threading.Lock()
        self._connection: Connection | None = None

    def ask(self, question: Callable[[Connection], T]) -> T:
        """The answer; asked once more where the connection of before turns out to have ended."""
        with self._lock:
            kept = self._connection
            try:
                return self._answer(question)
            except psycopg.Error as error:
                ended = kept is not None and kept.closed
                self._let_go()
                if not ended:
                    raise explain(error, self._target) from error
            try:
                return self._answer(question)
            except psycopg.Error as error:
                self._let_go()
                raise explain(error, self._target) from error

    def close(self) -> None:
        with self._lock:
            self._let_go()

    def _answer(self, question: Callable[[Connection], T]) -> T:
        if self._connection is None:
            self._connection = self._connect()
        return question(self._connection)

    def _connect(self) -> Connection:
        connection = connect(self._target, self._purpose, self._settings)
        try:
            if self._prepare is not None:
                self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
