"""What alerting remembers, in a small SQLite file beside the catalog: webs and evaluators write to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from umbel.alerts.book import ROWS, NotLeading, Row, Shelf, checked, trimmed
from umbel.clock import Clock, SystemClock
from umbel.stores import migrate
from umbel.stores.sqlfile import load
from umbel.stores.sqlite.beside import Beside

_SQL: Final = load(Path(__file__).with_name("alerts.sql"))
_MIGRATIONS: Final = migrate.load(Path(__file__).parent / "migrations" / "alerts")


class SqliteAlertBook:
    """`umbel.alerts.book.AlertBook` beside the catalog at `path`."""

    def __init__(self, path: Path, *, clock: Clock | None = None) -> None:
        file = path.with_name(f"{path.name}.alerts")
        self._beside = Beside(file, clock or SystemClock(), _MIGRATIONS, "the file of alerts", "give another --store")

    def lead(self, who: str, now: float, seconds: float) -> bool:
        with self._beside.open() as connection:
            return bool(connection.execute(_SQL["lead"], (now + seconds, who, now)).fetchall())

    def leave(self, who: str) -> None:
        with self._beside.open() as connection:
            connection.execute(_SQL["leave"], (who,))

    def leader(self) -> tuple[str, float] | None:
        with self._beside.open() as connection:
            found: tuple[str, float] | None = connection.execute(_SQL["leader"]).fetchone()
        return found

    def read(self, shelf: Shelf, limit: int | None = None) -> Sequence[Row]:
        with self._beside.open() as connection:
            rows = connection.execute(_SQL["read"], (shelf.value, limit or ROWS[shelf])).fetchall()
        return [Row(shelf, *row) for row in rows]

    def write(self, puts: Sequence[Row], drops: Sequence[tuple[Shelf, str]] = (), leader: str = "") -> None:
        checked(puts)
        with self._beside.open() as connection, _transaction(connection):
            if leader and (connection.execute(_SQL["leader"]).fetchone() or ("",))[0] != leader:
                raise NotLeading
            connection.executemany(_SQL["drop"], [(shelf.value, key) for shelf, key in drops])
            connection.executemany(_SQL["put"], [(row.shelf.value, row.key, row.at, row.data) for row in puts])
            connection.executemany(_SQL["trim"], [(shelf.value, ROWS[shelf]) for shelf in trimmed(puts)])

    def close(self) -> None:
        self._beside.close()


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
