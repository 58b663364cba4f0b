"""What a store does on the side, a little at a time: retention, the filter's file, checkpoints, pruning."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from umbel.retention import Retention
from umbel.stores.base import Maintenance
from umbel.stores.sqlite import days, hours
from umbel.stores.sqlite.catalog import Catalog
from umbel.stores.sqlite.files import COMPANIONS, companion, size, with_companions
from umbel.stores.sqlite.filter import GROUP
from umbel.stores.sqlite.filterfile import Saving, mapped
from umbel.stores.sqlite.moving import Moving
from umbel.stores.sqlite.sealing import QUIET, Sealing
from umbel.stores.sqlite.segment import SegmentInfo
from umbel.stores.sqlite.shelf import Shelf

#: A segment is closed once it holds this share of the time or bytes to keep, so that retention is never far off.
SHARE: Final = 0.1
#: Seconds between two rounds of pruning.
PRUNE_SECONDS: Final = 60.0
#: Bytes of a write-ahead log worth moving into its file while nothing is written.
IDLE_LOG: Final = 1024 * 1024

log: Final = logging.getLogger(__name__)


class Upkeep:
    """Remembers what is under way."""

    def __init__(self, quiet: float = QUIET) -> None:
        self.sealing = Sealing(quiet)
        self.moving = Moving()
        #: The next new task is to begin a new segment.
        self.roll = False
        self._saving: Saving | None = None
        self._pruned_at = 0.0
        self._touched_at = 0.0
        #: The files of dropped segments; the catalog remembers these until they are gone.
        self._dropped: dict[int, Path] = {}

    def step(self, catalog: Catalog, shelf: Shelf, retention: Retention, now: float) -> Maintenance:
        """One bounded piece of work."""
        self.moving.step(catalog.file, catalog.changes)
        newest = shelf.infos[shelf.newest] if shelf.newest is not None else None
        if newest is not None and newest.tasks:
            self._roll(catalog, shelf, newest, retention, now)
        if abs(now - self._pruned_at) >= PRUNE_SECONDS:
            self._pruned_at = now
            with catalog.transaction():
                catalog.prune(now - retention.longest if retention.longest else None)
        self._forget_dropped(catalog, shelf)
        number = _expired(shelf, retention, now)
        if number is not None:
            self._dropped[number] = shelf.file(number)
            return drop(catalog, shelf, number)
        if newest is not None:
            self._save(catalog, shelf, newest.number)
            # One of them: each takes a few milliseconds, for which the writer waits.
            if not days.fold_one(catalog, shelf):
                hours.fold_one(catalog, shelf)
            self._checkpoint(shelf, newest)
        return self.sealing.step(catalog, shelf, retention, now)

    def _roll(self, catalog: Catalog, shelf: Shelf, newest: SegmentInfo, retention: Retention, now: float) -> None:
        """Have a new segment begun in time for the newest to be dropped as a whole later."""
        quiet = retention.shortest * (1 + SHARE) if retention.rules and retention.shortest else retention.longest
        if quiet and newest.touched_at < now - quiet:
            info = shelf.create(now).info
            with catalog.transaction():
                catalog.put_segment(info)
        elif (retention.shortest and newest.created_at < now - retention.shortest * SHARE) or (
            retention.size and with_companions(shelf.file(newest.number)) > retention.size * SHARE
        ):
            self.roll = True

    def _forget_dropped(self, catalog: Catalog, shelf: Shelf) -> None:
        gone = [number for number, file in self._dropped.items() if not file.exists()]
        if gone:
            with catalog.transaction():
                for number in gone:
                    del self._dropped[number]
                    # A catalog that was begun anew may list another segment so.
                    if number not in shelf.infos:
                        catalog.forget_segment(number)

    def _save(self, catalog: Catalog, shelf: Shelf, newest: int) -> None:
        """Bring the ids of full segments into the filter's file."""
        if self._saving is None:
            full = sorted(shelf.unfiltered - {newest})
            if not full:
                return
            group = full[0] // GROUP
            numbers = [number for number in full if number // GROUP == group]
            self._saving = Saving(shelf.files.filter(group), group, numbers)
        if self._saving.step(shelf.filter):
            with catalog.transaction():
                for number in self._saving.numbers:
                    catalog.set_filtered(number, filtered=True)
            shelf.unfiltered -= set(self._saving.numbers)
            if self._saving.group < newest // GROUP and not any(
                n // GROUP == self._saving.group for n in shelf.unfiltered
            ):
                words = mapped(self._saving.file, shelf.filter.words)
                if words is not None:
                    shelf.filter.finish(self._saving.group, words)
            self._saving = None

    def _checkpoint(self, shelf: Shelf, newest: SegmentInfo) -> None:
        idle = newest.touched_at == self._touched_at
        self._touched_at = newest.touched_at
        if idle and size(companion(shelf.file(newest.number), COMPANIONS[0])) > IDLE_LOG:
            shelf.open(newest.number).checkpoint()


def _expired(shelf: Shelf, retention: Retention, now: float) -> int | None:
    """The oldest segment that need not be kept, never the newest."""
    numbers = sorted(shelf.infos)[:-1]
    if retention.longest:
        for number in numbers:
            if shelf.infos[number].touched_at < now - retention.longest:
                return number
    # What is about to go counts as held still.
    if retention.size and numbers and not shelf.removal.busy and shelf.files.size() > retention.size:
        return numbers[0]
    return None


def drop(catalog: Catalog, shelf: Shelf, number: int) -> Maintenance:
    """Drop a segment: from the list, later its files; what a crash leaves of it goes at the next start."""
    tasks = shelf.infos[number].tasks - catalog.dropped(number)
    with catalog.transaction():
        catalog.set_dropping(number)
    file = shelf.file(number)
    shelf.forget(number)
    freed = shelf.removal.delete(file)
    group = number // GROUP
    if group not in shelf.filter.groups:
        shelf.removal.delete(shelf.files.filter(group))
    log.info("dropped segment %d: %d tasks, %d bytes", number, tasks, freed)
    return Maintenance(tasks, freed)
