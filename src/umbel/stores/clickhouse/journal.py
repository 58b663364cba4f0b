"""The journal as rows of the table `entry`, in which of one key the greatest version counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from umbel.clock import Clock, SystemClock
from umbel.stores.clickhouse.books import COLUMNS, entry_row
from umbel.stores.clickhouse.connection import Connection
from umbel.stores.clickhouse.target import Target
from umbel.stores.journal import ENTRIES, Entry, Kind, packed, unpacked
from umbel.stores.sqlfile import load

_SQL: Final = load(Path(__file__).with_name("journal.sql"))


class ClickHouseJournal:
    """`umbel.stores.journal.Journal` in the store's database."""

    def __init__(self, target: Target, *, clock: Clock | None = None, entries: int = ENTRIES) -> None:
        self._connection = Connection(target)
        self._clock = clock or SystemClock()
        self._entries = entries

    def put(self, entry: Entry) -> None:
        self._write(entry.kind, entry.key, entry.at, packed(entry))
        beyond = {"kind": _kind(entry.kind), "entries": self._entries}
        for key, at in self._connection.query(_SQL["beyond"], beyond):
            self._write(entry.kind, key, at, "")

    def drop(self, kind: Kind, key: str) -> None:
        self._write(kind, key, self._clock.now(), "")

    def read(self, kind: Kind, limit: int = ENTRIES, since: float = 0.0) -> Sequence[Entry]:
        asked = {"kind": _kind(kind), "since": since, "limit": limit}
        return [unpacked(kind, key, at, data) for key, at, data in self._connection.query(_SQL["read"], asked)]

    def close(self) -> None:
        self._connection.close()

    def _write(self, kind: Kind, key: str, at: float, data: str) -> None:
        ((latest,),) = self._connection.query(_SQL["version"], {"kind": _kind(kind), "key": key})
        # Of two webs that write at once the later clock wins; of one web, the later call.
        version = max(latest + 1, int(self._clock.now() * 1e6))
        self._connection.insert("entry", COLUMNS, [entry_row(_kind(kind), key, version, at, data=data)])


def _kind(kind: Kind) -> str:
    return f"journal-{kind.value}"
