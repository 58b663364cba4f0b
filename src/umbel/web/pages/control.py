"""Control: what a command will do and whom it touches; and, once that is confirmed, what each worker answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from anyio import to_thread
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse

from umbel.control.commands import Command, Outcome, Reply
from umbel.model.task import Summary, summarize
from umbel.web.actions import Actions, actor
from umbel.web.api_control import NAMED
from umbel.web.deps import Deps, get_deps
from umbel.web.forms import pairs, parse
from umbel.web.pages.deeds import DEEDS, Deed, deed_of
from umbel.web.render import page

router = APIRouter()

#: Seconds to wait for the slowest worker, and bytes and fields of a form.
PATIENCE: Final = 3.0
#: Characters of a reply that are shown.
SAID: Final = 2_000


@dataclass(frozen=True, slots=True)
class Context:
    """What `control.html` shows: the question."""

    deed: Deed
    #: The form's fields, sent again when it is confirmed.
    fields: Sequence[tuple[str, str]]
    #: Workers that are told, those that are known to be online where none was named.
    workers: Sequence[str]
    everyone: bool
    #: Of those named, the ones that are not online.
    absent: Sequence[str]
    #: The task that it is about, as it stands now; None where it is about several, or the store has none of that id.
    task: Summary | None


@dataclass(frozen=True, slots=True)
class Answer:
    """One worker's reply as the page shows it."""

    worker: str
    outcome: str
    text: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Done:
    """What `done.html` shows: what came of it."""

    deed: Deed
    answers: Sequence[Answer]
    #: How many answered well, or were sent what has no answer, and how many did not.
    good: int
    bad: int
    #: Whether any said nothing in time.
    silent: bool


@router.get("/control/{method}", response_class=HTMLResponse)
async def ask(request: Request, method: str, deps: Annotated[Deps, Depends(get_deps)]) -> HTMLResponse:
    """The question; nothing is done."""
    return await _ask(request, deps, method, parse(request.url.query))


@router.post("/control/{method}", response_class=HTMLResponse)
async def do(request: Request, method: str, deps: Annotated[Deps, Depends(get_deps)]) -> HTMLResponse:
    """What came of it if the form says `sure=yes`, else the question."""
    fields = await pairs(request)
    if ("sure", "yes") not in fields:
        return await _ask(request, deps, method, fields)
    command = _command(method, fields)
    actions: Actions = request.app.state.actions
    actions.allow()
    replies = await actions.perform(command, actor(request, "page"), PATIENCE)
    return await to_thread.run_sync(lambda: page(request, "done", _done(command, replies)))


async def _ask(request: Request, deps: Deps, method: str, fields: Sequence[tuple[str, str]]) -> HTMLResponse:
    actions: Actions = request.app.state.actions
    actions.allow()
    if deps.control() is None:
        raise HTTPException(503, "No broker is known to this process. Start it with --broker or -A.")
    command = _command(method, fields)
    return await to_thread.run_sync(lambda: page(request, "control", _question(deps, actions, command, fields)))


def _question(deps: Deps, actions: Actions, command: Command, fields: Sequence[tuple[str, str]]) -> Context:
    online, deed = actions.online(), deed_of(command)
    record = deps.reader.task(deed.task_id) if deed.task_id else None
    return Context(
        deed=deed,
        fields=[(name, value) for name, value in fields if name != "sure"],
        workers=command.destination or online,
        everyone=not command.destination,
        absent=[worker for worker in command.destination if worker not in online],
        task=summarize(record) if record else None,
    )


def _done(command: Command, replies: Sequence[Reply]) -> Done:
    good = sum(reply.outcome in (Outcome.OK, Outcome.SENT) for reply in replies)
    answers = [Answer(reply.worker, reply.outcome.value, _said(reply), reply.seconds) for reply in replies]
    silent = any(reply.outcome is Outcome.SILENT for reply in replies)
    return Done(deed_of(command), sorted(answers, key=lambda one: one.worker), good, len(replies) - good, silent)


def _said(reply: Reply) -> str:
    """A reply in its own words: `{"ok": "pool will grow"}` is "pool will grow"."""
    if reply.error:
        return reply.error[:SAID]
    value = reply.value
    if isinstance(value, Mapping) and set(value) == {"ok"} and isinstance(value["ok"], str):
        return value["ok"][:SAID]
    return "" if value is None else msgspec.json.encode(value).decode()[:SAID]


def _command(method: str, fields: Sequence[tuple[str, str]]) -> Command:
    """The command that a form describes; 404 for one that pages do not offer, 400 saying what is wrong with it."""
    kind = DEEDS.get(method)
    if kind is None:
        raise HTTPException(404, f"There is no command {method[:100]!r} on the pages; known are {', '.join(DEEDS)}.")
    try:
        command = msgspec.convert(_given(fields), kind, strict=False)
    except msgspec.ValidationError as error:
        raise HTTPException(400, f"This is no {method} command: {error}.") from error
    if method in NAMED and not command.destination:
        raise HTTPException(400, f"destination: name the workers for {method}.")
    return command


def _given(fields: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The fields as a command has them: those that are lists, and stamps, of which a form has a line for each value."""
    given: dict[str, Any] = {}
    stamp, values = "", []
    for name, value in fields:
        if name in ("destination", "task_ids"):
            given.setdefault(name, []).append(value)
        elif name == "stamp":
            stamp = value
        elif name == "values":
            values += [line.strip() for line in value.splitlines() if line.strip()]
        elif name != "sure":
            given[name] = value
    return given | ({"headers": {stamp: values}} if stamp or values else {})
