"""The segments of a store, as the writer knows them: what each says of itself, a few of them open, and the filter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from umbel.stores.sqlite.cache import Entry
from umbel.stores.sqlite.files import Files
from umbel.stores.sqlite.filter import Filter
from umbel.stores.sqlite.ids import BoundKey, Key, to_key
from umbel.stores.sqlite.lookups import Lookups
from umbel.stores.sqlite.removal import Removal
from umbel.stores.sqlite.segment import Segment, SegmentInfo

#: Segments kept open at once.
OPEN: Final = 8
#: Page cache of the newest segment's connection, KiB: it should hold the index of ids.
NEWEST_KIB: Final = 16_000
#: Of any other's.
CACHE_KIB: Final = 2_000


class Shelf:
    """All live segments by number; new tasks go to the newest."""

    def __init__(self, files: Files, filter_: Filter) -> None:
        self.files = files
        self.filter = filter_
        self.removal = Removal()
        self.infos: dict[int, SegmentInfo] = {}
        #: Segments whose ids are not all in the filter's file.
        self.unfiltered: set[int] = set()
        #: How often each was rewritten, if ever.
        self.generations: dict[int, int] = {}
        #: Of the segments that are being rewritten: the ids that were written since that began.
        self.changed: dict[int, set[Key]] = {}
        #: Lowest number and order number that a new segment may have.
        self.next_number = 1
        self.next_n = 1
        self._open: dict[int, Segment] = {}
        self._lookups = Lookups()

    @property
    def newest(self) -> int | None:
        return max(self.infos, default=None)

    def learn(self, info: SegmentInfo) -> None:
        """A segment that there is."""
        self.infos[info.number] = info
        self.next_number = max(self.next_number, info.number + 1)
        self.next_n = max(self.next_n, info.next_n)
        self.filter.open(info.number)

    def file(self, number: int) -> Path:
        """The file of a segment."""
        return self.files.segment(number, self.generations.get(number, 0))

    def open(self, number: int) -> Segment:
        """A segment to read from and write to; raises as `Segment.open` does."""
        segment = self._open.pop(number, None)
        if segment is None:
            segment = Segment.open(self.file(number), cache_kib=NEWEST_KIB)
            if number != self.newest:
                segment.shrink(CACHE_KIB)
            self.infos[number] = segment.info
        self._open[number] = segment
        return segment

    def create(self, now: float) -> Segment:
        """A new newest segment."""
        newest = self.newest
        first_n = max(self.next_n, self.infos[newest].next_n if newest is not None else 1)
        info = SegmentInfo(self.next_number, first_n, created_at=now, touched_at=now)
        segment = Segment.create(self.files.segment(info.number), info, cache_kib=NEWEST_KIB)
        if newest in self._open:
            self._open[newest].shrink(CACHE_KIB)
        self.learn(info)
        self.unfiltered.add(info.number)
        self._open[info.number] = segment
        return segment

    def claim(self, number: int, keys: Iterable[BoundKey]) -> dict[Key, Entry]:
        """The stored tasks among these ids; the others belong to this segment from now on."""
        suspects = self.filter.claim(number, keys)
        found: dict[Key, Entry] = {}
        for suspect in sorted(suspects, reverse=True):
            wanted: Sequence[Key] = [key for key in suspects[suspect] if key not in found]
            if suspect not in self._open:
                wanted = self._lookups.there(suspect, self.file(suspect), wanted)
            if wanted:
                found.update(self.open(suspect).find(wanted))
                self.trim()
        return found

    def trim(self) -> None:
        """Close the segments that were used least recently, but none with a transaction."""
        idle = [number for number, segment in self._open.items() if not segment.busy]
        for number in idle[: max(0, len(self._open) - OPEN)]:
            self._open.pop(number).close()

    def note(self, entry: Entry) -> None:
        """A stored task is written anew; what is being rewritten meanwhile has to catch up."""
        changed = self.changed.get(entry.segment)
        if changed is not None:
            changed.add(to_key(entry.id))

    def release(self, number: int) -> None:
        """Close a segment, if it is open."""
        self._lookups.release(number)
        segment = self._open.pop(number, None)
        if segment is not None:
            segment.close()

    def forget(self, number: int) -> None:
        """A segment is no more."""
        self.release(number)
        self.generations.pop(number, None)
        self.changed.pop(number, None)
        self.infos.pop(number, None)
        self.unfiltered.discard(number)
        self.filter.drop(number)

    def close(self) -> None:
        """Close all that is open, undoing what was not committed."""
        for segment in self._open.values():
            segment.close()
        self._open.clear()
        self._lookups.close()
