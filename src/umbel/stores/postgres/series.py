"""Rollups as readers see them: sums over the parts that overlap a span of time, and over the collectors."""

from __future__ import annotations

from math import ceil, floor

from umbel.model.rollup import RollupPoint
from umbel.model.series import DAY, MINUTE, point, spans
from umbel.stores.base import ExceptionCount
from umbel.stores.cells import Cells, add, decode_cells
from umbel.stores.postgres import sums
from umbel.stores.postgres.rollups import ALL
from umbel.stores.postgres.scan import parts_of
from umbel.stores.postgres.sessions import ReadSession
from umbel.stores.postgres.text import key_of, told


def series(session: ReadSession, start: float, end: float, step: int, name: str | None) -> list[RollupPoint]:
    """One point for each span of `step` seconds that has anything, by time."""
    points: dict[int, Cells] = {}
    key = ALL if name is None else key_of(name)
    parts = _parts(session, start, end)
    for level, first, last in spans(start, end, step):
        for at, cells in session.query("rollup", parts, level, first, last, key):
            add(points.setdefault(at * level // step * step, {}), decode_cells(cells))
    found = (point(at, name or "", points[at]) for at in sorted(points))
    return [one for one in found if one.counts or one.wait or one.run]


def by_name(session: ReadSession, start: float, end: float) -> list[RollupPoint]:
    """One point for each name, by name."""
    names: dict[str, Cells] = {}
    parts = _parts(session, start, end)
    for level, first, last in sums.rest(session.connection, spans(start, end, DAY), names):
        for name, cells in session.query("rollup_names", parts, level, first, last, ALL):
            add(names.setdefault(told(name), {}), decode_cells(cells))
    found = (point(int(start), name, names[name]) for name in sorted(names))
    return [one for one in found if one.counts or one.wait or one.run]


def exceptions(session: ReadSession, start: float, end: float, limit: int) -> list[ExceptionCount]:
    """The most frequent first."""
    minutes = floor(start / MINUTE), ceil(end / MINUTE)
    rows = session.query("exceptions", _parts(session, start, end), *minutes)
    found = [ExceptionCount(told(type_), told(name), count) for type_, name, count in rows if count]
    return sorted(found, key=lambda e: (-e.count, e.exception_type, e.name))[:limit]


def _parts(session: ReadSession, start: float, end: float) -> list[int]:
    """The parts whose rollups overlap."""
    first, last = floor(start / MINUTE), ceil(end / MINUTE)
    return [part.number for part in parts_of(session) if part.last_minute >= first and part.first_minute < last]
