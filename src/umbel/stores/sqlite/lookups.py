"""Which of some ids are in a segment that is not open: connections that can do no more, so that many may be kept.

The filter asks each segment in vain for one id in some hundred, so a commit into a long history asks nearly all of its
segments. To open each of them for that, as for writing, took longer than the rest of the commit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from umbel.stores.sqlfile import load
from umbel.stores.sqlite.connect import connect_reader
from umbel.stores.sqlite.ids import WITH_ID, Key

#: Segments of which a connection is kept, and the page cache of each, KiB.
KEPT: Final = 128
CACHE_KIB: Final = 64
#: Ids asked for in one statement.
SOME: Final = 100

SQL: Final = load(Path(__file__).with_name("segment.sql"))


class _Lookup(NamedTuple):
    file: Path
    connection: sqlite3.Connection
    #: A query of ids, to be followed by the ones that are looked for.
    query: str

    @classmethod
    def of(cls, file: Path) -> _Lookup:
        connection = connect_reader(file, cache_kib=CACHE_KIB)
        by_stretches = connection.execute(SQL["ids_by_stretches"]).fetchone()[0]
        where = f"n IN ({WITH_ID} IN ({{}}))" if by_stretches else "id IN ({})"
        return cls(file, connection, f"SELECT id FROM task WHERE {where}")  # noqa: S608 - built by us

    def there(self, keys: Sequence[Key]) -> Iterator[Key]:
        """Those of some ids that the segment has."""
        for start in range(0, len(keys), SOME):
            some = keys[start : start + SOME]
            for (id_,) in self.connection.execute(self.query.format(",".join("?" * len(some))), some):
                yield id_


class Lookups:
    """Connections by the segment's number, those used last at the end."""

    def __init__(self) -> None:
        self._kept: dict[int, _Lookup] = {}

    def there(self, number: int, file: Path, keys: Sequence[Key]) -> Sequence[Key]:
        """Those of some ids that are in a segment; all of them where that cannot be told."""
        try:
            return list(self._lookup(number, file).there(keys))
        except sqlite3.Error:
            # Whoever opens the segment then says what is wrong with it.
            self.release(number)
            return keys

    def _lookup(self, number: int, file: Path) -> _Lookup:
        found = self._kept.get(number)
        if found is None or found.file != file or not file.exists():
            self.release(number)
            found = _Lookup.of(file)
        self._kept.pop(number, None)
        self._kept[number] = found
        while len(self._kept) > KEPT:
            self.release(next(iter(self._kept)))
        return found

    def release(self, number: int) -> None:
        """Close the connection to a segment, if there is one."""
        found = self._kept.pop(number, None)
        if found is not None:
            found.connection.close()

    def close(self) -> None:
        for number in list(self._kept):
            self.release(number)
