"""What alerting remembers, in a table of the store's schema; webs and evaluators need all rights on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from umbel.alerts.book import ROWS, NotLeading, Row, Shelf, checked, trimmed
from umbel.clock import Clock
from umbel.stores.postgres.connect import Connection
from umbel.stores.postgres.kept import Kept
from umbel.stores.postgres.schema import bring_up
from umbel.stores.postgres.target import Target
from umbel.stores.postgres.text import sought, stored, told
from umbel.stores.sqlfile import load

_SQL: Final = load(Path(__file__).with_name("alerts.sql"))
_SETTINGS: Final = {"lock_timeout": "5s", "statement_timeout": "5s"}


class PostgresAlertBook:
    """`umbel.alerts.book.AlertBook` over one connection; every statement may come twice."""

    def __init__(self, target: Target, *, clock: Clock | None = None) -> None:
        # An evaluator may come before the first collector.
        self._kept = Kept(target, "alerts", _SETTINGS, lambda connection: bring_up(connection, target))
        # Nothing here asks for the time: whoever calls tells it.
        del clock

    def lead(self, who: str, now: float, seconds: float) -> bool:
        asked = (now + seconds, who, now)
        return bool(self._kept.ask(lambda connection: connection.execute(_SQL["lead"], asked).fetchall()))

    def leave(self, who: str) -> None:
        self._kept.ask(lambda connection: connection.execute(_SQL["leave"], (who,)))

    def leader(self) -> tuple[str, float] | None:
        found = self._kept.ask(lambda connection: connection.execute(_SQL["leader"]).fetchone())
        return None if found is None else (found[0], found[1])

    def read(self, shelf: Shelf, limit: int | None = None) -> Sequence[Row]:
        asked = (shelf.value, limit or ROWS[shelf])
        rows = self._kept.ask(lambda connection: connection.execute(_SQL["read"], asked).fetchall())
        return [Row(shelf, told(key), at, told(data)) for key, at, data in rows]

    def write(self, puts: Sequence[Row], drops: Sequence[tuple[Shelf, str]] = (), leader: str = "") -> None:
        checked(puts)

        def write(connection: Connection) -> None:
            with connection.transaction():
                if leader and (connection.execute(_SQL["hold"]).fetchone() or ("",))[0] != leader:
                    raise NotLeading
                for shelf, key in drops:
                    connection.execute(_SQL["drop"], (shelf.value, sought(key)))
                for row in puts:
                    connection.execute(_SQL["put"], (row.shelf.value, stored(row.key), row.at, stored(row.data)))
                for shelf in trimmed(puts):
                    connection.execute(_SQL["trim"], (shelf.value, shelf.value, ROWS[shelf]))

        self._kept.ask(write)

    def close(self) -> None:
        self._kept.close()
