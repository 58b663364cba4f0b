"""Rollups as readers see them: the rows of clean spans, and the tasks of the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, floor
from string import Template
from typing import Any, Final

from umbel.model.rollup import RUN, WAIT, RollupPoint, Series
from umbel.stores.base import ExceptionCount
from umbel.stores.clickhouse.connection import Connection
from umbel.stores.clickhouse.spans import EXCEPTION, SQL, cells_of, spans_of

#: Minutes of an hour: rows of step 60 hold whole ones.
HOUR: Final = 60

Cells = dict[int, int]


def series(connection: Connection, start: float, end: float, step: int, name: str | None) -> list[RollupPoint]:
    """One point for each span of `step` seconds that has anything, by time."""
    parameters: dict[str, Any] = {"step": step}
    what = f"code < {EXCEPTION}"
    if name is not None:
        what += " AND name = {name:String}"
        parameters["name"] = name
    key = "intDiv(toUInt64(minute) * 60, {step:UInt64}) * {step:UInt64}"
    points: dict[int, Cells] = {}
    for at, code, _, count in _sums(
        connection, start, end, key=key, what=what, hours=step % 3600 == 0, parameters=parameters
    ):
        points.setdefault(at, {})[code] = count
    return [_point(at, name or "", points[at]) for at in sorted(points)]


def by_name(connection: Connection, start: float, end: float) -> list[RollupPoint]:
    """One point for each name, by name."""
    names: dict[str, Cells] = {}
    for name, code, _, count in _sums(connection, start, end, key="name", what=f"code < {EXCEPTION}", hours=True):
        names.setdefault(name, {})[code] = count
    return [_point(int(start), name, names[name]) for name in sorted(names)]


def exceptions(connection: Connection, start: float, end: float, limit: int) -> list[ExceptionCount]:
    """The most frequent first."""
    rows = _sums(connection, start, end, key="name", what=f"code = {EXCEPTION}", hours=True)
    found = [ExceptionCount(type_, name, count) for name, _, type_, count in rows]
    return sorted(found, key=lambda e: (-e.count, e.exception_type, e.name))[:limit]


def _sums(
    connection: Connection,
    start: float,
    end: float,
    *,
    key: str,
    what: str,
    hours: bool,
    parameters: Mapping[str, Any] | None = None,
) -> Sequence[Sequence[Any]]:
    """Key, code, type and count of everything in the minutes of [start, end)."""
    first, last = max(floor(start / 60), 0), max(ceil(end / 60), 0)
    if first >= last:
        return []
    spans = spans_of(connection, first * 60.0, last * 60.0)
    dirty = [span.number for span in spans if not span.clean]
    parts = []
    if len(dirty) < len(spans):
        covered = " OR ".join(
            f"step = {step} AND minute >= {low} AND minute < {high}"
            for step, low, high in _cover(first, last, hours=hours)
        )
        parts.append(Template(SQL["clean"]).substitute(covered=f"({covered})"))
    if dirty:
        parts.append(Template(SQL["live"]).substitute(cells=cells_of(dirty, connection.target.layout.span)))
    if not parts:
        return []
    sql = Template(SQL["sums"]).substitute(key=key, what=what, rows=" UNION ALL ".join(parts))
    return connection.query(sql, {**(parameters or {}), "dirty": dirty, "first": first, "end": last})


def _cover(first: int, end: int, *, hours: bool) -> Iterator[tuple[int, int, int]]:
    """The fewest rows that cover the minutes of [first, end): (step, first, end)."""
    low, high = -(-first // HOUR) * HOUR, end // HOUR * HOUR
    if not hours or low >= high:
        yield 1, first, end
        return
    yield HOUR, low, high
    if first < low:
        yield 1, first, low
    if high < end:
        yield 1, high, end


def _point(at: int, name: str, cells: Cells) -> RollupPoint:
    counts: dict[Series, int] = {}
    wait: Cells = {}
    run: Cells = {}
    for code, count in sorted(cells.items()):
        if code >= RUN:
            run[code - RUN] = count
        elif code >= WAIT:
            wait[code - WAIT] = count
        else:
            counts[Series(code)] = count
    return RollupPoint(at, name, counts, wait, run)
