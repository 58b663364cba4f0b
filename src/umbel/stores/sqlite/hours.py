"""Sums the rollups of hours across sealed segments, by two, four and eight in turn: for the ends of spans of time.

A day that ends now is then some eight sums for each name and not twenty-four.
"""

from __future__ import annotations

from typing import Final

from umbel.model.series import HOUR, MINUTE
from umbel.stores.sqlite.catalog import Catalog
from umbel.stores.sqlite.days import NAMES
from umbel.stores.sqlite.segment import SegmentInfo
from umbel.stores.sqlite.shelf import Shelf
from umbel.stores.sqlite.vectors import Sums

#: Hours of the shortest and the longest sum.
SHORTEST: Final = 2
LONGEST: Final = 8
#: Hours before the newest that are looked at. As they pass all are summed.
BACK: Final = 40 * 24
#: Minutes of a pair of hours.
_PAIR: Final = SHORTEST * HOUR // MINUTE


def fold_one(catalog: Catalog, shelf: Shelf) -> None:
    """Sum two hours of which all segments are sealed, the latest first; when all are, two such sums."""
    infos = [info for info in shelf.infos.values() if info.last_minute >= 0]
    pair = _missing(infos, shelf, catalog)
    if pair is None:
        _fold_halves(catalog)
        return
    names = Sums()
    for info in infos:
        if pair in _pairs(info):
            names.add(shelf.open(info.number).sums(HOUR, pair * SHORTEST, (pair + 1) * SHORTEST))
    shelf.trim()
    with catalog.transaction():
        catalog.put_hours(pair * SHORTEST, SHORTEST, names if len(names) <= NAMES else None)


def _missing(infos: list[SegmentInfo], shelf: Shelf, catalog: Catalog) -> int | None:
    """The latest pair of hours that is to be summed and has not been."""
    oldest = max((info.last_minute for info in infos), default=0) // _PAIR - BACK // SHORTEST
    sealed: set[int] = set()
    changing: set[int] = set()
    for info in infos:
        pairs = _pairs(info)
        recent = range(max(pairs.start, oldest), pairs.stop)
        (sealed if shelf.generations.get(info.number) else changing).update(recent)
    known = {first // SHORTEST for first in catalog.hours(oldest * SHORTEST)}
    return max(sealed - changing - known, default=None)


def _pairs(info: SegmentInfo) -> range:
    return range(info.first_minute // _PAIR, info.last_minute // _PAIR + 1)


def _fold_halves(catalog: Catalog) -> None:
    """Sum the two halves of twice as many hours."""
    found = catalog.missing_hours(LONGEST)
    if found is None:
        return
    first, hours = found
    names = Sums()
    with catalog.transaction():
        for half in (first, first + hours // 2):
            names.add(catalog.hours_unit(half, hours // 2))
        catalog.put_hours(first, hours, names)
