"""The store's writer: one transaction in each segment that a commit touches, then one in the catalog.

Each file's transaction is atomic by itself. A crash between them leaves segments that are ahead of the catalog's
position; the same batch then comes again, its joins change nothing in the segments, and the books, which commit with
the position, count it once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from umbel.clock import Clock, SystemClock
from umbel.errors import StoreBusy, StoreError
from umbel.model.gather import Gathered, Plain, task_of, union
from umbel.model.merge import Task, join
from umbel.model.usual import Alike
from umbel.model.worker import Worker
from umbel.private import private_directory
from umbel.retention import Retention
from umbel.stores.base import Commit, Maintenance
from umbel.stores.sqlite import recovery, upkeep
from umbel.stores.sqlite.cache import Cache, Entry
from umbel.stores.sqlite.catalog import Catalog
from umbel.stores.sqlite.connect import Damaged, ReadOnly
from umbel.stores.sqlite.files import Files, number_of
from umbel.stores.sqlite.filter import words_for
from umbel.stores.sqlite.ids import Key, bound_keys
from umbel.stores.sqlite.lock import WriterLock
from umbel.stores.sqlite.sealing import QUIET
from umbel.stores.sqlite.segment import New, Segment
from umbel.stores.sqlite.shelf import Shelf

#: Tasks after which a new segment is begun.
SEGMENT_TASKS: Final = 250_000
#: Bounds of the records kept in memory.
CACHE_TASKS: Final = 20_000
CACHE_BYTES: Final = 64 * 1024 * 1024
#: Damaged files set aside in one write before the caller is told to try again.
MENDS: Final = 4

#: A stored task, and what a commit brings about it.
Known = tuple[Entry, Plain | Task]

log: Final = logging.getLogger(__name__)


class SqliteWriter:
    """`StoreWriter` on files; `path` is the catalog's, `quiet` seconds make a full segment ready to be sealed."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock | None = None,
        segment_tasks: int = SEGMENT_TASKS,
        cache_tasks: int = CACHE_TASKS,
        cache_bytes: int = CACHE_BYTES,
        quiet: float = QUIET,
    ) -> None:
        self._files = Files(path)
        self._clock = clock or SystemClock()
        self._segment_tasks = segment_tasks
        self._cache = Cache(cache_tasks, cache_bytes)
        self._lock = WriterLock(self._files.lock)
        self._upkeep = upkeep.Upkeep(quiet)
        self._catalog: Catalog | None = None
        self._shelf: Shelf | None = None
        #: Segments that may be ahead of their row in the catalog.
        self._doubt: set[int] = set()
        self._identity: tuple[int, int] | None = None

    # The port

    def open(self) -> None:
        try:
            private_directory(self._files.directory)
            self._lock.take()
            self._start()
        except OSError as error:
            self.close()
            raise StoreError(f"{self._files.catalog} cannot be opened: {error.strerror or error}") from error
        except StoreError:
            self.close()
            raise

    def position(self, source: str) -> str | None:
        catalog, _ = self._opened()
        return catalog.position(source)

    def positions(self, prefix: str) -> Mapping[str, str]:
        catalog, _ = self._opened()
        return catalog.positions(prefix)

    def forget(self, source: str) -> None:
        catalog, _ = self._opened()
        with catalog.transaction():
            catalog.forget_position(source)

    def workers(self) -> Sequence[Worker]:
        catalog, _ = self._opened()
        return catalog.workers()

    def write(self, commit: Commit) -> None:
        for _ in range(MENDS):
            try:
                self._attempt(commit)
            except Damaged as damage:
                self._mend(damage)
            else:
                return
        raise StoreBusy(f"{self._files.catalog}: one damaged file after another was set aside; is the disk failing?")

    def maintain(self, retention: Retention, now: float) -> Maintenance:
        catalog, shelf = self._opened()
        try:
            done = self._upkeep.step(catalog, shelf, retention, now)
        except Damaged as damage:
            self._abandon()
            self._mend(damage)
            return Maintenance()
        except (StoreError, OSError) as error:
            self._abandon()
            raise self._busy(error) from error
        if done.dropped_tasks:
            # Some of the remembered ones may have been among them.
            self._cache.clear()
        return done

    def close(self) -> None:
        catalog, shelf = self._catalog, self._shelf
        self._catalog = self._shelf = None
        self._cache.clear()
        try:
            if shelf is not None:
                self._upkeep.sealing.stop(shelf)
                shelf.close()
                shelf.removal.wait()
            self._upkeep.moving.wait()
            if catalog is not None and not self._doubt:
                with catalog.transaction():
                    catalog.set_clean(True)
        except StoreError as error:
            log.warning("the store was not closed cleanly, its next start takes longer: %s", error)
        finally:
            if catalog is not None:
                catalog.close()
            self._lock.release()

    # Opening and mending

    def _start(self) -> tuple[Catalog, Shelf]:
        return self._begin(recovery.open_catalog(self._files, self._clock.now()))

    def _begin(self, catalog: Catalog) -> tuple[Catalog, Shelf]:
        try:
            shelf = recovery.recover(self._files, catalog, words_for(self._segment_tasks), self._clock.now())
            with catalog.transaction():
                catalog.set_clean(False)
        except BaseException:
            catalog.close()
            raise
        self._catalog, self._shelf = catalog, shelf
        self._identity = _identity(self._files.catalog)
        self._doubt.clear()
        return catalog, shelf

    def _opened(self) -> tuple[Catalog, Shelf]:
        """The open store; begun anew if an error closed it, or its file was moved or deleted under us."""
        if self._catalog is not None and _identity(self._files.catalog) != self._identity:
            log.error("%s was moved or deleted while in use; a new one is begun", self._files.catalog)
            self._drop()
        if self._catalog is None or self._shelf is None:
            private_directory(self._files.directory)
            return self._start()
        return self._catalog, self._shelf

    def _mend(self, damage: Damaged) -> None:
        """Set the damaged file aside and go on without it."""
        now = self._clock.now()
        if damage.file == self._files.catalog:
            self._drop()
            self._begin(recovery.replace_catalog(self._files, damage, now))
            return
        if not damage.file.exists():
            # Others may be gone as well: look at them all.
            self._drop()
            self._opened()
            return
        catalog, shelf = self._opened()
        number = number_of(damage.file)
        recovery.retire(catalog, shelf, number, damage, now)
        self._doubt.discard(number)

    def _abandon(self) -> None:
        """Undo what a failed attempt has begun, in the files and in memory."""
        self._cache.clear()
        if self._shelf is not None:
            self._shelf.close()
        if self._catalog is not None:
            try:
                self._catalog.rollback()
            except StoreError as error:
                log.warning("the catalog is opened anew: %s", error)
                self._drop()

    def _drop(self) -> None:
        """Close without a word to the files."""
        # Whoever closes last deletes what stands beside the file: that must not be another one by then.
        self._upkeep.moving.wait()
        if self._shelf is not None:
            self._upkeep.sealing.stop(self._shelf)
            self._shelf.close()
        if self._catalog is not None:
            self._catalog.close()
        self._catalog = self._shelf = None
        self._cache.clear()

    # Writing

    def _attempt(self, commit: Commit) -> None:
        try:
            catalog, shelf = self._opened()
            self._write(catalog, shelf, commit)
        except (StoreError, OSError) as error:
            self._abandon()
            raise self._busy(error) from error
        except BaseException:
            self._abandon()
            raise

    def _busy(self, error: StoreError | OSError) -> StoreError:
        if isinstance(error, ReadOnly):
            return StoreBusy(str(error))
        if isinstance(error, StoreError):
            return error
        return StoreBusy(f"{self._files.catalog} cannot be written: {error.strerror or error}")

    def _write(self, catalog: Catalog, shelf: Shelf, commit: Commit) -> None:
        started = self._clock.monotonic()
        catalog.begin()
        touched: dict[int, Segment] = {}
        names: set[str] = set()
        entries = self._join(shelf, commit, touched)
        for segment in touched.values():
            names.update(segment.touched_names)
            segment.flush(commit.at)
        in_doubt = [shelf.open(number) for number in self._doubt]
        infos = [segment.info for segment in {**touched, **{s.info.number: s for s in in_doubt}}.values()]
        catalog.write(commit, names, infos, self._clock.monotonic() - started)
        self._doubt.update(touched)
        for segment in touched.values():
            segment.commit()
        catalog.commit()
        self._doubt.clear()
        for entry in entries:
            self._cache.keep(entry)
        self._cache.trim()
        shelf.trim()

    def _join(self, shelf: Shelf, commit: Commit, touched: dict[int, Segment]) -> list[Entry]:
        """Join the tasks of a commit with what is known of them; the entries that changed and are worth keeping."""
        changed = []
        known, others = self._remembered(commit)
        if others:
            number = self._newest(shelf, commit.at).info.number
            stored, new = _sort_out(shelf.claim(number, [key for _, key, _ in others]), others)
            known += stored
            if new:
                segment = self._touch(shelf, number, touched)
                changed += segment.add(new, commit.tasks.usual if isinstance(commit.tasks, Gathered) else {})
                _count_usual(segment, commit, known)
        for entry, record in known:
            if _extend(entry, record):
                self._touch(shelf, entry.segment, touched).put(entry)
                shelf.note(entry)
                changed.append(entry)
        return changed

    def _touch(self, shelf: Shelf, number: int, touched: dict[int, Segment]) -> Segment:
        """The segment, with its transaction begun."""
        segment = touched.get(number)
        if segment is None:
            segment = touched[number] = shelf.open(number)
            segment.begin()
        return segment

    def _remembered(self, commit: Commit) -> tuple[list[Known], list[New]]:
        """The tasks of a commit that are in memory, with their entries, and the others."""
        records = _records(commit)
        remembered = self._cache.known(records.keys())
        known = [(entry, records[id_]) for id_ in remembered if (entry := self._cache.get(id_)) is not None]
        ids = [id_ for id_ in records if id_ not in remembered]
        return known, list(zip(ids, bound_keys(ids), map(records.__getitem__, ids), strict=True))

    def _newest(self, shelf: Shelf, now: float) -> Segment:
        """The segment that new tasks go to."""
        number = shelf.newest
        full = number is not None and shelf.infos[number].tasks >= self._segment_tasks
        if number is None or full or self._upkeep.roll:
            segment = shelf.create(now)
            self._doubt.add(segment.info.number)
            self._upkeep.roll = False
            return segment
        return shelf.open(number)


def _sort_out(stored: Mapping[Key, Entry], tasks: list[New]) -> tuple[list[Known], list[New]]:
    """Of some tasks those that are stored, with their entries, and those that are new."""
    if not stored:
        return [], tasks
    known: list[Known] = []
    new: list[New] = []
    for id_, key, record in tasks:
        entry = stored.get(key if isinstance(key, str) else bytes(key))
        if entry is not None:
            known.append((entry, record))
        else:
            new.append((id_, key, record))
    return known, new


def _count_usual(segment: Segment, commit: Commit, known: Iterable[Known]) -> None:
    """Count the usual tasks of a commit, but not those that were known before it."""
    if not isinstance(commit.tasks, Gathered):
        return
    left_out: dict[Alike, list[Plain]] = {}
    for entry, record in known:
        alike = commit.tasks.usual.get(entry.id)
        if alike is not None and isinstance(record, list):
            left_out.setdefault(alike, []).append(record)
    for alike in commit.tasks.alike:
        fresh = alike.without(left_out.get(alike, ()))
        if fresh.runs:
            segment.count(fresh)


def _records(commit: Commit) -> Mapping[str, Plain | Task]:
    """A commit's tasks as they are, the plain ones not made into records."""
    tasks = commit.tasks
    return tasks.parts if isinstance(tasks, Gathered) else tasks


def _extend(entry: Entry, record: Plain | Task) -> bool:
    """Join what a batch brought into an entry; False if that changed nothing. `record` stays as it is."""
    if isinstance(record, list):
        joined = union(entry.record, record) if isinstance(entry.record, list) else None
        if joined is not None:
            entry.record = joined
            return True
        record = task_of(entry.id, record)
    task = entry.record = entry.task
    return join(task, record)


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
