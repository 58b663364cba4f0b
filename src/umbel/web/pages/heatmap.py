"""A latency heatmap: how many runs took how long, column by column of time, from the rollups' fixed buckets."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from umbel.model.latency import BUCKETS, value
from umbel.web.pages.spans import Span

#: Bounds of the rows in seconds: three to a decade.
BOUNDS: Final = tuple(float(f"{digit}e{power}") for power in range(-4, 6) for digit in (1, 2, 5))
#: The row of each latency bucket; row 0 is everything under the first bound.
_ROW_OF: Final = tuple(bisect_right(BOUNDS, value(bucket)) for bucket in range(BUCKETS))
#: Shades from the fewest to the most.
SHADES: Final = 6
#: Rows that are shown at least, so that a name with one speed does not fill the whole figure.
FEWEST: Final = 4


@dataclass(frozen=True, slots=True)
class Cell:
    """Runs of one row in one column."""

    column: int
    row: int
    #: 1 to `SHADES`.
    shade: int
    count: int
    #: UTC seconds.
    at: int


@dataclass(frozen=True, slots=True)
class Row:
    """A span of durations, [low, high) in seconds."""

    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class Heatmap:
    """What the template draws: `columns` by `len(rows)` places, the shortest durations in row 0."""

    columns: int
    rows: tuple[Row, ...]
    cells: tuple[Cell, ...]
    most: int


def heatmap(histograms: Mapping[int, Mapping[int, int]], span: Span, now: float) -> Heatmap | None:
    """The histograms of each column, given by the column's start (UTC seconds); None where nothing was measured."""
    start, columns = span.start(now), span.length // span.step
    counts: dict[tuple[int, int], int] = {}
    for n in range(columns):
        for bucket, count in histograms.get(start + n * span.step, {}).items():
            place = n, _ROW_OF[bucket]
            counts[place] = counts.get(place, 0) + count
    counts = {place: count for place, count in counts.items() if count > 0}
    if not counts:
        return None
    low, high = _shown({row for _, row in counts})
    most = max(counts.values())
    cells = tuple(
        Cell(column, row - low, _shade(count, most), count, start + column * span.step)
        for (column, row), count in sorted(counts.items())
    )
    totals = [sum(count for (_, row), count in counts.items() if row == number) for number in range(low, high + 1)]
    rows = tuple(Row(*_bounds(low + n), total) for n, total in enumerate(totals))
    return Heatmap(columns, rows, cells, most)


def _bounds(row: int) -> tuple[float, float]:
    low = BOUNDS[row - 1] if row else 0.0
    return low, BOUNDS[row] if row < len(BOUNDS) else math.inf


def _shown(rows: set[int]) -> tuple[int, int]:
    low, high = min(rows), max(rows)
    missing = FEWEST - (high - low + 1)
    if missing > 0:
        low = max(0, low - missing // 2)
        high = min(len(BOUNDS), low + FEWEST - 1)
    return low, high


def _shade(count: int, most: int) -> int:
    """By the logarithm: a lone slow run among thousands of quick ones must be seen."""
    return 1 + round((SHADES - 1) * math.log(count) / math.log(most)) if most > 1 else SHADES
