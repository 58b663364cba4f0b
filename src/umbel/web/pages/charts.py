"""Charts as data: the browser draws them with uPlot, a page without scripts shows them as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from umbel.model.latency import quantile
from umbel.model.ledger import LedgerEntry
from umbel.model.rollup import RollupPoint, Series
from umbel.web.pages.marks import Mark
from umbel.web.pages.spans import Span

#: What ended, from the bottom of the stack to its top.
OUTCOMES: Final = (
    (Series.SUCCEEDED, "succeeded"),
    (Series.FAILED, "failed"),
    (Series.RETRIED, "retried"),
    (Series.REVOKED, "revoked"),
    (Series.REJECTED, "rejected"),
)
QUANTILES: Final = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
#: Share of a column that must have passed before its rate means anything.
BEGUN: Final = 0.25
#: Size of the SVG that stands in for a chart.
WIDTH: Final = 1_000.0
HEIGHT: Final = 200.0


@dataclass(frozen=True, slots=True)
class Line:
    """One value for each column; None where there is none."""

    key: str
    values: tuple[float | None, ...]
    #: Drawn on top of the stacked lines before it.
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Gap:
    """A span in which events were lost; UTC seconds."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over the same columns."""

    id: str
    #: rate (tasks a second) or seconds.
    unit: str
    #: The field of the query language that a span of this chart is searched by.
    field: str
    start: int
    step: int
    columns: int
    lines: tuple[Line, ...]
    gaps: tuple[Gap, ...]
    #: The oldest first.
    marks: tuple[Mark, ...] = ()

    def place(self, at: float) -> float:
        """Where a moment lies in the box, of `WIDTH`."""
        return (at - self.start) / (self.step * self.columns) * WIDTH

    def data(self, link: str) -> dict[str, Any]:
        """What the script draws; `link` is the address to which it adds a search for a span."""
        return {
            "unit": self.unit,
            "field": self.field,
            "link": link,
            "from": self.start,
            "to": self.start + self.step * self.columns,
            "step": self.step,
            "latest": "latest",
            "times": [self.start + self.step * n for n in range(self.columns)],
            "lines": [{"key": line.key, "stacked": line.stacked, "values": list(line.values)} for line in self.lines],
            "gaps": [{"from": gap.start, "to": gap.end} for gap in self.gaps],
            "marks": [{"at": mark.at, "name": mark.name, "kind": mark.kind} for mark in self.marks],
        }

    def latest(self, key: str) -> float | None:
        """The newest value of a line; the column that has just begun has none."""
        line = next(line for line in self.lines if line.key == key)
        return next((value for value in reversed(line.values) if value is not None), None)

    def paths(self) -> list[tuple[str, str, bool]]:
        """Key, path and whether it is filled, in the order to draw, in a box of `WIDTH` by `HEIGHT`."""
        below = [0.0] * self.columns
        filled, open_ = [], []
        for line in self.lines:
            if line.stacked:
                below = [base + (value or 0.0) for base, value in zip(below, line.values, strict=True)]
                filled.append((line.key, list(below)))
            else:
                open_.append((line.key, list(line.values)))
        known = [value for line in self.lines for value in line.values if value is not None]
        top = max([*below, *known, 1e-9])
        areas = [(key, self._area(values, top), True) for key, values in reversed(filled)]
        return areas + [(key, self._line(values, top), False) for key, values in open_]

    def _area(self, values: Sequence[float], top: float) -> str:
        wide = WIDTH / self.columns
        steps = "".join(f"V{self._height(value, top):.1f}H{(n + 1) * wide:.1f}" for n, value in enumerate(values))
        return f"M0 {HEIGHT:g}{steps}V{HEIGHT:g}Z"

    def _line(self, values: Sequence[float | None], top: float) -> str:
        wide = WIDTH / self.columns
        drawn, pen = [], "M"
        for n, value in enumerate(values):
            if value is None:
                pen = "M"
                continue
            drawn.append(f"{pen}{n * wide:.1f} {self._height(value, top):.1f}")
            pen = "L"
        return "".join(drawn)

    def _height(self, value: float, top: float) -> float:
        if self.unit != "seconds":
            return HEIGHT * (1 - value / top * 0.92)
        # Latencies spread over decades.
        low = math.log10(1e-4)
        return HEIGHT * (1 - (math.log10(max(value, 1e-4)) - low) / max(math.log10(top) - low, 1e-9) * 0.92)


def gaps_of(entries: Iterable[LedgerEntry], start: float, end: float) -> tuple[Gap, ...]:
    """The spans of a ledger's entries that touch [start, end), joined where they overlap."""
    found: list[Gap] = []
    spans = sorted((max(entry.first_at, start), min(entry.last_at, end)) for entry in entries)
    for first, last in spans:
        if last < start or first >= end:
            continue
        if found and first <= found[-1].end:
            found[-1] = Gap(found[-1].start, max(found[-1].end, last))
        else:
            found.append(Gap(first, last))
    return tuple(found)


def throughput(points: Sequence[RollupPoint], span: Span, gaps: tuple[Gap, ...], now: float) -> Chart:
    """What ended, stacked, and what workers received, as tasks a second; the newest column counts what has passed."""
    start, columns = span.start(now), span.length // span.step
    by_column = {int((point.at - start) // span.step): point for point in points}
    begun = now - (start + (columns - 1) * span.step)

    def rate(series: Series, n: int) -> float | None:
        last = n == columns - 1
        if last and begun < span.step * BEGUN:
            return None
        count = by_column[n].counts.get(series, 0) if n in by_column else 0
        return round(count / (begun if last else span.step), 4)

    def line(series: Series, key: str, *, stacked: bool) -> Line:
        return Line(key, tuple(rate(series, n) for n in range(columns)), stacked)

    lines = [line(series, key, stacked=True) for series, key in OUTCOMES]
    lines.append(line(Series.RECEIVED, "received", stacked=False))
    return Chart("throughput", "rate", "finished", start, span.step, columns, tuple(lines), gaps)


def latencies(
    id_: str, histograms: Mapping[int, Mapping[int, int]], span: Span, gaps: tuple[Gap, ...], now: float
) -> Chart:
    """The quantiles of each column's histogram, given by the column's start; `id_` is wait or run."""
    start, columns = span.start(now), span.length // span.step
    lines = []
    for key, q in QUANTILES:
        values = [quantile(histograms.get(start + n * span.step, {}), q) for n in range(columns)]
        lines.append(Line(key, tuple(None if value is None else round(value, 5) for value in values)))
    field = "started" if id_ == "wait" else "finished"
    return Chart(id_, "seconds", field, start, span.step, columns, tuple(lines), gaps)
