"""Rollups as readers see them: sums over the segments that overlap a span of time."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, floor

from umbel.model.rollup import RollupPoint
from umbel.model.series import DAY, MINUTE, point, spans
from umbel.stores.base import ExceptionCount
from umbel.stores.sqlite.days import add
from umbel.stores.sqlite.rollups import Cells, decode_cells
from umbel.stores.sqlite.sessions import SQL, OpenSegment, Session

#: Rows of one kind: step, first, end.
Span = tuple[int, int, int]


def series(session: Session, start: float, end: float, step: int, name: str | None) -> list[RollupPoint]:
    """One point for each span of `step` seconds that has anything, by time."""
    points: dict[int, Cells] = {}
    statement, parameters = (SQL["rollup_all"], ()) if name is None else (SQL["rollup_name"], (name,))
    for _, segment in _segments(session, start, end):
        for level, first, last in spans(start, end, step):
            for at, cells in segment.connection.execute(statement, (level, first, last, *parameters)):
                add(points.setdefault(at * level // step * step, {}), decode_cells(cells))
    found = (point(at, name or "", points[at]) for at in sorted(points))
    return [one for one in found if one.counts or one.wait or one.run]


def by_name(session: Session, start: float, end: float) -> list[RollupPoint]:
    """One point for each name, by name."""
    names: dict[str, Cells] = {}
    asked = _days(session, spans(start, end, DAY), names)
    for _, segment in _segments(session, start, end):
        for level, first, last in asked:
            for name, cells in segment.connection.execute(SQL["rollup_names"], (level, first, last)):
                add(names.setdefault(segment.word(name), {}), decode_cells(cells))
    found = (point(int(start), name, names[name]) for name in sorted(names))
    return [one for one in found if one.counts or one.wait or one.run]


def _days(session: Session, asked: list[Span], names: dict[str, Cells]) -> list[Span]:
    """Add the sums of the days and blocks that have been worked out; the spans that are left for the segments."""
    left = [span for span in asked if span[0] != DAY]
    for level, first, last in asked:
        if level != DAY:
            continue
        # Of the units that begin at a day the longest that fits.
        units: dict[int, int] = dict(session.query("units", first, last))
        at = first
        while at < last:
            days = units.get(at)
            if days is None:
                following = min((day for day in units if day > at), default=last)
                left.append((DAY, at, following))
                at = following
                continue
            for name, cells in session.query("unit_rollups", at, days):
                add(names.setdefault(name, {}), decode_cells(cells))
            at += days
    return left


def exceptions(session: Session, start: float, end: float, limit: int) -> list[ExceptionCount]:
    """The most frequent first."""
    counts: dict[tuple[str, str], int] = {}
    for _, segment in _segments(session, start, end):
        span = floor(start / MINUTE), ceil(end / MINUTE)
        for type_, name, count in segment.connection.execute(SQL["exceptions"], span):
            key = (type_, segment.word(name))
            counts[key] = counts.get(key, 0) + count
    found = [ExceptionCount(type_, name, count) for (type_, name), count in counts.items() if count]
    return sorted(found, key=lambda e: (-e.count, e.exception_type, e.name))[:limit]


def _segments(session: Session, start: float, end: float) -> Iterator[tuple[int, OpenSegment]]:
    """The segments whose rollups overlap; one that cannot be read is said to be and left out."""
    first, last = floor(start / MINUTE), ceil(end / MINUTE)
    for listed in session.segments():
        if listed.last_minute < first or listed.first_minute >= last:
            continue
        segment = session.segment(listed.number)
        if segment is None:
            continue
        yield listed.number, segment
