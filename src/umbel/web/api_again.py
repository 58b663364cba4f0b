"""Tasks that are sent over the API: one started, one run again, many run again at a pace."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response, StreamingResponse
from msgspec import UNSET, Meta, Struct, UnsetType

from umbel.control.runs import WrongArguments
from umbel.errors import StoreError
from umbel.model.message import Outgoing, Parcel
from umbel.model.query import Page
from umbel.model.search import parse
from umbel.model.task import epoch
from umbel.stores.base import StoreReader
from umbel.web.actions import Actions, actor
from umbel.web.again import Found
from umbel.web.api_bodies import BODY, answer, decoded, schema
from umbel.web.api_control_models import RunOut, StartedOut
from umbel.web.api_document import problems
from umbel.web.deps import Deps, get_deps, identity_of
from umbel.web.queue_names import DEFAULT_QUEUE
from umbel.web.rerun import MOST, RATE, Outcome, Sender, paced

log = logging.getLogger(__name__)

#: Tasks that are read from the store at once for a bulk.
PAGE: Final = 500
#: Bytes of a body: ids by the thousand, or long arguments.
MANY: Final = 8 * BODY
_PLANNED: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": RunOut, "description": "What would be sent (`dry_run`)."},
    201: {"model": RunOut, "description": "What was sent."},
    **problems(404, 409),
}
_LINES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "A line of JSON for each task as it is sent or skipped, the sums last.",
        "content": {
            "application/x-ndjson": {
                "schema": {"type": "string"},
                "example": '{"task_id":"a","outcome":"sent","new_id":"b","text":"the result backend"}\n'
                '{"outcomes":{"sent":1},"seconds":0.1}\n',
            }
        },
    }
}

router = APIRouter(prefix="/api/v1", responses=problems(400, 413), tags=["control"])

Seconds = Annotated[float, Meta(gt=0, le=31_536_000)]
Text = Annotated[str, Meta(max_length=1_000)]
Name = Annotated[str, Meta(min_length=1, max_length=1_000)]


class Changes(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a new run has otherwise than the first; what is left out stays as it was."""

    name: Name | UnsetType = UNSET
    #: In kombu's JSON: a datetime is {"__type__": "datetime", "__value__": "2026-11-24T12:00:00+00:00"}.
    args: list[Any] | UnsetType = UNSET
    kwargs: dict[str, Any] | UnsetType = UNSET
    #: The queue by its name, past any exchange; or an exchange and a routing key.
    queue: Name | UnsetType = UNSET
    exchange: Text | UnsetType = UNSET
    routing_key: Text | UnsetType = UNSET
    priority: Annotated[int, Meta(ge=0, le=255)] | UnsetType | None = UNSET
    time_limit: Seconds | UnsetType | None = UNSET
    soft_time_limit: Seconds | UnsetType | None = UNSET
    #: Seconds from now until it expires, and until it runs; or the moment when it runs.
    expires_in: Seconds | UnsetType | None = UNSET
    countdown: Seconds | None = None
    eta: Text = ""

    def applied(self, parcel: Parcel, lifetime: float | None = None) -> Outgoing:
        """The task with these changes; raises `ValueError` for an ETA that is none."""
        names = ("name", "args", "kwargs", "exchange", "routing_key", "priority", "time_limit", "soft_time_limit")
        given: dict[str, Any] = {name: value for name in names if (value := getattr(self, name)) is not UNSET}
        if self.queue is not UNSET:
            given |= {"exchange": "", "routing_key": self.queue}
        if self.eta and epoch(self.eta) is None:
            raise ValueError(f"eta: {self.eta!r} is no moment; one such as 2026-11-24T18:00:00Z is expected")
        if given.get("name", parcel.name) != parcel.name:
            given["shadow"] = ""
        expires = lifetime if self.expires_in is UNSET else self.expires_in
        return Outgoing(replace(parcel, **given), countdown=self.countdown, expires_in=expires, eta=self.eta)


class RunAgain(Changes, frozen=True, kw_only=True):
    """One task: only say what would be sent (`dry_run`), or look for its message even where that leaves marks."""

    dry_run: bool = False
    touch: bool = False


class StartTask(Changes, frozen=True, kw_only=True):
    """Any task, by its name; without a queue it goes to Celery's default one."""

    name: Name


class RunManyAgain(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tasks by their ids, or the newest that a search finds."""

    ids: Annotated[list[Name], Meta(max_length=MOST)] | None = None
    q: Annotated[str, Meta(max_length=10_000)] | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST)] = 1_000
    #: Tasks a second at most.
    rate: Annotated[float, Meta(gt=0, le=1_000)] = RATE
    dry_run: bool = False


def sender_of(request: Request) -> Sender:
    """What sends tasks, for a request that may."""
    sender: Sender = request.app.state.sender
    actions: Actions = request.app.state.actions
    actions.allow()
    sender.runs()
    return sender


async def found_of(request: Request, task_id: str, *, touch: bool = False) -> Found:
    """What a new run of a task would be; 404 where no event told of it."""
    actions: Actions = request.app.state.actions
    sender = sender_of(request)
    if not identity_of(request).data:
        why = "Your role does not see arguments, so it cannot check those that are sent again."
        asked = actor(request, "api").asks(get_deps(request).clock.now(), "run_again", {"task_id": task_id})
        raise await actions.turns.run(lambda: actions.denied(asked, why))
    found = await actions.turns.run(lambda: sender.finder.find(task_id, touch=touch))
    if found is None:
        raise HTTPException(404, f"There is no task {task_id[:200]!r}: never seen, or older than what is kept.")
    return found


@router.post(
    "/tasks/{task_id:path}/run-again",
    status_code=201,
    operation_id="run_again",
    responses=_PLANNED,
    openapi_extra=schema(RunAgain),
)
async def run_again(request: Request, task_id: str) -> Response:
    """Send a task once more, with its true arguments or those that the body gives; the new run is linked to it."""
    changes: RunAgain = await decoded(request, RunAgain, MANY)
    found = await found_of(request, task_id, touch=changes.touch)
    given = changes.args is not UNSET and changes.kwargs is not UNSET
    if not (found.exact or given or changes.dry_run):
        told = f"The true arguments are not known: {'; '.join(found.misses)}. Give args and kwargs."
        raise HTTPException(409, told)
    outgoing = _applied(lambda: changes.applied(found.parcel, found.lifetime))
    if changes.dry_run:
        return answer(_told(found, outgoing, None))
    new = await sent(lambda: sender_of(request).again(found, outgoing, actor(request, "api")))
    return answer(_told(found, outgoing, new), 201)


@router.post(
    "/tasks", status_code=201, response_model=StartedOut, operation_id="start_task", openapi_extra=schema(StartTask)
)
async def start(request: Request) -> Response:
    """Send a task by its name."""
    sender = sender_of(request)
    wanted: StartTask = await decoded(request, StartTask, MANY)
    outgoing = _applied(lambda: wanted.applied(Parcel(wanted.name, exchange="", routing_key=DEFAULT_QUEUE)))
    new = await sent(lambda: sender.start(outgoing, actor(request, "api")))
    return answer(StartedOut(new), 201)


@router.post(
    "/run-again",
    response_class=Response,
    operation_id="run_many_again",
    responses=_LINES,
    openapi_extra=schema(RunManyAgain),
)
async def run_many_again(request: Request) -> Response:
    """Run many tasks again: a line of JSON for each as it is sent or skipped, the sums last.

    Whoever breaks the answer off stops it: the rest is left.
    """
    sender, deps = sender_of(request), get_deps(request)
    wanted: RunManyAgain = await decoded(request, RunManyAgain, MANY)
    if (wanted.ids is None) == (wanted.q is None):
        raise HTTPException(400, "Give either ids or q.")
    now = deps.clock.now()
    query = None if wanted.q is None else parse(wanted.q, now)
    ids = iter(wanted.ids or ()) if query is None else _matching(deps.reader, query, wanted.limit)
    steps = sender.bulk(ids, actor(request, "api"), dry_run=wanted.dry_run)
    return StreamingResponse(_lines(request, deps, steps, wanted.rate), media_type="application/x-ndjson")


async def _lines(request: Request, deps: Deps, steps: Iterator[Outcome], rate: float) -> AsyncIterator[bytes]:
    actions: Actions = request.app.state.actions
    hub = request.app.state.hub
    sums: dict[str, int] = {}
    began = deps.clock.monotonic()
    try:
        async for outcome in paced(actions.turns, steps, rate, lambda: hub.closed):
            sums[outcome.outcome] = sums.get(outcome.outcome, 0) + 1
            yield msgspec.json.encode(outcome._asdict()) + b"\n"
    except (StoreError, HTTPException) as error:
        # The answer has begun: what went wrong is its last line.
        log.warning("running tasks again was broken off: %s", error)
        yield msgspec.json.encode({"error": str(error)}) + b"\n"
    seconds = round(deps.clock.monotonic() - began, 3)
    yield msgspec.json.encode({"outcomes": sums, "seconds": seconds}) + b"\n"


def _matching(reader: StoreReader, query: Any, limit: int) -> Iterator[str]:
    """Ids of the newest tasks that a search finds, a page at a time: a new run does not come into it."""
    cursor: str | None = ""
    while cursor is not None and limit > 0:
        found = reader.tasks(query, Page(min(PAGE, limit), cursor))
        yield from (item.id for item in found.items)
        limit -= len(found.items)
        cursor = found.next


async def sent(send: Callable[[], Any]) -> str:
    """The id of what was sent; 400 for arguments that cannot be read."""
    try:
        new: str = await send()
    except WrongArguments as error:
        raise HTTPException(400, str(error)) from error
    return new


def _applied(apply: Callable[[], Outgoing]) -> Outgoing:
    try:
        return apply()
    except ValueError as error:
        raise HTTPException(400, str(error)) from error


def _told(found: Found, outgoing: Outgoing, new: str | None) -> RunOut:
    parcel = outgoing.parcel
    return RunOut(
        id=new,
        task_id=found.task.id,
        source=found.source.value,
        exact=found.exact,
        name=parcel.name,
        args=list(parcel.args),
        kwargs=dict(parcel.kwargs),
        exchange=parcel.exchange,
        routing_key=parcel.routing_key or None,
        priority=parcel.priority,
        time_limit=parcel.time_limit,
        soft_time_limit=parcel.soft_time_limit,
        expires_in=outgoing.expires_in,
        notes=list(found.notes),
        misses=list(found.misses),
    )
