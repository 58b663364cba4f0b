"""What people entered, read for many pages at once: deploys, errors called resolved, views."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Final

from umbel.clock import Clock
from umbel.errors import StoreError
from umbel.stores.journal import Entry, Journal, Kind

log = logging.getLogger(__name__)

#: Seconds for which what was read is believed; what this web enters itself is seen at once.
AGE: Final = 5.0
#: Entries of each kind that are read.
READ: Final = 2_000


class Entries:
    """One for each app; used by several threads. Without a journal there are none, and none can be made."""

    def __init__(self, journal: Journal | None, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[Kind, tuple[float, Sequence[Entry]]] = {}
        self._failing = False

    @property
    def kept(self) -> bool:
        """Whether anything can be entered."""
        return self._journal is not None

    def read(self, kind: Kind) -> Sequence[Entry]:
        """The newest first. Where they cannot be read: those known before, and a line in the log; pages go on."""
        if self._journal is None:
            return ()
        now = self._clock.monotonic()
        with self._lock:
            until, known = self._known.get(kind, (0.0, ()))
            if now < until:
                return known
            # The others go on with what is known while this thread reads.
            self._known[kind] = (now + AGE, known)
        try:
            found = self._journal.read(kind, READ)
        except StoreError as error:
            if not self._failing:
                log.warning("what people entered cannot be read: %s", error)
            self._failing = True
            return known
        self._failing = False
        with self._lock:
            self._known[kind] = (now + AGE, found)
        return found

    def under(self, kind: Kind, stem: str) -> Sequence[Entry]:
        """Those whose key begins with `stem`, the newest first, asked each time; none where they cannot be read."""
        if self._journal is None:
            return ()
        try:
            return self._journal.under(kind, stem, READ)
        except StoreError as error:
            if not self._failing:
                log.warning("what people entered cannot be read: %s", error)
            self._failing = True
            return ()

    def put(self, entry: Entry) -> None:
        """Enter it; raises `StoreError`."""
        self._writable().put(entry)
        self._forget(entry.kind)

    def drop(self, kind: Kind, key: str) -> None:
        """Take it out again; raises `StoreError`."""
        self._writable().drop(kind, key)
        self._forget(kind)

    def _writable(self) -> Journal:
        if self._journal is None:
            raise StoreError("nothing can be entered here: this web has no journal")
        return self._journal

    def _forget(self, kind: Kind) -> None:
        with self._lock:
            self._known.pop(kind, None)
