"""Credentials in a table of the store's schema; webs need SELECT, INSERT and DELETE on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from umbel.clock import Clock
from umbel.stores.credentials import SqlVault
from umbel.stores.postgres.connect import Connection
from umbel.stores.postgres.kept import Kept
from umbel.stores.postgres.schema import bring_up
from umbel.stores.postgres.target import Target
from umbel.stores.sqlfile import load

_SQL: Final = load(Path(__file__).with_name("vault.sql"))
_SETTINGS: Final = {"lock_timeout": "5s", "statement_timeout": "5s"}


class PostgresVault(SqlVault):
    """`umbel.access.base.Vault` over one connection; every statement may come twice."""

    def __init__(self, target: Target, *, clock: Clock) -> None:
        # A web may come before the first collector.
        self._kept = Kept(target, "access", _SETTINGS, lambda connection: bring_up(connection, target))
        # Nothing here asks for the time.
        del clock

    def close(self) -> None:
        self._kept.close()

    def _run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        def rows(connection: Connection) -> list[tuple[Any, ...]]:
            cursor = connection.execute(_SQL[statement], values)
            return cursor.fetchall() if cursor.description else []

        return self._kept.ask(rows)
