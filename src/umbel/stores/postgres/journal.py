"""The journal in a table of the store's schema, which the collector makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

import psycopg

from umbel.clock import Clock
from umbel.errors import StoreError
from umbel.stores.journal import ENTRIES, Entry, Kind, most, packed, unpacked
from umbel.stores.postgres.connect import Connection
from umbel.stores.postgres.kept import Kept
from umbel.stores.postgres.target import Target
from umbel.stores.postgres.text import sought, stored, told
from umbel.stores.sqlfile import load

_SQL: Final = load(Path(__file__).with_name("journal.sql"))
#: The longest that a statement may take, and a lock be waited for.
_SETTINGS: Final = {"statement_timeout": "5s", "lock_timeout": "2s"}

T = TypeVar("T")


class PostgresJournal:
    """`umbel.stores.journal.Journal` on a schema of a database; one connection, made when it is first needed."""

    def __init__(
        self,
        target: Target,
        *,
        clock: Clock | None = None,  # noqa: ARG002 - every engine's is made alike
        entries: int = ENTRIES,
    ) -> None:
        self._target = target
        self._entries = entries
        self._kept = Kept(target, "journal", _SETTINGS)

    def put(self, *entries: Entry) -> None:
        # In one order, so that nobody waits in a circle.
        ordered = sorted(entries, key=lambda entry: (entry.kind.value, entry.key))
        rows = [(entry.kind.value, stored(entry.key), entry.at, stored(packed(entry))) for entry in ordered]

        def write(connection: Connection) -> None:
            with connection.transaction(), connection.cursor() as cursor:
                cursor.executemany(_SQL["put"], rows)
                for kind in {entry.kind for entry in entries}:
                    cursor.execute(_SQL["trim"], (kind.value, kind.value, most(kind, self._entries)))

        self._ask(write)

    def drop(self, kind: Kind, *keys: str) -> None:
        sought_ = sorted(sought(key) for key in keys)
        self._ask(lambda connection: connection.execute(_SQL["drop"], (kind.value, sought_)))

    def read(self, kind: Kind, limit: int = ENTRIES, since: float = 0.0) -> Sequence[Entry]:
        rows = self._ask(lambda connection: connection.execute(_SQL["read"], (kind.value, since, limit)).fetchall())
        return [unpacked(kind, told(key), at, told(texts)) for key, at, texts in rows]

    def find(self, kind: Kind, keys: Sequence[str]) -> Mapping[str, Entry]:
        asked = (kind.value, [sought(key) for key in keys])
        rows = self._ask(lambda connection: connection.execute(_SQL["find"], asked).fetchall())
        return {entry.key: entry for entry in (unpacked(kind, told(key), at, told(texts)) for key, at, texts in rows)}

    def under(self, kind: Kind, stem: str, limit: int = ENTRIES) -> Sequence[Entry]:
        asked = (kind.value, sought(stem), sought(stem), limit)
        rows = self._ask(lambda connection: connection.execute(_SQL["under"], asked).fetchall())
        return [unpacked(kind, told(key), at, told(texts)) for key, at, texts in rows]

    def close(self) -> None:
        self._kept.close()

    def _ask(self, question: Callable[[Connection], T]) -> T:
        def asked(connection: Connection) -> T:
            try:
                return question(connection)
            except psycopg.errors.UndefinedTable as error:
                raise StoreError(f"no journal yet at {self._target}: start this version's collector once") from error

        return self._kept.ask(asked)
