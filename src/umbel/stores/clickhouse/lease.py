"""Which of several collectors does the chores: a word left in the store and renewed, for ClickHouse has no locks.

Two that take it at once both work until one of them looks again: no chore minds being done twice, it only costs.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from umbel.stores.clickhouse import books
from umbel.stores.clickhouse.connection import Connection
from umbel.stores.sqlfile import load

#: Seconds after which one that was not renewed is anybody's, and after which its owner looks again.
SECONDS: Final = 30.0
RENEW: Final = 10.0

_SQL: Final = load(Path(__file__).with_name("upkeep.sql"))


class Lease:
    """This collector's view of it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._own = secrets.token_hex(8)
        self._asked_at = 0.0
        self._version = 0
        self._held = False

    def held(self, now: float) -> bool:
        """Whether this collector does the chores at `now` (UTC seconds); takes them where nobody does."""
        if abs(now - self._asked_at) >= RENEW:
            found = self._connection.query(_SQL["lease"])
            self._version, at, owner = found[0] if found else (0, 0.0, "")
            self._held = owner in ("", self._own) or abs(now - at) > SECONDS
            if self._held:
                self._write(self._own, now)
            self._asked_at = now
        return self._held

    def release(self) -> None:
        """Leave them to the next that asks."""
        if self._held:
            self._held = False
            self._write("", self._asked_at)

    def _write(self, owner: str, now: float) -> None:
        # Greater than the one before, whatever the clock of its owner said.
        self._version = max(self._version + 1, int(now * 1e6))
        row = books.entry_row("lease", "chores", self._version, now, data=owner)
        self._connection.insert("entry", books.COLUMNS, [row])
