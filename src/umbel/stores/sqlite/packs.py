"""Packed texts of tasks in segments that are not sealed, as a reader's sessions remember them; bounded in bytes."""

from __future__ import annotations

import threading
from typing import Final, NamedTuple

#: Bytes of packed texts that a reader remembers; those of about 350,000 usual tasks.
BYTES: Final = 64 * 1024 * 1024

#: The file of the segment, and when it was made.
Origin = tuple[object, ...]


class Packed(NamedTuple):
    """The texts of tasks, in lower case, and which of these had not ended."""

    origin: Origin
    data: bytes
    unfinished: tuple[int, ...]


class Packs:
    """Packed texts by the first `n` of theirs; the newest stay where there is no room for all."""

    def __init__(self, limit: int = BYTES) -> None:
        self._limit = limit
        self._packs: dict[int, Packed] = {}
        self._size = 0
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return self._size

    def get(self, low: int, origin: Origin) -> Packed | None:
        found = self._packs.get(low)
        return found if found is not None and found.origin == origin else None

    def keep(self, low: int, packed: Packed) -> None:
        with self._lock:
            self._remove(low)
            self._packs[low] = packed
            self._size += len(packed.data)
            while self._size > self._limit:
                self._remove(min(self._packs))

    def forget(self, low: int) -> None:
        with self._lock:
            self._remove(low)

    def _remove(self, low: int) -> None:
        packed = self._packs.pop(low, None)
        if packed is not None:
            self._size -= len(packed.data)
