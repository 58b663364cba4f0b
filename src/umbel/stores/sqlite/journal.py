"""The journal in a small SQLite file of its own beside the store: several webs write to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from umbel.clock import Clock, SystemClock
from umbel.stores import migrate
from umbel.stores.journal import ENTRIES, Entry, Kind, most, packed, unpacked
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

    def put(self, *entries: Entry) -> None:
        rows = [(entry.kind.value, entry.key, entry.at, packed(entry)) for entry in entries]
        with self._beside.transaction() as connection:
            connection.executemany(_SQL["put"], rows)
            for kind in {entry.kind for entry in entries}:
                connection.execute(_SQL["trim"], (kind.value, most(kind, self._entries)))

    def drop(self, kind: Kind, *keys: str) -> None:
        with self._beside.transaction() as connection:
            connection.executemany(_SQL["drop"], [(kind.value, key) for key in keys])

    def read(self, kind: Kind, limit: int = ENTRIES, since: float = 0.0) -> Sequence[Entry]:
        with self._beside.open() as connection:
            rows = connection.execute(_SQL["read"], (kind.value, since, limit)).fetchall()
        return [unpacked(kind, *row) for row in rows]

    def find(self, kind: Kind, keys: Sequence[str]) -> Mapping[str, Entry]:
        with self._beside.open() as connection:
            rows = [row for key in keys for row in connection.execute(_SQL["find"], (kind.value, key))]
        return {key: unpacked(kind, key, at, texts) for key, at, texts in rows}

    def under(self, kind: Kind, stem: str, limit: int = ENTRIES) -> Sequence[Entry]:
        with self._beside.open() as connection:
            rows = connection.execute(_SQL["under"], (kind.value, stem, limit)).fetchall()
        return [unpacked(kind, *row) for row in rows]

    def close(self) -> None:
        self._beside.close()
