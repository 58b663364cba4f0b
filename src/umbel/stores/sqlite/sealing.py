"""Seals segments beside the writer: a process of its own rewrites one, then it takes the place of the old file.

What is written to the segment meanwhile is noted by the shelf and joined into the new file before the swap. The new
file is complete and durable when it gets its name, and holds what the old one does, so that a crash at any moment
leaves a file that may be used: the one of the highest generation.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from typing import Final

from umbel.errors import StoreError
from umbel.retention import Retention
from umbel.stores.base import Maintenance
from umbel.stores.kinds import STATES
from umbel.stores.sqlite.cache import Entry
from umbel.stores.sqlite.catalog import Catalog
from umbel.stores.sqlite.connect import Damaged
from umbel.stores.sqlite.files import delete, size
from umbel.stores.sqlite.seal import seal
from umbel.stores.sqlite.segment import Segment, SegmentInfo
from umbel.stores.sqlite.shelf import Shelf

#: Seconds without a write after which a full segment is sealed, and after which it is in any case.
QUIET: Final = 60.0
LATEST: Final = 3_600.0
#: Segments of fewer tasks are rewritten at once, without a process.
INLINE_TASKS: Final = 500
#: Tasks joined into the new file in one round, and those that may be waiting for it before sealing is given up.
JOINED: Final = 500
WAITING: Final = 50_000
#: Seconds before another try, after one has failed.
AGAIN: Final = 300.0
#: A segment is rewritten for rules of retention when this share of its tasks or of their age is over.
SHARE: Final = 0.1

log: Final = logging.getLogger(__name__)


class _Work:
    """One segment that is being rewritten."""

    def __init__(self, number: int, generation: int, process: subprocess.Popen[bytes] | None) -> None:
        self.number = number
        self.generation = generation
        self.process = process
        #: The new file, once it is there.
        self.segment: Segment | None = None


class Sealing:
    """Remembers what is under way; `quiet` is in seconds."""

    def __init__(self, quiet: float = QUIET) -> None:
        self._quiet = quiet
        self._work: _Work | None = None
        self._not_before = 0.0
        #: The sealed segment whose tally was looked at last.
        self._looked = 0

    def step(self, catalog: Catalog, shelf: Shelf, retention: Retention, now: float) -> Maintenance:
        """One bounded piece of work."""
        work = self._work
        try:
            if work is None:
                self._begin(shelf, retention, now)
                return Maintenance()
            if work.number not in shelf.infos or len(shelf.changed.get(work.number, ())) > WAITING:
                self.stop(shelf)
                return Maintenance()
            return self._go_on(work, catalog, shelf)
        except (StoreError, OSError) as error:
            log.warning("segment %d is not sealed, to be tried again: %s", work.number if work else self._looked, error)
            self._not_before = now + AGAIN
            self.stop(shelf)
            if isinstance(error, Damaged) and error.file.suffix == ".db":
                raise
            return Maintenance()

    def _begin(self, shelf: Shelf, retention: Retention, now: float) -> None:
        number = self._due(shelf, retention, now) if now >= self._not_before else None
        if number is None:
            return
        generation = shelf.generations.get(number, 0) + 1
        source, target = shelf.file(number), shelf.files.sealing(number)
        kept = replace(retention, size=None) if retention.rules else Retention()
        shelf.changed[number] = set()
        # Set before anything can fail, so that `stop` tidies.
        work = self._work = _Work(number, generation, None)
        if shelf.infos[number].tasks < INLINE_TASKS:
            seal(source, target, generation, kept, now)
        else:
            arguments = [str(source), str(target), str(generation), str(kept), repr(now)]
            work.process = subprocess.Popen(
                [sys.executable, "-m", "umbel.stores.sqlite.sealer", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )

    def _due(self, shelf: Shelf, retention: Retention, now: float) -> int | None:
        """A segment to be rewritten, the oldest that is not sealed first; never the newest."""
        numbers = sorted(shelf.infos)
        for number, following in pairwise(numbers):
            if not shelf.generations.get(number) and self._is_full(shelf.infos[number], shelf.infos[following], now):
                return number
        if not retention.rules:
            return None
        sealed = [number for number in numbers[:-1] if shelf.generations.get(number)]
        if not sealed:
            return None
        self._looked = next((number for number in sealed if number > self._looked), sealed[0])
        return self._looked if worth_it(shelf.open(self._looked), retention, now) else None

    def _is_full(self, info: SegmentInfo, following: SegmentInfo, now: float) -> bool:
        return now - info.touched_at >= self._quiet or now - following.created_at >= LATEST

    def _go_on(self, work: _Work, catalog: Catalog, shelf: Shelf) -> Maintenance:
        if work.process is not None:
            code = work.process.poll()
            if code is None:
                return Maintenance()
            work.process = None
            if code:
                raise StoreError(f"the process that rewrote it ended with {code}")
        if work.segment is None:
            work.segment = Segment.open(shelf.files.sealing(work.number), cache_kib=2_000)
        if shelf.changed[work.number]:
            _catch_up(work.segment, shelf)
        if shelf.changed[work.number]:
            return Maintenance()
        return self._swap(work, work.segment, catalog, shelf)

    def _swap(self, work: _Work, segment: Segment, catalog: Catalog, shelf: Shelf) -> Maintenance:
        """Put the new file in the place of the old one, which holds the same."""
        number, generation = work.number, work.generation
        old, draft, new = shelf.file(number), segment.file, shelf.files.segment(number, generation)
        at, _, dropped = segment.sealed() or (0.0, 0, 0)
        before = shelf.open(number).sealed()
        segment.close()
        shelf.release(number)
        draft.rename(new)
        shelf.generations[number] = generation
        del shelf.changed[number]
        self._work = None
        _sync_directory(new.parent)
        with catalog.transaction():
            catalog.put_segment(segment.info)
            catalog.set_sealed(number, generation, at, dropped)
        freed = shelf.removal.delete(old) - size(new)
        log.info("sealed segment %d: %d bytes, %d saved", number, size(new), freed)
        return Maintenance(dropped - (before[2] if before else 0), freed)

    def stop(self, shelf: Shelf) -> None:
        """Give up what is under way; the old file stays as it is."""
        work, self._work = self._work, None
        if work is None:
            return
        if work.process is not None:
            work.process.kill()
            work.process.wait()
        if work.segment is not None:
            work.segment.close()
        shelf.changed.pop(work.number, None)
        discard(shelf, work.number)


def discard(shelf: Shelf, number: int) -> None:
    """Delete what an unfinished rewriting of a segment has left."""
    draft = shelf.files.sealing(number)
    delete(draft)
    delete(draft.with_name(draft.name + "-draft"))


def _catch_up(segment: Segment, shelf: Shelf) -> None:
    """Join some of what was written to the old file into the new one."""
    number = segment.info.number
    keys = list(shelf.changed[number])[:JOINED]
    current, sealed = shelf.open(number).find(keys), segment.find(keys)
    segment.begin()
    for key, entry in current.items():
        before = sealed.get(key)
        # A task that was just dropped for its age stays after all; the rollups count it already.
        counted = before.added if before else entry.added
        segment.put(Entry(entry.id, entry.n, number, entry.record, counted, entry.ended))
    segment.flush(shelf.infos[number].touched_at)
    segment.commit()
    shelf.changed[number].difference_update(keys)


def worth_it(segment: Segment, retention: Retention, now: float) -> bool:
    """Whether enough of a sealed segment's tasks is beyond its age for the segment to be rewritten without them."""
    tasks = gone = 0
    overdue = False
    for name, state, count, last_at in segment.tally():
        age = retention.age_of(name, STATES[state].value)
        tasks += count
        if age is not None and last_at < now - age:
            gone += count
            overdue = overdue or last_at < now - age * (1 + SHARE)
    return gone > 0 and (overdue or gone >= tasks * SHARE)


def _sync_directory(directory: os.PathLike[str]) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
