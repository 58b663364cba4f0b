"""When tasks were first seen: their order, and with it the place of their rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

#: Bounds of the ids remembered; the least recently touched go first.
IDS: Final = 200_000
ID_BYTES: Final = 32 * 1024 * 1024
#: Bytes of an entry beside its text, about.
_ENTRY: Final = 200


class Anchors:
    """The n of tasks that this writer saw lately; an id that is forgotten is given another n, and becomes a stray."""

    def __init__(self, ids: int = IDS, size: int = ID_BYTES) -> None:
        self._ids = ids
        self._size = size
        self._known: dict[str, int] = {}
        self._bytes = 0
        self._last = 0
        #: The ids that were given an n of which the others do not know yet.
        self.fresh: dict[str, int] = {}

    def begin(self, last: int) -> None:
        """Go on after `last`, knowing nothing."""
        self._known.clear()
        self.fresh.clear()
        self._bytes = 0
        self._last = max(self._last, last)

    def of(self, ids: Iterable[str], at: float) -> Mapping[str, int]:
        """The n of each id, a new one where it is not known; `at` is the time of the commit, UTC seconds."""
        known = self._known
        found = {}
        for id_ in ids:
            n = known.pop(id_, None)
            if n is None:
                n = self._last = max(self._last + 1, int(at * 1e6))
                self.fresh[id_] = n
                self._bytes += len(id_) + _ENTRY
            # At the end: what was touched last.
            known[id_] = found[id_] = n
        return found

    def move(self, id_: str, n: int) -> None:
        """The id was seen earlier by another writer."""
        if id_ in self._known:
            self._known[id_] = n

    def forget(self, low: int, high: int) -> None:
        """Forget what lies in [low, high)."""
        for id_ in [id_ for id_, n in self._known.items() if low <= n < high]:
            self._drop(id_)

    def trim(self) -> None:
        """Keep the bounds."""
        while len(self._known) > self._ids or self._bytes > self._size:
            self._drop(next(iter(self._known)))

    def _drop(self, id_: str) -> None:
        del self._known[id_]
        self._bytes -= len(id_) + _ENTRY
