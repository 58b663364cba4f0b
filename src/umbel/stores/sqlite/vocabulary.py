"""The words of segments as a reader's sessions remember them: together, and once however many segments have them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Final

from umbel.stores.sqlite.words import Numbered, Remembered

#: Words remembered of all segments.
WORDS: Final = 1_000_000
#: Words known by their stored form, so that those of another segment are found to be the same.
SHARED: Final = 50_000


class Vocabulary:
    """Words by segment's file and number; the segments opened last stay where there is no room for all."""

    def __init__(self, words: int = WORDS) -> None:
        self._room = words
        self._shared: Remembered[str | bytes, Any] = Remembered(SHARED)
        self._files: OrderedDict[Hashable, Numbered] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Places for words, of all segments."""
        return sum(len(numbered.words) for numbered in self._files.values())

    def of(self, file: Hashable) -> Numbered:
        """What is remembered of a segment's words."""
        with self._lock:
            found = self._files.setdefault(file, Numbered(self._shared))
            self._files.move_to_end(file)
            while self.size > self._room and len(self._files) > 1:
                self._files.popitem(last=False)
        return found
