"""The writer's connection: its place among the collectors, and its temporary tables."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg

from umbel.errors import StoreBusy
from umbel.stores.postgres.connect import Connection, connect, guard
from umbel.stores.postgres.schema import LEADER, SQL, bring_up
from umbel.stores.postgres.target import Target

#: Collectors at once.
SLOTS: Final = 64
#: How long a lock is waited for before the caller is told to try again, and how long a statement may take.
LOCK_TIMEOUT: Final = "1s"
STATEMENT_TIMEOUT: Final = "60s"
#: Everything that the writer looks up it finds by a key: plans that read whole tables are never right.
_PLANS: Final = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}
_SETTINGS: Final = {"lock_timeout": LOCK_TIMEOUT, "statement_timeout": STATEMENT_TIMEOUT, **_PLANS}


class Session:
    """One connection to an up-to-date store; the server frees its slot and its leadership when the connection ends."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.connection: Connection = connect(target, "collect", _SETTINGS)
        self._leads = False
        try:
            bring_up(self.connection, target)
            with guard(target):
                self.slot = self._take_slot()
                self.execute("begin_book", self.slot)
                for table in ("make_incoming", "make_changed", "make_cells"):
                    self.execute(table)
        except BaseException:
            self.close()
            raise

    def _take_slot(self) -> int:
        for slot in range(SLOTS):
            if self.one("try_session_lock", self.target.lock_space, slot):
                return slot
        raise StoreBusy(f"{self.target} has {SLOTS} collectors already; stop one")

    def execute(self, statement: str, *parameters: Any) -> psycopg.Cursor[tuple[Any, ...]]:
        """Run a named statement."""
        return self.connection.execute(SQL[statement], parameters)

    def execute_named(self, statement: str, values: Mapping[str, Any]) -> None:
        """Run a named statement whose parameters have names."""
        self.connection.execute(SQL[statement], values)

    def execute_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a named statement once for each row."""
        with self.connection.cursor() as cursor:
            cursor.executemany(SQL[statement], rows)

    def one(self, statement: str, *parameters: Any) -> Any:
        """The first value of the first row, None where there is no row."""
        row = self.execute(statement, *parameters).fetchone()
        return row[0] if row else None

    def leads(self) -> bool:
        """Whether this collector does the chores of one alone: the first to ask does, as long as it lives."""
        if not self._leads:
            self._leads = bool(self.one("try_session_lock", self.target.lock_space, LEADER))
        return self._leads

    @property
    def broken(self) -> bool:
        return self.connection.closed

    def close(self) -> None:
        """Close; a transaction that has not ended is rolled back by the server."""
        with contextlib.suppress(psycopg.Error):
            self.connection.close()
