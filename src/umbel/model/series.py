"""Rollups over spans of time: which stored rows cover a span, and a point made of their cells."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from math import ceil, floor
from typing import Final

from umbel.model.rollup import RUN, WAIT, RollupPoint, Series

#: Steps for which stores keep rows, in seconds.
MINUTE: Final = 60
TEN_MINUTES: Final = 600
HOUR: Final = 3_600
DAY: Final = 86_400

#: Days or hours since the epoch: the first, and how many or the one after the last.
Run = tuple[int, int]


def spans(start: float, end: float, step: int, kept: Sequence[int] = (DAY, HOUR)) -> list[tuple[int, int, int]]:
    """The fewest rows that cover the minutes of [start, end): (step, first, end), none coarser than divides `step`.

    `kept` are the steps of which the store keeps rows beside minutes, the longest first.
    """
    levels = [level for level in kept if step % level == 0]
    return list(_cover(floor(start / MINUTE), ceil(end / MINUTE), levels))


def _cover(first: int, end: int, levels: list[int]) -> Iterator[tuple[int, int, int]]:
    """Spans for the minutes first <= m < end."""
    if first >= end:
        return
    if not levels:
        yield MINUTE, first, end
        return
    level, *finer = levels
    minutes = level // MINUTE
    low, high = -(-first // minutes), end // minutes
    if low >= high:
        yield from _cover(first, end, finer)
        return
    yield from _cover(first, low * minutes, finer)
    yield level, low, high
    yield from _cover(high * minutes, end, finer)


def cover(first: int, end: int, units: Collection[Run]) -> tuple[list[Run], list[Run]]:
    """Which units (first, length) cover first <= at < end, each time the longest, and the gaps (first, end) left."""
    longest: dict[int, int] = {}
    for at, days in units:
        if at + days <= end:
            longest[at] = max(days, longest.get(at, 0))
    taken, gaps = [], []
    at = first
    while at < end:
        if at in longest:
            taken.append((at, longest[at]))
            at += longest[at]
        else:
            following = min((day for day in longest if day > at), default=end)
            gaps.append((at, following))
            at = following
    return taken, gaps


def point(at: int, name: str, cells: Mapping[int, int]) -> RollupPoint:
    """The point of a span from its cells, code to count; what counts nothing is left out."""
    counts: dict[Series, int] = {}
    wait: dict[int, int] = {}
    run: dict[int, int] = {}
    for code, count in sorted(cells.items()):
        if not count:
            continue
        if code >= RUN:
            run[code - RUN] = count
        elif code >= WAIT:
            wait[code - WAIT] = count
        else:
            counts[Series(code)] = count
    return RollupPoint(at, name, counts, wait, run)
