"""Sets of positions in a sealed segment as the bits of one large number, kept compressed by what they are of.

A key is the kind in the upper bits and the value in the lower ones. A kind with very many values has bits of its own
only for the most frequent ones; all others share `REST`.
"""

from __future__ import annotations

import re
import sqlite3
import zlib
from array import array
from collections.abc import Iterable, Iterator
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

_SHIFT: Final = 40
#: Bytes of a set that are looked through at once, and those with any bit.
_PIECE: Final = 1_024
_ANY: Final = re.compile(rb"[^\0]").finditer


class Kind(IntEnum):
    """What the bits are of; the number is part of the stored form."""

    NAME = 1
    STATE = 2
    WORKER = 3
    QUEUE = 4
    RUN = 5
    WAIT = 6


def key_of(kind: Kind, value: int) -> int:
    """The key of a value's bits."""
    return (kind << _SHIFT) + value


def coarse(seconds: float) -> int:
    """The bits that a duration is in; it never falls with the duration."""
    return bucket(seconds) // COARSE


def build(rows: Iterable[tuple[Any, ...]], first_n: int) -> Iterator[tuple[int, bytes]]:
    """The bitmaps of rows (n, name, state, worker, queue, run, wait), as (key, data)."""
    kinds: list[dict[int, array[int]]] = [{} for _ in Kind]
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
    for kind, positions in zip(Kind, kinds, strict=True):
        ranked = sorted(positions, key=lambda value: -len(positions[value]))
        for value in ranked[:VALUES]:
            yield key_of(kind, value), zlib.compress(bits_of(positions[value]), 6)
        if len(ranked) > VALUES:
            rest = (at for value in ranked[VALUES:] for at in positions[value])
            yield key_of(kind, REST), zlib.compress(bits_of(rest), 6)


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
        self._values: dict[Kind, list[int]] = {}

    def values(self, kind: Kind) -> list[int]:
        """The values that have bits of their own, with `REST` where there are others."""
        found = self._values.get(kind)
        if found is None:
            span = key_of(kind, 0), key_of(kind, REST) + 1
            rows = self._connection.execute(SQL["bitmap_keys"], span)
            found = self._values[kind] = [key - span[0] for (key,) in rows]
        return found

    def bits(self, kind: Kind, value: int) -> int:
        """The positions that have a value; 0 where none has bits for it."""
        found = self._connection.execute(SQL["bitmap"], (key_of(kind, value),)).fetchone()
        return int.from_bytes(zlib.decompress(found[0]), "little") if found else 0
