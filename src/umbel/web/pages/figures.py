"""Figures that several pages draw from rollups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from umbel.model.latency import quantile
from umbel.model.rollup import RollupPoint, Series
from umbel.web.pages.charts import QUANTILES


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Seconds; None where nothing was measured."""

    p50: float | None
    p95: float | None
    p99: float | None


def percentiles(histogram: Mapping[int, int]) -> Percentiles:
    """The quantiles that pages show, of a latency histogram."""
    return Percentiles(*(quantile(histogram, q) for _, q in QUANTILES))


def merged(points: Iterable[RollupPoint]) -> RollupPoint:
    """One point with everything that these count."""
    counts: Counter[Series] = Counter()
    wait: Counter[int] = Counter()
    run: Counter[int] = Counter()
    for point in points:
        counts.update(point.counts)
        wait.update(point.wait)
        run.update(point.run)
    return RollupPoint(0, counts=dict(counts), wait=wait, run=run)


def ended(point: RollupPoint) -> int:
    """Tasks that succeeded or failed."""
    return point.counts.get(Series.SUCCEEDED, 0) + point.counts.get(Series.FAILED, 0)


def failure_share(point: RollupPoint) -> float | None:
    """Failed of succeeded and failed, 0 to 1; None where neither was."""
    whole = ended(point)
    return point.counts.get(Series.FAILED, 0) / whole if whole else None
