"""Spans of n, the units of rollups: which are written to, and which stand in `rollup` as they are.

A writer touches a span after its rows are in; a span is clean while the touches counted are those that its rows in
`rollup` were computed after, and once it is weeded (weed.py). Whatever is not clean is computed from the tasks when it
is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Final

from umbel.model.latency import GAMMA, LARGEST, OFFSET, SMALLEST
from umbel.model.merge import HISTORY, Rejected, Retried
from umbel.model.rollup import Series
from umbel.stores.clickhouse.connection import Connection
from umbel.stores.clickhouse.facts import RUN, WAIT, facts_in
from umbel.stores.clickhouse.rows import FAILED_RANK, REVOKED_RANK, SUCCEEDED_RANK
from umbel.stores.clickhouse.scan import Range
from umbel.stores.kinds import KIND_NUMBER
from umbel.stores.sqlfile import load

#: The code of a failure, with its exception's type.
EXCEPTION: Final = 3_000

SQL: Final = load(Path(__file__).with_name("spans.sql"))


@dataclass(frozen=True, slots=True)
class Span:
    """One span that has been written to."""

    number: int
    touches: int
    #: Wall time of the latest commit that wrote to it.
    touched_at: float
    #: The times between which its tasks' events lie, UTC seconds.
    first_at: float
    last_at: float
    #: Touches that its rows in `rollup` hold, their version and number of tasks; 0 where there are none.
    mark: int
    version: int
    tasks: int
    #: Whether a rule of retention took some of its tasks: its rows count them, and stand for good.
    weeded: bool

    @property
    def clean(self) -> bool:
        return self.version > 0 and (self.weeded or self.mark == self.touches)


def spans_of(connection: Connection, since: float = 0.0, until: float = math.inf) -> list[Span]:
    """The spans whose tasks may have events in [since, until), ascending; UTC seconds."""
    rows = connection.query(SQL["spans"], {"first": since, "end": min(until, 1e18)})
    return [Span(*row) for row in rows]


def ranges_of(numbers: Iterable[int], length: int) -> list[Range]:
    """The ranges of n that spans cover; neighbours are one."""
    found: list[Range] = []
    for number in sorted(numbers):
        low, high = number * length, (number + 1) * length
        if found and found[-1][1] == low:
            found[-1] = (found[-1][0], high)
        else:
            found.append((low, high))
    return found


def runs_of(numbers: Sequence[int], chosen: Sequence[bool], length: int) -> list[Range]:
    """The ranges of n that the chosen of all spans cover; two that follow each other are one, as nothing is between."""
    found: list[Range] = []
    before = False
    for number, is_chosen in zip(numbers, chosen, strict=True):
        low, high = number * length, (number + 1) * length
        if is_chosen and before:
            found[-1] = (found[-1][0], high)
        elif is_chosen:
            found.append((low, high))
        before = is_chosen
    return found


def within(column: str, ranges: Sequence[Range]) -> str:
    """Whether a column lies in one of the ranges; numbers only."""
    return "(" + " OR ".join(f"{column} >= {low} AND {column} < {high}" for low, high in ranges) + ")"


def source_of(ranges: Sequence[Range]) -> str:
    """The rows in the ranges, and the others of their strays."""
    inside = within("n", ranges)
    return f"({inside} OR (n, id) IN (SELECT arrayJoin(ns), id FROM stray WHERE {inside}))"  # noqa: S608 - numbers


def tasks_in(connection: Connection, numbers: Sequence[int]) -> dict[int, int]:
    """How many tasks were first seen in each span."""
    if not numbers:
        return {}
    length = connection.target.layout.span
    ranges = ranges_of(numbers, length)
    sql = Template(SQL["tasks"]).substitute(span=length, source=source_of(ranges), chosen=within("n0", ranges))
    return dict(connection.query(sql))  # type: ignore[arg-type]


def cells_of(numbers: Sequence[int], length: int) -> str:
    """SQL for the cells of the tasks first seen in the spans: span, name, minute, code, type, count."""
    ranges = ranges_of(numbers, length)
    template = SQL["cells"]
    return Template(template).substitute(
        span=length,
        smallest=repr(SMALLEST),
        largest=repr(LARGEST),
        scale=repr(1 / math.log(GAMMA)),
        offset=OFFSET,
        retried=KIND_NUMBER[Retried],
        rejected=KIND_NUMBER[Rejected],
        most=HISTORY + 1,
        failed=FAILED_RANK,
        ends=f"{REVOKED_RANK}, {FAILED_RANK}, {SUCCEEDED_RANK}",
        series=f"{Series.REVOKED:d}, {Series.FAILED:d}, {Series.SUCCEEDED:d}",
        wait=WAIT,
        run=RUN,
        facts=facts_in(f"{template} {WAIT} {RUN}"),
        source=source_of(ranges),
        chosen=within("n0", ranges),
    )
