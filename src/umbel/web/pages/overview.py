"""Overview: how much runs, how long it takes, what fails, who works, what is late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import HTMLResponse

from umbel.model.ledger import LedgerEntry
from umbel.model.query import Compare, Field, Node, Op, Or, Order, Page
from umbel.model.rollup import RollupPoint, Series
from umbel.model.task import State, Summary, epoch
from umbel.model.worker import Worker
from umbel.stores.base import ExceptionCount, StoreReader
from umbel.stores.journal import Kind
from umbel.web.alerting import Held
from umbel.web.deps import Deps, get_deps
from umbel.web.pages.changes import Changes, changes, past_of
from umbel.web.pages.charts import Chart, gaps_of, latencies, throughput
from umbel.web.pages.failures import search_of
from umbel.web.pages.figures import Percentiles, ended, failure_share, merged, percentiles
from umbel.web.pages.marks import marks
from umbel.web.pages.queued import AGE, UNTOLD, Queued, queued
from umbel.web.pages.shared import Shared
from umbel.web.pages.spans import SPANS, Span, span_of
from umbel.web.pages.stages import Stage, stages
from umbel.web.render import page

router = APIRouter()
shared: Shared[Context] = Shared()
differences: Shared[Changes] = Shared()
depths: Shared[Queued] = Shared()
pasts: Shared[Mapping[str, RollupPoint]] = Shared()

#: Seconds that the percentiles called "now" look back.
RECENT: Final = 300
#: Seconds for which what has changed need not be looked for again, and rows of it that are shown.
CHANGES_AGE: Final = 15.0
CHANGES: Final = 6
#: Seconds for which the day before is the same: it is over, but for events that come very late.
PAST_AGE: Final = 300.0
#: Seconds back to the same time of the day before.
DAY: Final = 86_400
#: Rows of "late" that are shown, and that are looked at to find them.
LATE: Final = 6
LOOKED_AT: Final = 40


@dataclass(frozen=True, slots=True)
class Late:
    """A task that has not gone on for a while."""

    task: Summary
    #: Since when, UTC seconds.
    since: float
    #: The worker that has it is gone.
    orphaned: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """Failures of one kind; `share` of the most frequent one, 0 to 1."""

    count: ExceptionCount
    share: float
    #: The search that lists them.
    query: str


@dataclass(frozen=True, slots=True)
class Yesterday:
    """The same span of the day before: its figures, and this span's against them (1.0: the same; None: no answer)."""

    ended: int
    failed: int
    wait: Percentiles
    run: Percentiles
    ended_ratio: float | None
    failed_ratio: float | None


@dataclass(frozen=True, slots=True)
class Context:
    """What the template shows."""

    span: Span
    spans: Sequence[Span]
    throughput: Chart
    wait: Chart
    run: Chart
    #: Ended tasks a second in this minute and the one before, and counts over the span.
    rate: float
    succeeded: int
    failed: int
    retried: int
    #: Failed of succeeded and failed, 0 to 1.
    failure_share: float | None
    #: The same span a day before; None where nothing is known of it.
    yesterday: Yesterday | None
    changes: Changes
    #: How many of them are shown.
    shown_changes: int
    wait_now: Percentiles
    run_now: Percentiles
    wait_all: Percentiles
    run_all: Percentiles
    failures: Sequence[Failure]
    online: int
    gone: int
    active: int
    queued: Queued
    waiting: Sequence[Late]
    running: Sequence[Late]
    losses: Sequence[LedgerEntry]
    stages: Sequence[Stage]
    #: What fires, the gravest first.
    firing: Sequence[Held]


@router.get("/", response_class=HTMLResponse)
def show(
    request: Request,
    deps: Annotated[Deps, Depends(get_deps)],
    range_: Annotated[str, Query(alias="range")] = "",
) -> HTMLResponse:
    """The page; `range` is one of 15m, 1h, 6h, 24h."""
    span = span_of(range_)
    # Half the time between two refreshes: nobody sees the same figures twice.
    found = known_changes(request.app, deps, span)
    now = depths.get(request.app, "", AGE, deps.clock, lambda: queued(deps))
    context = shared.get(request.app, span.name, span.every / 2, deps.clock, lambda: load(deps, span.name, found, now))
    return page(request, "overview", context)


def known_changes(app: FastAPI, deps: Deps, span: Span) -> Changes:
    """What is different in the span from the day before it, some seconds old."""

    def look() -> Changes:
        past = pasts.get(app, span.name, PAST_AGE, deps.clock, lambda: past_of(deps.reader, span, deps.clock.now()))
        return changed(deps, span, past)

    return differences.get(app, span.name, CHANGES_AGE, deps.clock, look)


def changed(deps: Deps, span: Span, past: Mapping[str, RollupPoint] | None = None) -> Changes:
    """What is different in the span from the day before it; `past` spares asking for that day."""
    now = deps.clock.now()
    past = past_of(deps.reader, span, now) if past is None else past
    return changes(deps.reader, deps.reader.workers(), span, now, past)


def load(deps: Deps, range_: str = "", found: Changes | None = None, queues: Queued = UNTOLD) -> Context:
    """Everything that the page shows, read from the store; `found` spares looking for what has changed."""
    reader, now, span = deps.reader, deps.clock.now(), span_of(range_)
    start = span.start(now)
    end = start + span.length
    points = reader.rollup(start, end, span.step)
    whole = merged(points)
    minute = int(now // 60) * 60
    latest = reader.rollup(minute - RECENT, minute + 60, 60)
    recent = merged(latest)
    newest = merged(point for point in latest if point.at >= minute - 60)
    losses = [entry for entry in reader.ledger(since=start) if entry.last_at >= start]
    gaps = gaps_of(losses, start, end)
    workers = reader.workers()
    online = [worker for worker in workers if worker.online(now)]
    names = {worker.hostname for worker in online}
    marked = marks(deps.entries.read(Kind.DEPLOY), workers, start, end)
    return Context(
        span=span,
        spans=tuple(SPANS.values()),
        throughput=replace(throughput(points, span, gaps, now), marks=marked),
        wait=replace(latencies("wait", {one.at: one.wait for one in points}, span, gaps, now), marks=marked),
        run=replace(latencies("run", {one.at: one.run for one in points}, span, gaps, now), marks=marked),
        rate=sum(newest.counts.get(series, 0) for series in (Series.SUCCEEDED, Series.FAILED)) / (60 + now - minute),
        succeeded=whole.counts.get(Series.SUCCEEDED, 0),
        failed=whole.counts.get(Series.FAILED, 0),
        retried=whole.counts.get(Series.RETRIED, 0),
        failure_share=failure_share(whole),
        yesterday=_yesterday(reader, start - DAY, now - DAY, whole),
        changes=changed(deps, span) if found is None else found,
        shown_changes=CHANGES,
        wait_now=percentiles(recent.wait),
        run_now=percentiles(recent.run),
        wait_all=percentiles(whole.wait),
        run_all=percentiles(whole.run),
        failures=_failures(reader.exceptions(start, end, 12), span),
        online=len(online),
        gone=len({worker.hostname for worker in workers} - names),
        queued=queues,
        active=sum(worker.heartbeat.active for worker in online if worker.heartbeat),
        waiting=_waiting(reader, names, workers, now),
        running=_running(reader, names, workers),
        losses=losses,
        stages=stages(deps.pipeline(), deps.readiness(), now),
        firing=deps.board.view().firing,
    )


def _yesterday(reader: StoreReader, start: float, end: float, whole: RollupPoint) -> Yesterday | None:
    # One point of the coarsest rows that cover it.
    past = merged(reader.rollup(start, end, DAY))
    whole_past, failed = ended(past), past.counts.get(Series.FAILED, 0)
    if not whole_past:
        return None
    return Yesterday(
        ended=whole_past,
        failed=failed,
        wait=percentiles(past.wait),
        run=percentiles(past.run),
        ended_ratio=ended(whole) / whole_past,
        failed_ratio=whole.counts.get(Series.FAILED, 0) / failed if failed else None,
    )


def _failures(counts: Sequence[ExceptionCount], span: Span) -> list[Failure]:
    most = max((count.count for count in counts), default=1)
    return [Failure(count, count.count / most, search_of(count, span)) for count in counts]


def _states(*states: State) -> Node:
    return Or(tuple(Compare(Field.STATE, Op.EQ, state.value) for state in states))


def _waiting(reader: StoreReader, online: set[str], workers: Sequence[Worker], now: float) -> list[Late]:
    """The longest waiting of those whose time has come."""
    found = reader.tasks(_states(State.PENDING, State.RECEIVED), Page(LOOKED_AT, order=Order.OLDEST)).items
    records = reader.records([task.id for task in found])
    late = []
    for task in found:
        record = records.get(task.id)
        due = epoch(record.description.eta) if record and record.description else None
        since = max(task.sent_at or task.received_at or task.updated_at, due or 0.0)
        if since <= now:
            late.append(Late(task, since, _orphaned(task, online, workers)))
    return sorted(late, key=lambda item: item.since)[:LATE]


def _running(reader: StoreReader, online: set[str], workers: Sequence[Worker]) -> list[Late]:
    found = reader.tasks(_states(State.STARTED), Page(LOOKED_AT, order=Order.OLDEST)).items
    late = [Late(task, task.started_at or task.updated_at, _orphaned(task, online, workers)) for task in found]
    return sorted(late, key=lambda item: item.since)[:LATE]


def _orphaned(task: Summary, online: set[str], workers: Sequence[Worker]) -> bool:
    """Whether a worker had it that is known and gone."""
    return (
        task.state is not State.PENDING
        and task.worker not in online
        and any(worker.hostname == task.worker for worker in workers)
    )
