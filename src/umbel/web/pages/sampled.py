"""What was made of the latest searches, for other browsers and for refreshes: a few of them, for a few seconds."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final, Generic, TypeVar
from weakref import WeakKeyDictionary

from umbel.clock import Clock
from umbel.stores.base import StoreReader

T = TypeVar("T")

#: Seconds for which what was made of a search is good, and searches for which it is kept.
AGE: Final = 3.0
KEPT: Final = 32


class Kept(Generic[T]):
    """What was made of the latest searches of a store, a bounded number of them for a short time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: WeakKeyDictionary[StoreReader, OrderedDict[str, tuple[float, T]]] = WeakKeyDictionary()

    def known(self, reader: StoreReader, key: str, clock: Clock) -> T | None:
        """What goes by the name `key`, at most `AGE` seconds old."""
        with self._lock:
            found = self._kept.setdefault(reader, OrderedDict()).get(key)
        return found[1] if found is not None and clock.monotonic() < found[0] else None

    def keep(self, reader: StoreReader, key: str, clock: Clock, made: T) -> None:
        """Remember it."""
        with self._lock:
            kept = self._kept.setdefault(reader, OrderedDict())
            kept[key] = (clock.monotonic() + AGE, made)
            kept.move_to_end(key)
            while len(kept) > KEPT:
                kept.popitem(last=False)
