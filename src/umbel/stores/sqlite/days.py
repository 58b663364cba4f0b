"""Sums the rollups of days that are over across the segments, so that long spans need not ask each segment.

Days are summed by two, four and eight in turn: two weeks are then some five sums for each name and not thirteen.
"""

from __future__ import annotations

from typing import Final

from umbel.model.series import DAY
from umbel.stores.sqlite.catalog import Catalog
from umbel.stores.sqlite.segment import SegmentInfo
from umbel.stores.sqlite.shelf import Shelf
from umbel.stores.sqlite.vectors import Sums

MINUTES: Final = 1_440
#: Names that a day may have for its sums to be kept, and days of one segment that are summed.
NAMES: Final = 5_000
DAYS: Final = 1_000
#: Days of the longest block.
BLOCK: Final = 8


def fold_one(catalog: Catalog, shelf: Shelf) -> bool:
    """Sum one day that the newest segment has no part in, the latest first; when all are, one block of days.

    False if there is none.
    """
    newest = shelf.newest
    if newest is None:
        return False
    infos = [info for number, info in shelf.infos.items() if number != newest and info.last_minute >= 0]
    day = _missing(infos, shelf.infos[newest], catalog.days())
    if day is None:
        return _fold_block(catalog)
    names = Sums()
    for info in infos:
        if _touches(info, day):
            names.add(shelf.open(info.number).sums(DAY, day, day + 1))
    shelf.trim()
    with catalog.transaction():
        catalog.put_day(day, names if len(names) <= NAMES else None)
    return True


def _fold_block(catalog: Catalog) -> bool:
    """Sum the two halves of a block; False if there is none."""
    found = catalog.missing_block(BLOCK)
    if found is None:
        return False
    first, days = found
    names = Sums()
    with catalog.transaction():
        for half in (first, first + days // 2):
            names.add(catalog.unit(half, days // 2))
        catalog.put_block(first, days, names)
    return True


def _missing(infos: list[SegmentInfo], newest: SegmentInfo, known: set[int]) -> int | None:
    """The latest day that is over and has not been summed."""
    days = {day for info in infos for day in _days(info)} - known
    return max((day for day in days if not _touches(newest, day)), default=None)


def _days(info: SegmentInfo) -> range:
    last = info.last_minute // MINUTES
    return range(max(info.first_minute // MINUTES, last - DAYS), last + 1)


def _touches(info: SegmentInfo, day: int) -> bool:
    return info.first_minute // MINUTES <= day <= info.last_minute // MINUTES
