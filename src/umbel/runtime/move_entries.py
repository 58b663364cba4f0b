"""What people entered, and what Umbel found out besides its records, moved from one store to another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from umbel.alerts.book import AlertBook, Shelf
from umbel.stores.journal import Entry, Journal, Kind, most

#: Entries that are put at once.
PAGE: Final = 1_000
#: The latest round is that of the process that took it.
SHELVES: Final = tuple(shelf for shelf in Shelf if shelf is not Shelf.ROUND)
#: Turns are those of the webs that run on a store just now, parts the processes.
KINDS: Final = tuple(kind for kind in Kind if kind not in (Kind.TURN, Kind.PART))


class Entries:
    """The journals of both ends."""

    def __init__(self, source: Journal, target: Journal) -> None:
        self._source = source
        self._target = target
        #: How many were moved.
        self.moved = 0

    def move(self) -> None:
        """Put every entry of the source into the target, the oldest first. Raises `StoreError`."""
        self.moved = 0
        for kind in KINDS:
            entries = [*reversed(self._source.read(kind, most(kind)))]
            for at in range(0, len(entries), PAGE):
                self._target.put(*entries[at : at + PAGE])
            self.moved += len(entries)

    def differences(self) -> Iterator[str]:
        """What the target does not hold as the source does, in words."""
        for kind in KINDS:
            theirs, ours = _by_key(self._source, kind), _by_key(self._target, kind)
            wrong = sum(ours.get(key) != entry for key, entry in theirs.items())
            if wrong:
                yield f"{wrong:,} of {len(theirs):,} entries of the kind {kind.value} differ or are missing"


class Memory:
    """The books of alerts of both ends: rules of the page, silences, what fires, what has yet to be told."""

    def __init__(self, source: AlertBook, target: AlertBook) -> None:
        self._source = source
        self._target = target

    def move(self) -> None:
        """Put every row of the source into the target, the oldest first. Raises `StoreError`."""
        for shelf in SHELVES:
            rows = [*reversed(self._source.read(shelf))]
            for at in range(0, len(rows), PAGE):
                self._target.write(rows[at : at + PAGE])

    def differences(self) -> Iterator[str]:
        """What the target does not hold as the source does, in words."""
        for shelf in SHELVES:
            theirs, ours = ({row.key: row for row in book.read(shelf)} for book in (self._source, self._target))
            wrong = sum(ours.get(key) != row for key, row in theirs.items())
            if wrong:
                yield f"{wrong:,} of {len(theirs):,} rows of alerts ({shelf.value}) differ or are missing"


def _by_key(journal: Journal, kind: Kind) -> Mapping[str, Entry]:
    return {entry.key: entry for entry in journal.read(kind, most(kind))}
