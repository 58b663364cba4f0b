"""Opening a store in whatever state it is: useless files are set aside, the catalog made to agree with the rest."""

from __future__ import annotations

import logging
from array import array
from pathlib import Path
from typing import Final

from umbel.errors import StoreError
from umbel.model.event import EventClass
from umbel.model.ledger import LedgerEntry, Reason
from umbel.stores.sqlite import filterfile
from umbel.stores.sqlite.catalog import Catalog
from umbel.stores.sqlite.connect import Damaged, Newer, ReadOnly, check_header
from umbel.stores.sqlite.files import Files, delete, set_aside
from umbel.stores.sqlite.filter import GROUP, Filter
from umbel.stores.sqlite.sealing import discard
from umbel.stores.sqlite.segment import SegmentInfo, Unfinished
from umbel.stores.sqlite.shelf import Shelf

log: Final = logging.getLogger(__name__)


def open_catalog(files: Files, now: float) -> Catalog:
    """The catalog; one that cannot be used is set aside and a new one begun."""
    try:
        return Catalog(files.catalog)
    except (Damaged, ReadOnly) as problem:
        return replace_catalog(files, problem, now)


def replace_catalog(files: Files, problem: Damaged | ReadOnly, now: float) -> Catalog:
    """Set the (closed) catalog aside and begin a new one, which says so."""
    target = _set_aside(files.catalog, problem, now)
    catalog = Catalog(files.catalog)
    detail = f"{target.name}: positions, books, ledger and workers begin anew; tasks are kept"
    with catalog.transaction():
        catalog.note_set_aside(now, target.name)
        catalog.enter(_loss(now, 0, detail))
    return catalog


def _set_aside(file: Path, problem: StoreError, now: float) -> Path:
    try:
        target = set_aside(file, now, "newer" if isinstance(problem, Newer) else "damaged")
    except OSError as error:
        raise StoreError(f"{problem}; it cannot be renamed either: {error.strerror}. Mend its directory") from error
    log.error("%s; set aside as %s, and a new one begun", problem, target)
    return target


def _loss(now: float, events: int, detail: str, since: float | None = None) -> LedgerEntry:
    first = now if since is None else min(since, now)
    return LedgerEntry(Reason.DAMAGED, EventClass.UNKNOWN, first, now, events, estimated=True, detail=detail)


def retire(catalog: Catalog, shelf: Shelf, number: int, problem: StoreError, now: float) -> None:
    """Set a damaged segment aside and enter what it held."""
    info, file = shelf.infos.get(number), shelf.file(number)
    shelf.forget(number)
    target = _set_aside(file, problem, now) if file.exists() else None
    _enter_loss(catalog, number, info, target, now)


def _enter_loss(catalog: Catalog, number: int, info: SegmentInfo | None, target: Path | None, now: float) -> None:
    tasks = info.tasks if info else 0
    events = round(tasks * catalog.events_a_task())
    name = target.name if target else f"segment {number}, whose file is gone"
    with catalog.transaction():
        if target:
            catalog.note_set_aside(now, target.name)
        catalog.enter(_loss(now, events, f"{name}: {tasks:,} tasks", info.created_at if info else None))
        catalog.forget_segment(number)


def recover(files: Files, catalog: Catalog, words: int, now: float) -> Shelf:
    """The segments of a store that is being opened; the catalog's list is made to agree with them."""
    shelf = Shelf(files, Filter(words))
    clean = catalog.is_clean()
    known: dict[int, SegmentInfo] = {}
    filtered: set[int] = set()
    generations = files.generations()
    agreed: set[int] = set()
    for info, in_file, dropping, generation in catalog.segments():
        shelf.next_number = max(shelf.next_number, info.number + 1)
        shelf.next_n = max(shelf.next_n, info.next_n)
        if dropping:
            _finish_drop(files, catalog, info.number, generations.pop(info.number, []))
            continue
        known[info.number] = info
        agreed |= {info.number} if generations.get(info.number, [])[-1:] == [generation] else set()
        filtered |= {info.number} if in_file else set()
    numbers = list(generations)
    for number in numbers:
        _tidy(shelf, number, generations[number])
    for number in sorted(set(known) - set(numbers)):
        log.error("%s is gone: the tasks in it are lost", files.segment(number))
        _enter_loss(catalog, number, known[number], None, now)
    for number in numbers:
        trusted = clean and number in agreed and number != numbers[-1]
        _recover_segment(shelf, catalog, number, known.get(number), now, trusted=trusted)
    _fill(shelf, catalog, filtered, now)
    return shelf


def _tidy(shelf: Shelf, number: int, generations: list[int]) -> None:
    """Of a segment that was being rewritten keep the newest complete file; all others hold no more than it does."""
    *older, newest = generations
    for generation in older:
        delete(shelf.files.segment(number, generation))
    shelf.generations[number] = newest
    discard(shelf, number)


def _finish_drop(files: Files, catalog: Catalog, number: int, generations: list[int]) -> None:
    for generation in generations:
        delete(files.segment(number, generation))
    with catalog.transaction():
        catalog.forget_segment(number)


def _recover_segment(
    shelf: Shelf, catalog: Catalog, number: int, listed: SegmentInfo | None, now: float, *, trusted: bool
) -> None:
    """Learn one segment; unless its row is trusted, from the file itself."""
    file = shelf.file(number)
    if listed is not None:
        shelf.learn(listed)
    try:
        if listed is not None and trusted:
            check_header(file)
            return
        segment = shelf.open(number)
        names = [] if listed is not None else segment.names()
        at, generation, dropped = segment.sealed() or (0.0, 0, 0)
    except (Damaged, ReadOnly) as problem:
        if listed is None and isinstance(problem, Unfinished):
            delete(file)
        else:
            retire(catalog, shelf, number, problem, now)
        return
    shelf.learn(segment.info)
    missing = listed.tasks - segment.info.tasks if listed is not None else 0
    with catalog.transaction():
        catalog.put_segment(segment.info)
        catalog.set_sealed(number, generation, at, dropped)
        catalog.note_names(names, now)
        if missing > 0:
            log.error("%s lacks its last %d tasks (was its -wal file deleted?)", file, missing)
            events = round(missing * catalog.events_a_task())
            catalog.enter(_loss(now, events, f"{file.name} lacks its last {missing:,} tasks"))
    if listed is None:
        log.warning("%s was not in the catalog: taken in with %d tasks", file, segment.info.tasks)
    shelf.trim()


def _fill(shelf: Shelf, catalog: Catalog, filtered: set[int], now: float) -> None:
    """Load the filter from its files, and from the segments what is not in them."""
    for group in list(shelf.filter.groups):
        words = _words(shelf, group, filtered)
        if words is not None:
            shelf.filter.groups[group] = words
        else:
            filtered -= set(range(group * GROUP, (group + 1) * GROUP))
    for number in sorted(set(shelf.infos) - filtered):
        shelf.unfiltered.add(number)
        try:
            _add_ids(shelf, number)
        except Damaged as problem:
            retire(catalog, shelf, number, problem, now)
        shelf.trim()
    with catalog.transaction():
        for number in shelf.infos:
            catalog.set_filtered(number, number not in shelf.unfiltered)


def _words(shelf: Shelf, group: int, filtered: set[int]) -> array[int] | memoryview[int] | None:
    """The words of a group from its file, in memory only if ids will be added to them."""
    file, words = shelf.files.filter(group), shelf.filter.words
    live = {number for number in shelf.infos if number // GROUP == group}
    finished = group < (shelf.newest or 0) // GROUP and live <= filtered
    found = filterfile.mapped(file, words) if finished else None
    return filterfile.read(file, words) if found is None else found


def _add_ids(shelf: Shelf, number: int) -> None:
    add, slots = shelf.filter.add, shelf.filter.slots
    for keys in shelf.open(number).ids():
        for key in keys:
            add(number, slots(key))
