"""The journal as rows of the table `entry`, in which of one key the greatest version counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from umbel.clock import Clock, SystemClock
from umbel.stores.clickhouse.books import COLUMNS, entry_row
from umbel.stores.clickhouse.connection import Connection
from umbel.stores.clickhouse.target import Target
from umbel.stores.journal import ENTRIES, Entry, Kind, most, packed, unpacked
from umbel.stores.sqlfile import load

_SQL: Final = load(Path(__file__).with_name("journal.sql"))


class ClickHouseJournal:
    """`umbel.stores.journal.Journal` in the store's database."""

    def __init__(self, target: Target, *, clock: Clock | None = None, entries: int = ENTRIES) -> None:
        self._connection = Connection(target)
        self._clock = clock or SystemClock()
        self._entries = entries

    def put(self, *entries: Entry) -> None:
        for kind in {entry.kind for entry in entries}:
            rows = {entry.key: (entry.at, packed(entry)) for entry in entries if entry.kind is kind}
            self._write(kind, rows)
            beyond = {"kind": _kind(kind), "entries": most(kind, self._entries)}
            self._write(kind, {key: (at, "") for key, at in self._connection.query(_SQL["beyond"], beyond)})

    def drop(self, kind: Kind, *keys: str) -> None:
        self._write(kind, {key: (self._clock.now(), "") for key in keys})

    def read(self, kind: Kind, limit: int = ENTRIES, since: float = 0.0) -> Sequence[Entry]:
        asked = {"kind": _kind(kind), "since": since, "limit": limit}
        return [unpacked(kind, key, at, data) for key, at, data in self._connection.query(_SQL["read"], asked)]

    def find(self, kind: Kind, keys: Sequence[str]) -> Mapping[str, Entry]:
        rows = self._connection.query(_SQL["find"], {"kind": _kind(kind), "keys": list(keys)}) if keys else ()
        return {key: unpacked(kind, key, at, data) for key, at, data in rows}

    def under(self, kind: Kind, stem: str, limit: int = ENTRIES) -> Sequence[Entry]:
        asked = {"kind": _kind(kind), "stem": stem, "limit": limit}
        return [unpacked(kind, key, at, data) for key, at, data in self._connection.query(_SQL["under"], asked)]

    def close(self) -> None:
        self._connection.close()

    def _write(self, kind: Kind, rows: Mapping[str, tuple[float, str]]) -> None:
        """One block, so all or none of it."""
        if not rows:
            return
        asked = {"kind": _kind(kind), "keys": list(rows)}
        latest: dict[str, int] = {row[0]: row[1] for row in self._connection.query(_SQL["versions"], asked)}
        # Of two webs that write at once the later clock wins; of one web, the later call.
        now = int(self._clock.now() * 1e6)
        block = [
            entry_row(_kind(kind), key, max(latest.get(key, 0) + 1, now), at, data=data)
            for key, (at, data) in rows.items()
        ]
        self._connection.insert("entry", COLUMNS, block)


def _kind(kind: Kind) -> str:
    return f"journal-{kind.value}"
