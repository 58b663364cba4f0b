"""The records of a sealed segment: 64 at a time, column by column, compressed together."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from umbel.stores.sqlfile import load

#: Positions of a block.
ROWS: Final = 64
#: A record: body, args, kwargs, result, traceback.
FIELDS: Final = 5
#: Where the texts are that a search may look at.
ARGS, KWARGS, RESULT, TRACEBACK = 1, 2, 3, 4
#: Decompressed blocks that a reader of them remembers.
REMEMBERED: Final = 4

Record = Sequence[Any]

SQL: Final = load(Path(__file__).with_name("sealed.sql"))
_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final[Callable[[bytes], list[list[Any]]]] = msgspec.msgpack.Decoder().decode


def pack_blocks(records: Iterable[tuple[int, Record]]) -> Iterator[tuple[int, bytes]]:
    """The blocks (number, data) of records that come by ascending position; positions may be missing."""
    number, rows = 0, _empty()
    for position, record in records:
        if position // ROWS != number:
            yield from _block(number, rows)
            number, rows = position // ROWS, _empty()
        rows[position % ROWS] = record
    yield from _block(number, rows)


def _empty() -> list[Record | None]:
    return [None] * ROWS


def _block(number: int, rows: list[Record | None]) -> Iterator[tuple[int, bytes]]:
    if any(rows):
        columns = [[row[field] if row else None for row in rows] for field in range(FIELDS)]
        yield number, zlib.compress(_pack(columns), 6)


class Blocks:
    """The records of one sealed segment, by position; a few blocks are remembered."""

    def __init__(self, connection: sqlite3.Connection, schema: str = "main") -> None:
        self._connection = connection
        self._block = SQL["block"].format(schema=schema)
        self._kept: dict[int, list[list[Any]]] = {}

    def record(self, position: int) -> Record | None:
        """The record as it was sealed, or None."""
        columns = self._columns(position // ROWS)
        at = position % ROWS
        return None if columns is None or columns[0][at] is None else [column[at] for column in columns]

    def field(self, position: int, field: int) -> Any:
        """One field of it, or None."""
        columns = self._columns(position // ROWS)
        return None if columns is None else columns[field][position % ROWS]

    def _columns(self, number: int) -> list[list[Any]] | None:
        columns = self._kept.get(number)
        if columns is None:
            found = self._connection.execute(self._block, (number,)).fetchone()
            if found is None:
                return None
            columns = _unpack(zlib.decompress(found[0]))
            if len(self._kept) >= REMEMBERED:
                self._kept.pop(next(iter(self._kept)))
            self._kept[number] = columns
        return columns
