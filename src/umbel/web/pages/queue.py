"""Queue: what waits in one queue, to be looked at, thrown away, or put back where it came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from anyio import to_thread
from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import HTMLResponse

from umbel.brokers.base import DeadLetters, Message, Moved, QueueDepth
from umbel.errors import BrokerError
from umbel.model.message import Unreadable, of_message
from umbel.web.actions import actor
from umbel.web.contents import LOOK, MOVE, Contents
from umbel.web.deps import Deps, get_deps, identity_of
from umbel.web.forms import form
from umbel.web.measured import Surroundings
from umbel.web.pages.deeds import controllable
from umbel.web.pages.queues import RECENT, Row, row_of, with_consumers
from umbel.web.render import page

router = APIRouter()

FORM: Final = 16 * 1024
#: Messages shown unless more are asked for, and characters of each.
SHOWN: Final = 20
CUT: Final = 2_000


@dataclass(frozen=True, slots=True)
class Seen:
    """One message as the page shows it."""

    #: "" where it is not Celery's.
    id: str
    name: str
    #: Its arguments in kombu's JSON, or else the body, cut.
    text: str
    size: int
    priority: int | None
    redelivered: bool
    eta: str
    expires: str


@dataclass(frozen=True, slots=True)
class Context:
    """What `queue.html` shows."""

    queue: str
    depth: QueueDepth | None
    #: What arrives and ends, and what follows; None where the broker tells of no such queue.
    row: Row | None
    #: Seconds that its rates look back.
    recent: float
    #: Why the broker tells nothing; "" where it does.
    problem: str
    #: The next messages; None where nobody has looked.
    seen: Sequence[Seen] | None
    limit: int
    #: Whether a look leaves a mark, so that it is asked for first.
    marks: bool
    #: Whether whoever asks sees arguments.
    shown: bool
    controllable: bool
    #: Where it is a queue of dead letters.
    letters: DeadLetters | None


@dataclass(frozen=True, slots=True)
class Question:
    """What `purge.html` shows: `what` is purge or put_back."""

    what: str
    queue: str
    depth: QueueDepth | None
    limit: int
    into: str
    letters: DeadLetters | None
    #: What came of it; None before.
    purged: int | None = None
    moved: Moved | None = None


@router.get("/queue", response_class=HTMLResponse)
async def show(
    request: Request,
    deps: Annotated[Deps, Depends(get_deps)],
    name: Annotated[str, Query(min_length=1, max_length=1_000)],
    limit: Annotated[int, Query(ge=1, le=LOOK)] = SHOWN,
) -> HTMLResponse:
    """The page, with the next messages where a look changes nothing."""
    messages = deps.messages
    if messages is None or messages.marks or not identity_of(request).data:
        return await _page(request, deps, name, limit, None)
    return await _looked(request, deps, name, limit)


@router.post("/queue/peek", response_class=HTMLResponse)
async def peek(request: Request, deps: Annotated[Deps, Depends(get_deps)]) -> HTMLResponse:
    """The page with the next messages, marked or not."""
    fields = await _fields(request)
    return await _looked(request, deps, fields["queue"], _limit(fields, SHOWN, LOOK))


@router.post("/queue/purge", response_class=HTMLResponse)
async def purge(request: Request, deps: Annotated[Deps, Depends(get_deps)]) -> HTMLResponse:
    """The question, or what came of it if the form says `sure=yes`."""
    fields = await _fields(request)
    contents = _contents(request)
    if fields.get("sure") != "yes":
        return await _ask(request, deps, "purge", fields, contents)
    purged = await contents.purge(fields["queue"], actor(request, "page"))
    done = Question("purge", fields["queue"], None, 0, "", None, purged=purged)
    return await to_thread.run_sync(lambda: page(request, "purge", done))


@router.post("/queue/put_back", response_class=HTMLResponse)
async def put_back(request: Request, deps: Annotated[Deps, Depends(get_deps)]) -> HTMLResponse:
    """The question, or what came of it if the form says `sure=yes`."""
    fields = await _fields(request)
    contents = _contents(request)
    if fields.get("sure") != "yes":
        return await _ask(request, deps, "put_back", fields, contents)
    limit, into = _limit(fields, MOVE, MOVE), fields.get("into", "")
    moved = await contents.put_back(fields["queue"], limit, into, actor(request, "page"))
    done = Question("put_back", fields["queue"], None, limit, into, None, moved=moved)
    return await to_thread.run_sync(lambda: page(request, "purge", done))


def _contents(request: Request) -> Contents:
    contents: Contents = request.app.state.contents
    contents.allow()
    contents.messages()
    return contents


async def _fields(request: Request) -> dict[str, str]:
    fields = await form(request, FORM)
    if not fields.get("queue"):
        raise HTTPException(400, "queue: name the queue.")
    return fields


def _limit(fields: dict[str, str], usual: int, most: int) -> int:
    text = fields.get("limit", "")
    if text and not text.isdecimal():
        raise HTTPException(400, f"limit: {text[:100]!r} is no number.")
    return min(max(int(text), 1), most) if text else usual


async def _ask(request: Request, deps: Deps, what: str, fields: dict[str, str], contents: Contents) -> HTMLResponse:
    queue = fields["queue"]

    def render() -> HTMLResponse:
        depth, _ = _depth(deps, queue)
        letters = _letters(contents, queue) if what == "put_back" else None
        limit = _limit(fields, MOVE, MOVE)
        return page(request, "purge", Question(what, queue, depth, limit, fields.get("into", ""), letters))

    return await to_thread.run_sync(render)


async def _looked(request: Request, deps: Deps, queue: str, limit: int) -> HTMLResponse:
    contents: Contents = request.app.state.contents
    try:
        found = await contents.peek(queue, limit, actor(request, "page"))
    except BrokerError as error:
        return await _page(request, deps, queue, limit, None, problem=str(error))
    return await _page(request, deps, queue, limit, [_seen(message) for message in found])


async def _page(
    request: Request, deps: Deps, queue: str, limit: int, seen: Sequence[Seen] | None, *, problem: str = ""
) -> HTMLResponse:
    contents: Contents = request.app.state.contents

    def render() -> HTMLResponse:
        depth, why = _depth(deps, queue)
        surroundings: Surroundings = request.app.state.surroundings
        depth = with_consumers(depth, surroundings.consumers())
        context = Context(
            queue=queue,
            depth=depth,
            row=row_of(deps, depth) if depth is not None else None,
            recent=RECENT,
            problem=problem or why,
            seen=seen,
            limit=limit,
            marks=deps.messages.marks if deps.messages else False,
            shown=identity_of(request).data,
            controllable=controllable(deps, identity_of(request)) and deps.messages is not None,
            letters=_letters(contents, queue),
        )
        return page(request, "queue", context)

    return await to_thread.run_sync(render)


def _depth(deps: Deps, queue: str) -> tuple[QueueDepth | None, str]:
    if deps.queues is None:
        return None, "This process was given no broker: start it with --broker or -A."
    try:
        found = deps.queues.depths([queue])
    except BrokerError as error:
        return None, str(error)
    return (found[0], "") if found else (None, "The broker has no queue of this name.")


def _letters(contents: Contents, queue: str) -> DeadLetters | None:
    """The queue as one of dead letters; None where it is none, or nothing tells."""
    try:
        return next((one for one in contents.dead_letters() or () if one.name == queue), None)
    except BrokerError:
        # The queues page says so.
        return None


def _seen(message: Message) -> Seen:
    """A message in words; one that is not Celery's is shown as it is."""
    headers = message.headers
    try:
        parcel = of_message(headers, message.body, message.exchange, message.routing_key, message.priority)
        name, text = parcel.name, _arguments(parcel.args, parcel.kwargs)
    except Unreadable:
        name, text = str(headers.get("task") or ""), message.body[: 4 * CUT].decode("utf-8", "replace")
    return Seen(
        id=str(headers.get("id") or ""),
        name=name,
        text=text if len(text) <= CUT else f"{text[:CUT]}…",
        size=message.size,
        priority=message.priority,
        redelivered=message.redelivered,
        eta=str(headers.get("eta") or ""),
        expires=str(headers.get("expires") or ""),
    )


def _arguments(args: Sequence[Any], kwargs: Any) -> str:
    told = [msgspec.json.encode(value).decode() for value in (args, kwargs) if value]
    return " ".join(told)
