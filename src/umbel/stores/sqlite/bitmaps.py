"""Sets of positions in a sealed segment as the bits of one large number, kept compressed by what they are of.

A key is the kind in the upper bits and the value in the lower ones. A kind with very many values has bits of its own
only for the most frequent ones; all others share `REST`.
"""

from __future__ import annotations

import re
import sqlite3
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from typing import Any, Final

from umbel.model.latency import bucket
from umbel.stores.sqlite.blocks import SQL

#: Values of a kind that have bits of their own.
VALUES: Final = 2_000
#: Stands for all other values; it is none that a kind has.
REST: Final = (1 << 40) - 1
#: Latency buckets that share their bits: durations of a factor of about 1.5.
COARSE: Final = 10
#: Positions that share the bits of their times.
ZONE: Final = 4_096

#: Share of its bytes below which a set is compressed.
WORTH: Final = 0.35

_SHIFT: Final = 40
#: Bytes of a usual set at most: where it is unpacked to at once.
_ROOM: Final = 32 * 1024
#: Bytes of a set that are looked through at once, how they are if no position is in them, and those with any bit.
_PIECE: Final = 256
_NONE: Final = bytes(_PIECE)
_ANY: Final = re.compile(rb"[^\0]").finditer


class Kind(IntEnum):
    """What the bits are of; the number is part of the stored form."""

    NAME = 1
    STATE = 2
    WORKER = 3
    QUEUE = 4
    #: Of each bucket of durations, in segments that were sealed before there were the two below.
    RUN = 5
    WAIT = 6
    #: Of the durations that are in a bucket or beyond it.
    RUN_FROM = 7
    WAIT_FROM = 8


#: What is kept of the columns of rows, in their order.
_COLUMNS: Final = (Kind.NAME, Kind.STATE, Kind.WORKER, Kind.QUEUE, Kind.RUN_FROM, Kind.WAIT_FROM)


def key_of(kind: Kind, value: int) -> int:
    """The key of a value's bits."""
    return (kind << _SHIFT) + value


def coarse(seconds: float) -> int:
    """The bits that a duration is in; it never falls with the duration."""
    return bucket(seconds) // COARSE


def build(rows: Iterable[tuple[Any, ...]], first_n: int) -> Iterator[tuple[int, bytes]]:
    """The bitmaps of rows (n, name, state, worker, queue, run, wait), as (key, data)."""
    kinds: list[dict[int, array[int]]] = [{} for _ in _COLUMNS]
    for n, name, state, worker, queue, run, wait in rows:
        at = n - first_n
        values = (
            name or 0,
            state,
            worker or 0,
            queue or 0,
            -1 if run is None else coarse(run),
            -1 if wait is None else coarse(wait),
        )
        for positions, value in zip(kinds, values, strict=True):
            if value >= 0:
                found = positions.get(value)
                if found is None:
                    found = positions[value] = array("I")
                found.append(at)
    for kind, positions in zip(_COLUMNS, kinds, strict=True):
        if kind in (Kind.RUN_FROM, Kind.WAIT_FROM):
            yield from _from(kind, positions)
            continue
        ranked = sorted(positions, key=lambda value: -len(positions[value]))
        for value in ranked[:VALUES]:
            yield key_of(kind, value), _packed(bits_of(positions[value]))
        if len(ranked) > VALUES:
            rest = (at for value in ranked[VALUES:] for at in positions[value])
            yield key_of(kind, REST), _packed(bits_of(rest))


def _from(kind: Kind, positions: Mapping[int, Iterable[int]]) -> Iterator[tuple[int, bytes]]:
    bits = 0
    for value in sorted(positions, reverse=True):
        bits |= number_of(positions[value])
        yield key_of(kind, value), _packed(bits.to_bytes((bits.bit_length() + 7) // 8, "little"))


def _packed(bits: bytes) -> bytes:
    """As it is stored: what compressing makes hardly smaller is not compressed, so that it is quicker to read."""
    packed = zlib.compress(bits, 6)
    return packed if len(packed) < len(bits) * WORTH else zlib.compress(bits, 0)


def bits_of(positions: Iterable[int]) -> bytes:
    """The set of positions, little-endian."""
    found = bytearray()
    for at in positions:
        byte = at >> 3
        if byte >= len(found):
            found.extend(bytes(max(byte + 1 - len(found), len(found))))
        found[byte] |= 1 << (at & 7)
    return bytes(found).rstrip(b"\0")


def number_of(positions: Iterable[int]) -> int:
    """The set of positions as a number."""
    return int.from_bytes(bits_of(positions), "little")


def positions_of(bits: int, *, descending: bool) -> Iterator[int]:
    """The positions in a set, in order."""
    data = bits.to_bytes((bits.bit_length() + 7) // 8, "little")
    order = range(7, -1, -1) if descending else range(8)
    pieces = range(0, len(data), _PIECE)
    for start in reversed(pieces) if descending else pieces:
        # Most bytes of most sets are 0.
        if data[start : start + _PIECE] == _NONE:
            continue
        found = [match.start() for match in _ANY(data, start, start + _PIECE)]
        for byte in reversed(found) if descending else found:
            value = data[byte]
            for bit in order:
                if value >> bit & 1:
                    yield byte * 8 + bit


class Bitmaps:
    """The bitmaps of one sealed segment, which never change."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._sizes: dict[Kind, dict[int, int]] = {}

    def sizes(self, kind: Kind) -> dict[int, int]:
        """The values that have bits of their own, ascending, with `REST` where there are others: bytes as stored.

        The fewer positions have a value, or lack it, the fewer bytes.
        """
        found = self._sizes.get(kind)
        if found is None:
            span = key_of(kind, 0), key_of(kind, REST) + 1
            rows = self._connection.execute(SQL["bitmap_sizes"], span)
            found = self._sizes[kind] = {key - span[0]: size for key, size in rows}
        return found

    def least(self, kind: Kind, value: int) -> int | None:
        """Of a kind whose bits are from a value on: the value whose bits are those from `value` on; None for none."""
        return min((number for number in self.sizes(kind) if number >= value), default=None)

    def bits(self, kind: Kind, value: int) -> int:
        """The positions that have a value; 0 where none has bits for it."""
        found = self._connection.execute(SQL["bitmap"], (key_of(kind, value),)).fetchone()
        return int.from_bytes(zlib.decompress(found[0], bufsize=_ROOM), "little") if found else 0
