"""Rollups as readers see them: sums over the segments that overlap a span of time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from math import ceil, floor
from typing import Final

from umbel.model.rollup import RollupPoint
from umbel.model.series import DAY, HOUR, MINUTE, TEN_MINUTES, cover, spans
from umbel.stores.base import ExceptionCount
from umbel.stores.sqlite.sessions import SQL, Listed, OpenSegment, Session
from umbel.stores.sqlite.vectors import Sum, Sums

#: Rows of one kind: step, first, end.
Span = tuple[int, int, int]
#: Steps of the rows that segments have beside those of minutes.
_STEPS: Final = (DAY, HOUR, TEN_MINUTES)
#: Of which rows there are sums in the catalog, since which version of it, and the statements that find and read them.
_SUMS: Final = {DAY: (6, "units", "unit_rollups"), HOUR: (7, "hours", "hours_rollups")}


def series(session: Session, start: float, end: float, step: int, name: str | None) -> list[RollupPoint]:
    """One point for each span of `step` seconds that has anything, by time."""
    points: defaultdict[int, Sum] = defaultdict(Sum)
    statement, parameters = (SQL["rollup_all"], ()) if name is None else (SQL["rollup_name"], (name,))
    for _, segment in _segments(session, start, end):
        for level, first, last in _kept(segment, spans(start, end, step, _STEPS)):
            for at, cells in segment.connection.execute(statement, (level, first, last, *parameters)):
                points[at * level // step * step].add(cells)
    found = (points[at].point(at, name or "") for at in sorted(points))
    return [one for one in found if one.counts or one.wait or one.run]


def by_name(session: Session, start: float, end: float) -> list[RollupPoint]:
    """One point for each name, by name."""
    names = Sums()
    asked = _summed(session, spans(start, end, DAY, _STEPS), names)
    for listed, segment in _segments(session, start, end):
        for level, first, last in _kept(segment, asked):
            minutes = level // MINUTE
            if listed.last_minute < first * minutes or listed.first_minute >= last * minutes:
                continue
            rows = segment.connection.execute(SQL["rollup_names"], (level, first, last))
            names.add((segment.word(name), cells) for name, cells in rows)
    return [one for one in names.points(int(start)) if one.counts or one.wait or one.run]


def _kept(segment: OpenSegment, asked: list[Span]) -> list[Span]:
    """The same spans in rows that a segment has: an older one has none of ten minutes."""
    if segment.tens:
        return asked
    minutes = TEN_MINUTES // MINUTE
    return [
        (MINUTE, first * minutes, last * minutes) if level == TEN_MINUTES else (level, first, last)
        for level, first, last in asked
    ]


def _summed(session: Session, asked: list[Span], names: Sums) -> list[Span]:
    """Add the sums of days and hours that have been worked out; the spans that are left for the segments."""
    left = []
    for level, first, last in asked:
        since, units, rollups = _SUMS.get(level, (None, "", ""))
        if since is None or session.version < since:
            left.append((level, first, last))
            continue
        sums, gaps = cover(first, last, session.query(units, first, last))
        left += [(level, *gap) for gap in gaps]
        for at, length in sums:
            names.add(session.query(rollups, at, length))
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


def _segments(session: Session, start: float, end: float) -> Iterator[tuple[Listed, OpenSegment]]:
    """The segments whose rollups overlap; one that cannot be read is said to be and left out."""
    first, last = floor(start / MINUTE), ceil(end / MINUTE)
    for listed in session.segments():
        if listed.last_minute < first or listed.first_minute >= last:
            continue
        segment = session.segment(listed.number)
        if segment is None:
            continue
        yield listed, segment
