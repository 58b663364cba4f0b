"""Task names: one row each, how often it runs, how long it takes, how often it fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from umbel.model.query import And, Compare, Field, Op, Page
from umbel.model.rollup import RollupPoint, Series
from umbel.model.task import State, Summary
from umbel.stores.base import StoreReader
from umbel.web.deps import Deps, get_deps
from umbel.web.pages.figures import Percentiles, failure_share, percentiles
from umbel.web.pages.shared import Shared
from umbel.web.pages.spans import SPANS, Span, span_of
from umbel.web.pages.spark import Bar, bars
from umbel.web.render import page

router = APIRouter()
shared: Shared[Context] = Shared()

#: Rows that are shown.
ROWS: Final = 100
#: Rows, the first ones, that have a drawing and their last failure: each costs a question to the store.
DRAWN: Final = 40
#: Columns of a row's drawing, about, and seconds from which one is whole hours: of these there are sums.
COLUMNS: Final = 30
LONG: Final = 1_800
#: Seconds between refreshes.
EVERY: Final = 5.0


@dataclass(frozen=True, slots=True)
class Row:
    """One task name within the span."""

    name: str
    #: Ended tasks, and how many a second.
    ended: int
    rate: float
    failed: int
    retried: int
    #: Failed of succeeded and failed, 0 to 1.
    failure_share: float | None
    wait: Percentiles
    run: Percentiles
    #: Ended tasks over time.
    spark: Sequence[Bar] = ()
    last_failure: Summary | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What the template shows."""

    span: Span
    spans: Sequence[Span]
    #: How the rows are sorted, and the orders to choose from.
    sort: str
    sorts: Sequence[tuple[str, str]]
    rows: Sequence[Row]
    #: Names that ran in the span and are not shown.
    hidden: int
    every: float


def _number(value: float | None) -> float:
    return -1.0 if value is None else value


#: Orders by the address's `sort`: title, and what is greatest first.
SORTS: Final[dict[str, tuple[str, Callable[[Row], float]]]] = {
    "ended": ("Most run", lambda row: row.ended),
    "failed": ("Most failures", lambda row: row.failed),
    "share": ("Failure share", lambda row: _number(row.failure_share)),
    "run": ("Slowest run", lambda row: _number(row.run.p95)),
    "wait": ("Longest wait", lambda row: _number(row.wait.p95)),
}


@router.get("/names", response_class=HTMLResponse)
def show(
    request: Request,
    deps: Annotated[Deps, Depends(get_deps)],
    range_: Annotated[str, Query(alias="range")] = "",
    sort: str = "",
) -> HTMLResponse:
    """The page; `range` as on the overview, `sort` one of `SORTS`."""
    span, order = span_of(range_), sort if sort in SORTS else "ended"
    key = f"{span.name} {order}"
    context = shared.get(request.app, key, EVERY / 2, deps.clock, lambda: load(deps, span.name, order))
    return page(request, "names", context)


def load(deps: Deps, range_: str = "", sort: str = "ended") -> Context:
    """Everything that the page shows, read from the store."""
    now, span = deps.clock.now(), span_of(range_)
    start = span.start(now)
    rows = ranked(deps.reader, span, start, sort)
    drawn = [_drawn(deps.reader, row, span, start) for row in rows[:DRAWN]]
    return Context(
        span=span,
        spans=tuple(SPANS.values()),
        sort=sort,
        sorts=[(name, title) for name, (title, _) in SORTS.items()],
        rows=[*drawn, *rows[DRAWN:ROWS]],
        hidden=max(0, len(rows) - ROWS),
        every=EVERY,
    )


def ranked(reader: StoreReader, span: Span, start: int, sort: str) -> list[Row]:
    """Every name that ran in the span that begins at `start` (UTC seconds), in one of the orders of `SORTS`."""
    rows = [_row(point, span) for point in reader.rollup_names(start, start + span.length)]
    return sorted(rows, key=lambda row: (-SORTS[sort][1](row), row.name))


def _row(point: RollupPoint, span: Span) -> Row:
    counts = point.counts
    ended = sum(counts.get(series, 0) for series in (Series.SUCCEEDED, Series.FAILED, Series.REVOKED))
    return Row(
        name=point.name,
        ended=ended,
        rate=ended / span.length,
        failed=counts.get(Series.FAILED, 0),
        retried=counts.get(Series.RETRIED, 0),
        failure_share=failure_share(point),
        wait=percentiles(point.wait),
        run=percentiles(point.run),
    )


def _drawn(reader: StoreReader, row: Row, span: Span, start: int) -> Row:
    """The row with what only a question of its own tells."""
    step = _step(span)
    first, end = start // step, -(-(start + span.length) // step)
    whole, failed = [0.0] * (end - first), [0.0] * (end - first)
    for point in reader.rollup(start, start + span.length, step, row.name):
        at = point.at // step - first
        bad = point.counts.get(Series.FAILED, 0)
        whole[at] += point.counts.get(Series.SUCCEEDED, 0) + bad
        failed[at] += bad
    return Row(
        row.name,
        row.ended,
        row.rate,
        row.failed,
        row.retried,
        row.failure_share,
        row.wait,
        row.run,
        spark=bars(whole, failed),
        last_failure=last_failure(reader, row.name) if row.failed else None,
    )


def _step(span: Span) -> int:
    """The width of a column, seconds."""
    step = span.length // COLUMNS
    return max(60, step // 60 * 60) if step < LONG else -(-step // 3_600) * 3_600


def last_failure(reader: StoreReader, name: str) -> Summary | None:
    """The newest task of this name that failed."""
    failed = Compare(Field.STATE, Op.EQ, State.FAILURE.value)
    found = reader.tasks(And((Compare(Field.NAME, Op.EQ, name), failed)), Page(1)).items
    return found[0] if found else None
