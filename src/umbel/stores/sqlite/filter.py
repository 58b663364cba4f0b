"""Which segments may know an id: a Bloom filter for 64 segments at once, one bit of each word for each of them.

Four words ANDed tell the candidates among 64 segments, however many tasks they hold. A bit that is set for a task that
was never committed costs one look in vain; a bit that is missing would make a task appear twice, so a segment's ids are
added anew at each start until its bits have been written to the group's file (see `filterfile.py`). Of groups to which
nothing is added any more the file itself is looked at, so that the memory taken does not grow with the history.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable
from hashlib import blake2b
from struct import Struct
from typing import Final

from umbel.errors import StoreError
from umbel.stores.sqlite.ids import BoundKey, Key

#: Segments in a group: bits of a word.
GROUP: Final = 64
#: Words for each task of a segment: with four hashes one id in 500 asks a segment in vain.
WORDS_PER_TASK: Final = 16

Slots = tuple[int, int, int, int]
_split: Final = Struct("<4I").unpack


def words_for(segment_tasks: int) -> int:
    """Words of a group's array for segments of this many tasks: a power of two."""
    return 1 << max(10, (segment_tasks * WORDS_PER_TASK - 1).bit_length())


def slots_of(key: Key | BoundKey, words: int) -> Slots:
    """Where the bits of an id are; the same in every process and for ever."""
    raw = key.encode() if isinstance(key, str) else key
    a, b, c, d = _split(blake2b(raw, digest_size=16).digest())
    mask = words - 1
    return a & mask, b & mask, c & mask, d & mask


def segments_in(group: int, bits: int) -> list[int]:
    """The numbers of the segments whose bits are set, the newest first."""
    found = []
    while bits:
        bit = bits.bit_length() - 1
        found.append(group * GROUP + bit)
        bits ^= 1 << bit
    return found


class Filter:
    """The bits of all live segments."""

    def __init__(self, words: int) -> None:
        self.words = words
        #: The words by group; those of a finished one are its file's, mapped.
        self.groups: dict[int, array[int] | memoryview[int]] = {}
        self._live: dict[int, int] = {}

    def slots(self, key: Key | BoundKey) -> Slots:
        return slots_of(key, self.words)

    def open(self, number: int) -> None:
        """Begin to answer for a segment."""
        group = number // GROUP
        if group not in self.groups:
            self.groups[group] = array("Q", bytes(8)) * self.words
        self._live[group] = self._live.get(group, 0) | 1 << number % GROUP

    def drop(self, number: int) -> None:
        """Answer for a segment no longer; a group without segments is freed."""
        group = number // GROUP
        live = self._live.get(group, 0) & ~(1 << number % GROUP)
        self._live[group] = live
        if not live:
            self._live.pop(group)
            self.groups.pop(group, None)

    def add(self, number: int, slots: Slots) -> None:
        """An id with these slots is in a segment."""
        words = self.groups[number // GROUP]
        if isinstance(words, memoryview):
            raise StoreError(f"the filter takes no more ids for segment {number}: its group is finished")
        bit = 1 << number % GROUP
        for slot in slots:
            words[slot] |= bit

    def claim(self, number: int, keys: Iterable[BoundKey]) -> dict[int, list[Key]]:
        """Add ids to a segment unless others may know them: by segment, those that it may know already.

        An id that one of them does know gets a needless bit. Looking and adding at once, as each word costs a look into
        memory that no cache holds.
        """
        group, bit, mask = number // GROUP, 1 << number % GROUP, self.words - 1
        words, live = self.groups[group], self._live[group]
        older = [other for other in self.groups if other != group]
        suspects: dict[int, list[Key]] = {}
        for key in keys:
            digest = blake2b(key.encode() if isinstance(key, str) else key, digest_size=16).digest()
            a, b, c, d = _split(digest)
            a, b, c, d = a & mask, b & mask, c & mask, d & mask
            in_a, in_b, in_c, in_d = words[a], words[b], words[c], words[d]
            bits = in_a & in_b & in_c & in_d & live
            if bits or older:
                for suspect in self.candidates((a, b, c, d)):
                    suspects.setdefault(suspect, []).append(key if isinstance(key, str) else bytes(key))
            words[a], words[b], words[c], words[d] = in_a | bit, in_b | bit, in_c | bit, in_d | bit
        return suspects

    def finish(self, group: int, words: memoryview[int]) -> None:
        """No id is added to a group any more: its words are these from now on."""
        self.groups[group] = words

    def candidates(self, slots: Slots) -> list[int]:
        """The segments that may know an id, the newest first."""
        a, b, c, d = slots
        found: list[int] = []
        for group in reversed(self.groups):
            words = self.groups[group]
            bits = words[a] & words[b] & words[c] & words[d] & self._live[group]
            if bits:
                found += segments_in(group, bits)
        return found


def stored_order(words: array[int]) -> array[int]:
    """The words in the byte order of the file (little-endian)."""
    if sys.byteorder == "little":
        return words
    swapped = words[:]
    swapped.byteswap()
    return swapped
