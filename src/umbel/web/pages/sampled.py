"""The newest tasks that a search finds, looked at once for all that is counted about them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from weakref import WeakKeyDictionary

from umbel.clock import Clock
from umbel.model.query import Node, Page
from umbel.model.task import Summary
from umbel.stores.base import StoreReader

T = TypeVar("T")

#: Tasks looked at, and seconds that finding them may take.
TASKS: Final = 500
WITHIN: Final = 0.05
#: Seconds for which what was made of a search is good, and searches for which it is kept.
AGE: Final = 3.0
KEPT: Final = 32


@dataclass(frozen=True, slots=True)
class Sample:
    """What was looked at, the newest first."""

    tasks: Sequence[Summary]
    #: They are all that match.
    whole: bool


class Kept(Generic[T]):
    """What was made of the latest searches of a store, a bounded number of them for a short time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: WeakKeyDictionary[StoreReader, OrderedDict[str, tuple[float, T]]] = WeakKeyDictionary()

    def get(self, reader: StoreReader, key: str, clock: Clock, make: Callable[[], T]) -> T:
        """What goes by the name `key`, at most `AGE` seconds old."""
        with self._lock:
            kept = self._kept.setdefault(reader, OrderedDict())
            known = kept.get(key)
        if known is not None and clock.monotonic() < known[0]:
            return known[1]
        made = make()
        with self._lock:
            kept[key] = (clock.monotonic() + AGE, made)
            kept.move_to_end(key)
            while len(kept) > KEPT:
                kept.popitem(last=False)
        return made


def look(reader: StoreReader, where: Node) -> Sample:
    """The newest tasks that match, as many as are found in time."""
    found = reader.tasks(where, Page(TASKS, within=WITHIN))
    return Sample(found.items, whole=found.next is None and found.complete)
