"""Word of commits, as the server sends it to who listens."""

from __future__ import annotations

import logging
from typing import Final

import psycopg
from psycopg import sql

from umbel.clock import Clock
from umbel.errors import StoreError
from umbel.logs import Limited
from umbel.stores.postgres.connect import Connection, connect
from umbel.stores.postgres.target import Target

_log: Final = Limited(logging.getLogger(__name__))


class News:
    """One connection that listens, made when it is first asked for; one thread uses it, any may close it."""

    def __init__(self, target: Target, clock: Clock) -> None:
        self._target = target
        self._clock = clock
        self._connection: Connection | None = None

    def wait(self, timeout: float) -> None:
        """Return at the next commit, or after `timeout` seconds; at once where one may have passed unheard."""
        try:
            if self._connection is None:
                self._listen()
                return
            for _ in self._connection.notifies(timeout=timeout, stop_after=1):
                pass
        except (psycopg.Error, StoreError) as error:
            _log.warning("news", f"{self._target} sends no word of commits, it is asked instead: {error}")
            self.close()
            self._clock.sleep(timeout)

    def _listen(self) -> None:
        self._connection = connection = connect(self._target, "web news", {})
        connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._target.channel)))

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
