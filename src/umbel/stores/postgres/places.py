"""In which parts tasks are that a commit is about: asked of few parts, however many there are.

An id tells nothing of its part, so every part would have to be asked for every new id. No task is added to a part that
is over, so the collector that leads makes a Bloom filter of its ids then, which all collectors load: they ask a part
with a filter only for the ids that may be there, and those without one for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from zlib import crc32

from umbel.stores.postgres.session import Session

#: Bits for each task: with four of them set for each, of 400 other ids one is asked for in vain.
BITS: Final = 16
#: Bytes of filters that a collector holds; parts beyond them are asked for every id.
ROOM: Final = 64 * 1024 * 1024
#: Commits after which filters that were missing are looked for once more.
AGAIN: Final = 100

_WORD: Final = (1 << 32) - 1
Hashes = tuple[int, int, int, int]


def make(ids: Iterable[str], count: int) -> bytes:
    """The filter of some ids, about `count`."""
    bits = bytearray(max(1, count * BITS // 8))
    size = len(bits) * 8
    for id_ in ids:
        for hash_ in hashes_of(id_):
            place = hash_ * size >> 32
            bits[place >> 3] |= 1 << (place & 7)
    return bytes(bits)


def hashes_of(id_: str) -> Hashes:
    """The same in every process and for ever."""
    raw = id_.encode()
    one, other = crc32(raw), crc32(raw[::-1])
    return one, other, one + other & _WORD, one + 3 * other & _WORD


def may_hold(bits: bytes, hashes: Iterable[tuple[str, Hashes]]) -> list[str]:
    """Of ids with their hashes, those that a filter's part may hold."""
    size = len(bits) * 8
    found = []
    for id_, (a, b, c, d) in hashes:
        at = a * size >> 32
        if not bits[at >> 3] >> (at & 7) & 1:
            continue
        at = b * size >> 32
        if not bits[at >> 3] >> (at & 7) & 1:
            continue
        at, other = c * size >> 32, d * size >> 32
        if bits[at >> 3] >> (at & 7) & bits[other >> 3] >> (other & 7) & 1:
            found.append(id_)
    return found


class Places:
    """Remembers the filters, as long as its session lives."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._filters: dict[int, bytes] = {}
        self._unfiltered: list[int] = []
        self._newest = 0
        self._asked = 0

    def of(self, ids: Sequence[str], newest: int) -> Mapping[str, int]:
        """The parts of the stored ids among some; within a commit, whose new tasks go to the newest part."""
        self._look_for_filters(newest)
        found: dict[str, int] = dict(self._session.execute("where", self._unfiltered, ids).fetchall())
        hashes = [(id_, hashes_of(id_)) for id_ in ids if id_ not in found] if self._filters else []
        suspects = [(part, id_) for part, bits in self._filters.items() for id_ in may_hold(bits, hashes)]
        if suspects:
            found |= self._session.execute("where_in", *map(list, zip(*suspects, strict=True))).fetchall()
        return found

    def forget(self) -> None:
        """Drop the filters: the tables may be others from now on."""
        self._filters.clear()
        self._newest = 0

    def _look_for_filters(self, newest: int) -> None:
        self._asked += 1
        if newest == self._newest and self._asked % AGAIN:
            return
        self._newest = newest
        parts = [number for (number,) in self._session.execute("part_numbers")]
        self._filters = {part: bits for part, bits in self._filters.items() if part in parts}
        room = ROOM - sum(map(len, self._filters.values()))
        wanted = [part for part in parts if part not in self._filters]
        sizes = self._session.execute("filter_sizes", wanted).fetchall()
        for part, size in sizes:
            if size <= room:
                room -= size
                self._filters[part] = self._session.one("filter", part)
        self._unfiltered = [part for part in parts if part not in self._filters]
