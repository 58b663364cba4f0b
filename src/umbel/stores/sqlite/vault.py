"""Credentials in a small SQLite file beside the catalog: the webs write to it, and the store is the collector's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from umbel.clock import Clock
from umbel.stores import migrate
from umbel.stores.credentials import SqlVault
from umbel.stores.sqlfile import load
from umbel.stores.sqlite.beside import Beside

_SQL: Final = load(Path(__file__).with_name("vault.sql"))
_MIGRATIONS: Final = migrate.load(Path(__file__).parent / "migrations" / "vault")


class SqliteVault(SqlVault):
    """`umbel.access.base.Vault` beside the catalog `file`; after a damage everybody signs in anew."""

    def __init__(self, file: Path, *, clock: Clock) -> None:
        aside = file.with_name(f"{file.name}.access")
        self._beside = Beside(aside, clock, _MIGRATIONS, "the file of sessions and tokens", "give another --store")

    def close(self) -> None:
        self._beside.close()

    def _run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._beside.open() as connection:
            return connection.execute(_SQL[statement], values).fetchall()
