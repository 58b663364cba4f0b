"""The filter's words on disk: what a start need not compute again, and what readers find a task's segment by.

One file for each group of 64 segments, the words one after another, little-endian. A segment's bits are all in it once
the catalog says `filtered`; bits are only ever added, so a half-written file is as good as the old one or the new one.
"""

from __future__ import annotations

import mmap
import os
import sys
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from umbel.stores.sqlite.filter import GROUP, Filter, segments_in, slots_of, stored_order
from umbel.stores.sqlite.ids import Key

WORD: Final = 8
#: Words written at once (4 MiB).
PIECE: Final = 512 * 1024
#: Every segment of a group.
_ALL: Final = (1 << GROUP) - 1


def read(file: Path, words: int) -> array[int] | None:
    """The words of a file, or None if it is not there or has another size."""
    found = array("Q")
    try:
        with file.open("rb") as opened:
            if os.fstat(opened.fileno()).st_size != words * WORD:
                return None
            found.fromfile(opened, words)
    except (FileNotFoundError, EOFError):
        return None
    return stored_order(found)


def mapped(file: Path, words: int) -> memoryview[int] | None:
    """The words as they lie in the file, none of them in memory that is ours; None if it cannot be used so."""
    if sys.byteorder != "little":
        return None
    try:
        with file.open("rb") as opened:
            if os.fstat(opened.fileno()).st_size != words * WORD:
                return None
            return memoryview(mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ)).cast("Q")
    except FileNotFoundError:
        return None


class Saving:
    """Writes a group's words to its file, a piece at a time."""

    def __init__(self, file: Path, group: int, numbers: list[int]) -> None:
        #: The segments whose bits will all be in the file when this is done.
        self.numbers = numbers
        self.file = file
        self.group = group
        self._at = 0

    def step(self, filter_: Filter) -> bool:
        """Write the next piece; True when all is on disk. Raises `OSError`."""
        words = filter_.groups.get(self.group)
        if words is None or isinstance(words, memoryview):
            return True
        descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not self._at and os.fstat(descriptor).st_size != filter_.words * WORD:
                os.ftruncate(descriptor, filter_.words * WORD)
            piece = stored_order(words[self._at : self._at + PIECE])
            _write(descriptor, memoryview(piece).cast("B"), self._at * WORD)
            self._at += len(piece)
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        return self._at >= filter_.words


def _write(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def lookup(file: Path, group: int, keys: Sequence[Key]) -> list[tuple[int, Key]]:
    """Which segments of a group may know which ids, by the file alone; every one if it cannot be read."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return [(number, key) for key in keys for number in segments_in(group, _ALL)]
    try:
        words = os.fstat(descriptor).st_size // WORD
        return [(number, key) for key in keys for number in segments_in(group, _bits(descriptor, key, words))]
    finally:
        os.close(descriptor)


def _bits(descriptor: int, key: Key, words: int) -> int:
    bits = _ALL
    for slot in slots_of(key, words) if words else ():
        raw = os.pread(descriptor, WORD, slot * WORD)
        if len(raw) == WORD:
            bits &= int.from_bytes(raw, "little")
    return bits
