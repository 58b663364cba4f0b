"""Task: what happened to one task, attempt by attempt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from umbel.access.identity import Identity
from umbel.model.frames import Piece, pieces
from umbel.model.laid_out import Item, items
from umbel.model.learned import learned
from umbel.model.merge import (
    LEARNED,
    Cancelled,
    Custom,
    Failed,
    Received,
    Rejected,
    Retried,
    Revoked,
    Run,
    Sent,
    Started,
    Succeeded,
    Task,
)
from umbel.model.task import Attempt, State, Summary, attempts, epoch, runs, summarize
from umbel.web.deps import Deps, get_deps, identity_of
from umbel.web.notes import Verdict
from umbel.web.pages.deeds import controllable
from umbel.web.pages.timeline import Timeline, timeline
from umbel.web.render import page

router = APIRouter()

#: Children that are listed.
CHILDREN: Final = 100
#: New runs that are listed.
LATER: Final = 20
#: States of tasks that run later, unless they are revoked.
_WAITING: Final = frozenset({State.PENDING, State.RECEIVED, State.RETRY})
#: What a run event is called on the page: Celery's names.
_EVENTS: Final[Mapping[type[Run], str]] = {
    Sent: "task-sent",
    Received: "task-received",
    Started: "task-started",
    Succeeded: "task-succeeded",
    Failed: "task-failed",
    Retried: "task-retried",
    Rejected: "task-rejected",
    Revoked: "task-revoked",
    Cancelled: "task-cancelled",
}


@dataclass(frozen=True, slots=True)
class Happening:
    """One event, as the list of events shows it."""

    at: float
    type: str
    #: The worker's or publisher's name.
    who: str
    pid: int
    detail: str


@dataclass(frozen=True, slots=True)
class Missing:
    """The context of `missing.html`: no task has this id."""

    id: str
    any_task: bool


@dataclass(frozen=True, slots=True)
class Context:
    """What the template shows."""

    task: Summary
    record: Task
    attempts: Sequence[Attempt]
    timeline: Timeline | None
    happenings: Sequence[Happening]
    #: UTC seconds, None where there is none.
    eta: float | None
    expires: float | None
    args: str
    kwargs: str
    result: str | None
    exception: str
    traceback: str
    #: What of these could be taken apart, and the traceback with frames of installed code apart.
    args_parts: Sequence[Item] | None
    kwargs_parts: Sequence[Item] | None
    result_parts: Sequence[Item] | None
    frames: Sequence[Piece]
    #: The latest of the application's own events, its fields laid out.
    custom: Custom | None
    custom_fields: str
    parent: Summary | None
    root: Summary | None
    children: Sequence[Summary]
    more_children: bool
    #: Whether it can still change.
    open: bool
    #: What may be done to it: revoke, terminate, or "".
    deed: str
    #: Whether a new run of it may be sent.
    again: bool
    #: The task that it is a new run of, "" for none; and its own new runs, the newest first.
    original: str
    later: Sequence[str]
    #: What was found out about it while it had no end.
    verdict: Verdict | None
    #: Whether its end is known by the result backend alone.
    learned: bool


@router.get("/tasks/{task_id:path}", response_class=HTMLResponse)
def show(request: Request, task_id: str, deps: Annotated[Deps, Depends(get_deps)]) -> HTMLResponse:
    """The page, or one that helps to find the task."""
    context = load(deps, task_id, identity_of(request))
    if context is None:
        return page(request, "missing", Missing(task_id[:200], deps.pipeline().tasks > 0), 404)
    return page(request, "task", context)


def load(deps: Deps, task_id: str, who: Identity) -> Context | None:
    """Everything that the page shows, read from the store; None where no task has that id."""
    record = deps.reader.task(task_id)
    if record is None:
        return None
    task = summarize(record)
    found = attempts(record)
    described, custom = record.description, record.custom
    family = deps.reader.records(list({task.parent_id, task.root_id} - {"", task.id}))
    children = deps.reader.related(task.id, CHILDREN)
    last = record.failed if task.state is State.FAILURE else record.retried
    return Context(
        task=task,
        record=record,
        attempts=found,
        timeline=timeline(record, found, task.finished_at, deps.clock.now()),
        happenings=[_happening(run) for run in runs(record)],
        eta=epoch(described.eta) if described else None,
        expires=epoch(described.expires) if described else None,
        args=described.args if described else "",
        kwargs=described.kwargs if described else "",
        result=record.succeeded.result if record.succeeded else None,
        exception=task.exception or (last.exception if last else ""),
        traceback=last.traceback if last else "",
        args_parts=items(described.args) if described else None,
        kwargs_parts=items(described.kwargs) if described else None,
        result_parts=items(record.succeeded.result) if record.succeeded else None,
        frames=pieces(last.traceback) if last else (),
        custom=custom,
        custom_fields=_laid_out(custom.fields) if custom else "",
        parent=_summary(family, task.parent_id),
        root=_summary(family, task.root_id),
        children=children,
        more_children=len(children) >= CHILDREN,
        open=task.finished_at is None,
        deed=_deed(deps, task.state, who),
        again=controllable(deps, who),
        original=deps.notes.original(task.id),
        later=deps.notes.later_runs(task.id, LATER),
        verdict=deps.notes.verdict(task.id) if task.finished_at is None else None,
        learned=learned(record),
    )


def _deed(deps: Deps, state: State, who: Identity) -> str:
    deed = "revoke" if state in _WAITING else "terminate" if state is State.STARTED else ""
    return deed if deed and controllable(deps, who) else ""


def _summary(records: Mapping[str, Task], id_: str) -> Summary | None:
    record = records.get(id_)
    return summarize(record) if record else None


def _laid_out(fields: str) -> str:
    try:
        return json.dumps(json.loads(fields), indent=2, ensure_ascii=False)
    except ValueError:
        # Cut at the text bound.
        return fields


def _happening(run: Run) -> Happening:
    who = run.client if isinstance(run, Sent) else run.worker
    if not isinstance(run, Sent) and run.pid == LEARNED:
        return Happening(run.at, "end by the result backend", who, 0, _detail(run))
    return Happening(run.at, _EVENTS[type(run)], who, 0 if isinstance(run, Sent) else run.pid, _detail(run))


def _detail(run: Run) -> str:
    if isinstance(run, Sent):
        return f"queue {run.queue}" if run.queue else ""
    if isinstance(run, Received):
        return f"retries {run.retries}" if run.retries else ""
    if isinstance(run, Failed | Retried):
        return run.exception
    if isinstance(run, Revoked):
        signal = f"terminated by {run.signum}" if run.signum else "terminated"
        return "expired" if run.expired else signal if run.terminated else ""
    if isinstance(run, Rejected):
        return "put back into its queue" if run.requeue else ""
    return ""
