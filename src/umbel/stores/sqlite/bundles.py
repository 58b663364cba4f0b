"""Records of tasks that came whole into a segment that is not sealed: some 64 together, column by column, compressed.

A bundle is written once, with its tasks, and costs a fraction of as many rows. What is written of one of them later is
a row of `record`, which takes its place.
"""

from __future__ import annotations

import sqlite3
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from umbel.stores.sqlfile import load
from umbel.stores.sqlite.blocks import ARGS, RESULT, Record

#: Records in a bundle, and the fewest that are worth one.
ROWS: Final = 64
FEWEST: Final = 8
#: Of zlib: most of what there is to gain, for the least time.
LEVEL: Final = 1
#: Unpacked bundles that are remembered.
REMEMBERED: Final = 4

#: (n, body, args, kwargs, result, traceback), as `put_record` takes them.
Row = tuple[Any, ...]

_SQL: Final = load(Path(__file__).with_name("segment.sql"))
_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final[Callable[[bytes], list[list[Any]]]] = msgspec.msgpack.Decoder().decode


def pack_bundle(rows: Sequence[Row]) -> tuple[int, bytes]:
    """The parameters of `put_bundle` for some rows by ascending n."""
    return rows[0][0], zlib.compress(_pack(list(zip(*rows, strict=True))), LEVEL)


def has_bundles(connection: sqlite3.Connection, schema: str = "main") -> bool:
    """Whether the file has a place for bundles; older ones have none until their writer opens them."""
    return bool(connection.execute(_SQL["has_bundles"].format(schema=schema)).fetchone()[0])


class _Bundle(NamedTuple):
    #: The n of each record, ascending.
    ns: list[int]
    #: Body, args, kwargs, result, traceback.
    columns: list[list[Any]]


class Bundles:
    """The bundles of one segment; a few are remembered, as they never change."""

    def __init__(self, connection: sqlite3.Connection, schema: str = "main") -> None:
        self._connection = connection
        self._at = _SQL["bundle_at"].format(schema=schema)
        self._kept: dict[int, _Bundle] = {}

    def record(self, n: int) -> Record | None:
        """The record as it was bundled, or None."""
        bundle, at = self._find(n)
        return None if bundle is None else [column[at] for column in bundle.columns]

    def field(self, n: int, field: int) -> Any:
        """One field of it, or None."""
        bundle, at = self._find(n)
        return None if bundle is None else bundle.columns[field][at]

    def texts(self, low: int, high: int) -> Iterator[str]:
        """Arguments and results of the records with low <= n < high, those included that were written again later."""
        for (data,) in self._connection.execute(_SQL["bundles"], (low, high)):
            bundle = _opened(data)
            start, end = bisect_left(bundle.ns, low), bisect_left(bundle.ns, high)
            for column in bundle.columns[ARGS : RESULT + 1]:
                yield from column[start:end]

    def _find(self, n: int) -> tuple[_Bundle | None, int]:
        """The bundle that has a record, and its place there."""
        bundle = next((kept for kept in self._kept.values() if kept.ns[0] <= n <= kept.ns[-1]), None)
        if bundle is None:
            found = self._connection.execute(self._at, (n,)).fetchone()
            if found is None:
                return None, 0
            bundle = _opened(found[1])
            if len(self._kept) >= REMEMBERED:
                self._kept.pop(next(iter(self._kept)))
            self._kept[found[0]] = bundle
        at = bisect_left(bundle.ns, n)
        return (bundle, at) if at < len(bundle.ns) and bundle.ns[at] == n else (None, 0)


def _opened(data: bytes) -> _Bundle:
    ns, *columns = _unpack(zlib.decompress(data))
    return _Bundle(ns, columns)
