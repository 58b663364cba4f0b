"""The JSON API under `/api/v1`."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import Response

from umbel.model.query import Page
from umbel.model.search import parse
from umbel.model.task import summarize
from umbel.web import api_views as views
from umbel.web.api_bodies import answer
from umbel.web.api_document import problems
from umbel.web.api_models import (
    CountOut,
    IngestOut,
    LedgersOut,
    QuarantineOut,
    QueuesOut,
    TaskOut,
    TasksOut,
    WorkersOut,
)
from umbel.web.deps import Injected
from umbel.web.queue_names import QUEUES, queue_names

router = APIRouter(prefix="/api/v1", responses=problems(400))

#: Of a route that gives one thing.
_ONE: Final = problems(404)

Search = Annotated[str, Query(description="A search in the query language, such as `state:FAILURE name:shop.*`.")]
Limit = Annotated[int, Query(ge=1, le=1_000, description="Items in the answer.")]


@router.get("/tasks", response_model=TasksOut, operation_id="list_tasks", tags=["tasks"])
def tasks(
    deps: Injected,
    q: Search = "",
    limit: Limit = 50,
    cursor: Annotated[str, Query(max_length=500, description="`next` of the page before.")] = "",
) -> Response:
    """Tasks that match, newest first, a page at a time."""
    page = deps.reader.tasks(parse(q, deps.clock.now()), Page(limit, cursor))
    records = deps.reader.records([item.id for item in page.items])
    items = [views.task(item, records.get(item.id)) for item in page.items]
    return answer(TasksOut(items, page.next))


@router.get("/tasks/count", response_model=CountOut, operation_id="count_tasks", tags=["tasks"])
def tasks_count(deps: Injected, q: Search = "") -> Response:
    """How many tasks match, counted up to a bound."""
    count = deps.reader.count(parse(q, deps.clock.now()))
    return answer(CountOut(count.n, count.capped))


@router.get("/tasks/{task_id:path}", response_model=TaskOut, operation_id="get_task", responses=_ONE, tags=["tasks"])
def task(deps: Injected, task_id: str) -> Response:
    """One task with its attempts."""
    record = deps.reader.task(task_id)
    if record is None:
        raise HTTPException(404, f"There is no task {task_id[:200]!r}: never seen, or older than what is kept.")
    return answer(views.task(summarize(record), record))


@router.get("/workers", response_model=WorkersOut, operation_id="list_workers", tags=["workers"])
def workers(deps: Injected) -> Response:
    """Worker processes seen within retention."""
    now = deps.clock.now()
    return answer(WorkersOut([views.worker(found, now) for found in deps.reader.workers()]))


@router.get("/queues", response_model=QueuesOut, operation_id="list_queues", tags=["queues"])
def queues(
    deps: Injected,
    name: Annotated[
        list[str],
        Query(
            default_factory=list,
            max_length=QUEUES,
            description="Queues to ask for; those of the latest tasks unless given.",
        ),
    ],
) -> Response:
    """How many messages wait, as the broker tells just now."""
    if deps.queues is None:
        raise HTTPException(503, "No broker is known to this process. Start it with --broker or -A.")
    depths = deps.queues.depths(name or queue_names(deps.reader))
    return answer(QueuesOut([views.queue(depth) for depth in depths]))


@router.get("/ingest", response_model=IngestOut, operation_id="get_ingest", tags=["ingest"])
def ingest(deps: Injected) -> Response:
    """The books, and how the flow stands."""
    pipeline = deps.pipeline()
    if not pipeline.known:
        raise HTTPException(503, f"The store cannot be read: {pipeline.store_error}")
    return answer(views.ingest(pipeline))


@router.get("/ledger", response_model=LedgersOut, operation_id="list_ledger", tags=["ingest"])
def ledger(
    deps: Injected,
    limit: Limit = 200,
    since: Annotated[
        float, Query(ge=0, description="UTC seconds since the epoch; what ended earlier is left out.")
    ] = 0.0,
) -> Response:
    """What was lost: when, why, how much."""
    return answer(LedgersOut([views.ledger(entry) for entry in deps.reader.ledger(limit, since)]))


@router.get("/quarantine", response_model=QuarantineOut, operation_id="list_quarantine", tags=["ingest"])
def quarantine(deps: Injected, limit: Limit = 100) -> Response:
    """Events that could not be understood."""
    return answer(QuarantineOut([views.quarantined(item) for item in deps.reader.quarantine(limit)]))
