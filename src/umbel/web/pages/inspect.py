"""What one worker says of itself when it is asked just now; whatever it does not answer in time is said to be so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from umbel.control.commands import (
    Active,
    ActiveQueues,
    Command,
    Conf,
    Outcome,
    Ping,
    Registered,
    Reply,
    Report,
    Reserved,
    Revoked,
    Scheduled,
    Stats,
)
from umbel.errors import ControlError
from umbel.web.actions import Actions, actor, one
from umbel.web.pages.told import Facts, Held, facts, held, pairs, texts
from umbel.web.render import page

router = APIRouter()

#: Seconds that the worker is given to say that it is there, and for each question; these are asked all at once.
PATIENCE: Final = 2.0
#: What is asked.
QUESTIONS: Final[Sequence[type[Command]]] = (
    Stats,
    Active,
    Reserved,
    Scheduled,
    Registered,
    ActiveQueues,
    Revoked,
)
#: What holds tasks, by how it is called on the page.
HELD: Final = (("Running", "active"), ("Reserved", "reserved"), ("Scheduled", "scheduled"))
#: Rows of each list, and characters of a text as a whole.
ROWS: Final = 100
TEXT: Final = 60_000


@dataclass(frozen=True, slots=True)
class Tasks:
    """Tasks that the worker holds in one way."""

    title: str
    #: None where it did not answer.
    items: Sequence[Held] | None
    more: int


@dataclass(frozen=True, slots=True)
class Context:
    """What the template shows."""

    hostname: str
    #: Whether anything at all was answered; `problem` is why nothing could be asked.
    answered: bool
    problem: str
    patience: float
    #: Questions that were not answered, or were refused: their name and why.
    missed: Sequence[tuple[str, str]]
    facts: Facts | None
    held: Sequence[Tasks]
    #: Titles of those of which there are none.
    idle: Sequence[str]
    queues: Sequence[str]
    registered: Sequence[str]
    #: Ids that it will not run, and how many those are; None where it does not say.
    revoked_ids: Sequence[str]
    revoked: int | None
    conf_asked: bool
    conf: Sequence[tuple[str, str]]
    #: Its versions and configuration as `celery report` tells them.
    report: str
    #: All that `stats` told, as JSON.
    stats: str


@router.get("/inspect/{hostname:path}", response_class=HTMLResponse)
async def show(request: Request, hostname: str, conf: bool = False) -> HTMLResponse:
    """The page; with `conf=1` configuration and report as well. The worker's own page takes `#inspected` out of it."""
    problem, replies = "", {}
    try:
        replies = await ask(request, hostname, [*QUESTIONS, Conf, Report] if conf else QUESTIONS)
    except ControlError as error:
        problem = str(error)
    return await to_thread.run_sync(lambda: page(request, "inspect", context(hostname, replies, problem, conf=conf)))


async def ask(request: Request, hostname: str, kinds: Sequence[type[Command]]) -> dict[str, Reply]:
    """The worker's reply to each question, by method; to `ping` alone where it is silent."""
    actions: Actions = request.app.state.actions
    by = actor(request, "page")
    # One that hangs costs one thread its time, and not one for each question.
    alive = one(await actions.perform(Ping((hostname,)), by, PATIENCE), hostname)
    if alive.outcome is Outcome.SILENT:
        return {Ping.method: alive}
    found = await asyncio.gather(*(actions.perform(kind((hostname,)), by, PATIENCE) for kind in kinds))
    return {
        kind.method: reply
        for kind, replies in zip(kinds, found, strict=True)
        for reply in replies
        if reply.worker == hostname
    }


def context(hostname: str, replies: dict[str, Reply], problem: str = "", *, conf: bool = False) -> Context:
    """What the replies say; a worker may say anything, and what is not as Celery says it is left out."""
    said = {method: reply.value for method, reply in replies.items() if reply.outcome is Outcome.OK}
    revoked = said.get("revoked")
    tasks = [_tasks(title, said.get(method)) for title, method in HELD]
    return Context(
        hostname=hostname,
        answered=bool(said),
        problem=problem,
        patience=PATIENCE,
        missed=[(method, _why(reply)) for method, reply in replies.items() if method not in said],
        facts=facts(said["stats"]) if "stats" in said else None,
        held=tasks,
        idle=[one.title for one in tasks if one.items == []],
        queues=texts(said.get("active_queues"), "name", ROWS),
        registered=texts(said.get("registered"), "", 10 * ROWS),
        revoked_ids=texts(revoked, "", 10 * ROWS),
        revoked=len(revoked) if isinstance(revoked, list) else None,
        conf_asked=conf,
        conf=pairs(said.get("conf"), 10 * ROWS),
        report=_report(said.get("report")),
        stats=_laid_out(said["stats"]) if "stats" in said else "",
    )


def _tasks(title: str, value: Any) -> Tasks:
    found = held(value)
    return Tasks(title, found[:ROWS] if found is not None else None, max(0, len(found or ()) - ROWS))


def _why(reply: Reply) -> str:
    return reply.error or {Outcome.SILENT: "no answer in time"}.get(reply.outcome, reply.outcome.value)


def _report(value: Any) -> str:
    text = value.get("ok") if isinstance(value, dict) else None
    return text.strip()[:TEXT] if isinstance(text, str) else ""


def _laid_out(value: Any) -> str:
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return text if len(text) <= TEXT else text[:TEXT] + "…"
