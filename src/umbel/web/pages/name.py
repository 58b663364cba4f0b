"""One task name: how it runs over time, what it fails with, where, and with which arguments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from umbel.model.merge import Task
from umbel.model.query import Compare, Field, Op, Page
from umbel.model.rollup import Series
from umbel.model.task import Summary
from umbel.stores.journal import Kind
from umbel.web.deps import Deps, get_deps
from umbel.web.pages.charts import Chart, gaps_of, latencies, throughput
from umbel.web.pages.failures import Sample, sample
from umbel.web.pages.figures import Percentiles, failure_share, merged, percentiles
from umbel.web.pages.heatmap import Heatmap, heatmap
from umbel.web.pages.marks import marks
from umbel.web.pages.spans import SPANS, Span, span_of
from umbel.web.render import page

router = APIRouter()

#: Tasks looked at for workers and queues, the newest.
RECENT: Final = 200
#: Rows of each of the short lists, and failures that are listed.
SHORT: Final = 6
#: Characters of arguments that count as the same, and that are shown.
ARGS: Final = 120


@dataclass(frozen=True, slots=True)
class Share:
    """How many of those looked at; `share` of the most frequent one, 0 to 1."""

    text: str
    count: int
    share: float


@dataclass(frozen=True, slots=True)
class Context:
    """What the template shows."""

    name: str
    span: Span
    spans: Sequence[Span]
    throughput: Chart
    wait: Chart
    run: Chart
    run_map: Heatmap | None
    wait_map: Heatmap | None
    ended: int
    rate: float
    failed: int
    retried: int
    failure_share: float | None
    wait_all: Percentiles
    run_all: Percentiles
    failures: Sample
    #: Of the newest tasks, and how many those are.
    workers: Sequence[Share]
    queues: Sequence[Share]
    recent: int
    #: Arguments of the failures that were looked at.
    arguments: Sequence[Share]
    latest: Sequence[Summary]


@router.get("/names/{name:path}", response_class=HTMLResponse)
def show(
    request: Request,
    name: str,
    deps: Annotated[Deps, Depends(get_deps)],
    range_: Annotated[str, Query(alias="range")] = "",
) -> HTMLResponse:
    """The page; `range` as on the overview."""
    return page(request, "name", load(deps, name, range_))


def load(deps: Deps, name: str, range_: str = "") -> Context:
    """Everything that the page shows, read from the store."""
    reader, now, span = deps.reader, deps.clock.now(), span_of(range_)
    start = span.start(now)
    points = reader.rollup(start, start + span.length, span.step, name)
    whole = merged(points)
    gaps = gaps_of(reader.ledger(since=start), start, start + span.length)
    marked = marks(deps.entries.read(Kind.DEPLOY), reader.workers(), start, start + span.length)
    waits, runs = ({point.at: point.wait for point in points}, {point.at: point.run for point in points})
    recent = reader.tasks(Compare(Field.NAME, Op.EQ, name), Page(RECENT)).items
    failures = sample(reader, start, name)
    ended = sum(whole.counts.get(series, 0) for series in (Series.SUCCEEDED, Series.FAILED, Series.REVOKED))
    return Context(
        name=name,
        span=span,
        spans=tuple(SPANS.values()),
        throughput=replace(throughput(points, span, gaps, now), marks=marked),
        wait=replace(latencies("wait", waits, span, gaps, now), marks=marked),
        run=replace(latencies("run", runs, span, gaps, now), marks=marked),
        run_map=heatmap(runs, span, now),
        wait_map=heatmap(waits, span, now),
        ended=ended,
        rate=ended / span.length,
        failed=whole.counts.get(Series.FAILED, 0),
        retried=whole.counts.get(Series.RETRIED, 0),
        failure_share=failure_share(whole),
        wait_all=percentiles(whole.wait),
        run_all=percentiles(whole.run),
        failures=failures,
        workers=_shares(task.worker for task in recent),
        queues=_shares(task.queue for task in recent),
        recent=len(recent),
        arguments=_shares(_arguments(reader.records([task.id for task in failures.tasks]).values())),
        latest=recent[:SHORT],
    )


def _arguments(records: Iterable[Task]) -> Iterable[str]:
    for record in records:
        described = record.description
        if described is not None:
            kwargs = "" if described.kwargs == "{}" else described.kwargs
            yield " ".join(part for part in (described.args, kwargs) if part)[:ARGS]


def _shares(texts: Iterable[str]) -> list[Share]:
    counts = Counter(text for text in texts if text)
    top = counts.most_common(SHORT)
    return [Share(text, count, count / top[0][1]) for text, count in top]
