"""The journal in a small SQLite file of its own beside the store: several webs write to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from umbel.clock import Clock, SystemClock
from umbel.stores import migrate
from umbel.stores.journal import ENTRIES, Entry, Kind, packed, unpacked
from umbel.stores.sqlfile import load
from umbel.stores.sqlite.beside import Beside

_SQL: Final = load(Path(__file__).with_name("journal.sql"))
_MIGRATIONS: Final = migrate.load(Path(__file__).parent / "migrations" / "journal")


class SqliteJournal:
    """`umbel.stores.journal.Journal` beside the catalog at `path`."""

    def __init__(self, path: Path, *, clock: Clock | None = None, entries: int = ENTRIES) -> None:
        file = path.with_name(f"{path.name}.journal")
        remedy = "give another --store"
        self._beside = Beside(file, clock or SystemClock(), _MIGRATIONS, "the journal", remedy)
        self._entries = entries

    def put(self, entry: Entry) -> None:
        data = packed(entry)
        with self._beside.open() as connection:
            connection.execute(_SQL["put"], (entry.kind.value, entry.key, entry.at, data))
            connection.execute(_SQL["trim"], (entry.kind.value, self._entries))

    def drop(self, kind: Kind, key: str) -> None:
        with self._beside.open() as connection:
            connection.execute(_SQL["drop"], (kind.value, key))

    def read(self, kind: Kind, limit: int = ENTRIES, since: float = 0.0) -> Sequence[Entry]:
        with self._beside.open() as connection:
            rows = connection.execute(_SQL["read"], (kind.value, since, limit)).fetchall()
        return [unpacked(kind, *row) for row in rows]

    def close(self) -> None:
        self._beside.close()
