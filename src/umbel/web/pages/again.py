"""Run again, and start: a form of a task's message, true where it can be known, and what was sent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from umbel.model.message import Outgoing, Parcel
from umbel.model.task import Summary
from umbel.web.actions import actor
from umbel.web.again import Found
from umbel.web.api_again import Changes, found_of, sender_of, sent
from umbel.web.deps import get_deps
from umbel.web.forms import form
from umbel.web.queue_names import DEFAULT_QUEUE, queue_names, queue_of
from umbel.web.render import page

router = APIRouter()

#: Bytes of a form, and characters of true arguments that it shows; longer ones are sent as they were found.
FORM: Final = 4 * 1024 * 1024
SHOWN: Final = 100_000
#: Task names that are offered.
NAMES: Final = 2_000
#: Fields that are numbers.
_WHOLE: Final = frozenset({"priority"})
_REAL: Final = frozenset({"time_limit", "soft_time_limit", "expires_in", "countdown"})


@dataclass(frozen=True, slots=True)
class Context:
    """What `again.html` shows."""

    #: None where a task is started anew.
    found: Found | None
    #: What the form begins with, by field; arguments that are not shown are missing.
    fields: Mapping[str, str]
    #: What is wrong with what was entered; "" where nothing is.
    problem: str
    #: Names of tasks and queues that are offered.
    names: Sequence[str]
    queues: Sequence[str]
    #: Where true arguments are too long to be shown, their characters.
    too_long: int


@dataclass(frozen=True, slots=True)
class Sent:
    """What `sent.html` shows."""

    id: str
    name: str
    #: Where it went.
    exchange: str
    routing_key: str
    original: Summary | None


@router.get("/again/{task_id:path}", response_class=HTMLResponse)
async def show(request: Request, task_id: str) -> HTMLResponse:
    """The form; nothing is sent."""
    found = await found_of(request, task_id)
    return await _form(request, found, _fields(found))


@router.post("/again/{task_id:path}", response_class=HTMLResponse)
async def run(request: Request, task_id: str) -> HTMLResponse:
    """Send it if the form says `sure=yes`, else the form; `touch=yes`: look into its queue first."""
    fields = await _entered(request)
    found = await found_of(request, task_id, touch="touch" in fields)
    if "sure" not in fields:
        return await _form(request, found, _fields(found) | fields)
    if not found.exact and not {"args", "kwargs", "checked"} <= fields.keys():
        return await _form(
            request, found, fields, "Say that the arguments were checked: they are not known to be true."
        )
    try:
        outgoing = _changes(fields).applied(found.parcel)
    except ValueError as error:
        return await _form(request, found, _fields(found) | fields, str(error))
    new = await sent(lambda: sender_of(request).again(found, outgoing, actor(request, "page")))
    return await _sent(request, new, outgoing, found.task)


@router.get("/start", response_class=HTMLResponse)
async def begin(request: Request) -> HTMLResponse:
    """The empty form, with a name where one is given."""
    sender_of(request)
    name = request.query_params.get("name", "")[:1_000]
    queue = await _queue_of(request, name)
    return await _form(request, None, {"queue": queue, "args": "[]", "kwargs": "{}", "name": name})


@router.post("/start", response_class=HTMLResponse)
async def start(request: Request) -> HTMLResponse:
    """Send it if the form says `sure=yes`, else the form once more."""
    sender, fields = sender_of(request), await _entered(request)
    if "sure" not in fields:
        return await _form(request, None, fields)
    try:
        changes = _changes(fields)
        name = fields.get("name", "")
        if not name:
            raise ValueError("Name a task.")  # noqa: TRY301 - told on the form, as what is wrong otherwise
        queue = "" if fields.get("queue") else await _queue_of(request, name) or DEFAULT_QUEUE
        outgoing = changes.applied(Parcel(name, exchange="", routing_key=queue))
    except ValueError as error:
        return await _form(request, None, fields, str(error))
    new = await sent(lambda: sender.start(outgoing, actor(request, "page")))
    return await _sent(request, new, outgoing, None)


async def _queue_of(request: Request, name: str) -> str:
    return await to_thread.run_sync(queue_of, get_deps(request).reader, name)


async def _entered(request: Request) -> dict[str, str]:
    return await form(request, FORM)


def _fields(found: Found) -> dict[str, str]:
    """What the form begins with."""
    parcel = found.parcel
    given: dict[str, Any] = {
        "name": parcel.name,
        "exchange": parcel.exchange,
        "queue": parcel.routing_key if parcel.exchange is not None else "",
        "priority": parcel.priority,
        "time_limit": parcel.time_limit,
        "soft_time_limit": parcel.soft_time_limit,
        "expires_in": found.lifetime,
        "args": found.args,
        "kwargs": found.kwargs,
    }
    if found.exact:
        args, kwargs = _laid_out(parcel.args), _laid_out(parcel.kwargs)
        given |= {"args": args, "kwargs": kwargs} if len(args) + len(kwargs) <= SHOWN else {"args": "", "kwargs": ""}
    return {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in given.items() if value}


def _laid_out(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 80 else json.dumps(value, ensure_ascii=False, indent=2)


def _changes(fields: Mapping[str, str]) -> Changes:
    """What was entered; raises `ValueError` saying what is wrong. Missing arguments stay as they were found."""
    given: dict[str, Any] = {"eta": fields.get("eta", "")}
    for name in ("args", "kwargs"):
        if name in fields:
            given[name] = _json(name, fields[name])
    given |= {name: _number(name, fields[name]) for name in (*_WHOLE, *_REAL) if name in fields}
    given.setdefault("expires_in", None)
    if "name" in fields:
        given["name"] = fields["name"]
    if fields.get("exchange"):
        given |= {"exchange": fields["exchange"], "routing_key": fields.get("queue", "")}
    elif fields.get("queue"):
        given["queue"] = fields["queue"]
    try:
        return msgspec.convert(given, Changes)
    except msgspec.ValidationError as error:
        raise ValueError(f"This cannot be sent: {error}.") from error


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        word = "Arguments" if name == "args" else "Keyword arguments"
        raise ValueError(f"{word}: this is no JSON: {error}.") from error


def _number(name: str, text: str) -> float | int:
    try:
        return int(text) if name in _WHOLE else float(text)
    except ValueError as error:
        raise ValueError(f"{name}: {text[:100]!r} is no number.") from error


async def _form(request: Request, found: Found | None, fields: Mapping[str, str], problem: str = "") -> HTMLResponse:
    deps = get_deps(request)

    def render() -> HTMLResponse:
        names = sorted({*deps.reader.names(NAMES), *sender_of(request).runs().names()})
        shown = "args" in fields or found is None or not found.exact
        parcel = found.parcel if found else None
        size = len(_laid_out(parcel.args)) + len(_laid_out(parcel.kwargs)) if parcel and not shown else 0
        context = Context(found, fields, problem, names, queue_names(deps.reader), size)
        return page(request, "again", context, 400 if problem else 200)

    return await to_thread.run_sync(render)


async def _sent(request: Request, new: str, outgoing: Outgoing, original: Summary | None) -> HTMLResponse:
    parcel = outgoing.parcel
    context = Sent(new, parcel.name, parcel.exchange or "", parcel.routing_key, original)
    return await to_thread.run_sync(lambda: page(request, "sent", context))
