"""What the indexes of sealed segments answered, as a reader's sessions remember it: the indexes never change."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

#: Bytes of answers that a reader remembers; one of a whole segment takes 31 KB.
BYTES: Final = 16 * 1024 * 1024
#: Bytes that a small one takes with what it goes by.
LEAST: Final = 500

#: A set of positions, and whether all of them match.
Answer = tuple[int, bool]


class Looks:
    """Answers by segment's file and condition; the ones asked for last stay where there is no room for all."""

    def __init__(self, limit: int = BYTES) -> None:
        self._limit = limit
        self._known: OrderedDict[Hashable, Answer] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return self._size

    def of(self, key: Hashable, look: Callable[[], Answer]) -> Answer:
        """The answer that goes by `key`, found out by `look` where it is not known."""
        with self._lock:
            found = self._known.get(key)
            if found is not None:
                self._known.move_to_end(key)
                return found
        found = look()
        with self._lock:
            if key not in self._known:
                self._known[key] = found
                self._size += _size(found)
            while self._size > self._limit:
                self._size -= _size(self._known.popitem(last=False)[1])
        return found


def _size(answer: Answer) -> int:
    return LEAST + answer[0].bit_length() // 8
