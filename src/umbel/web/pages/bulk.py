"""Bulk: how many tasks an action touches, before anything happens; then how far it has come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from anyio import to_thread
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from umbel.control.audit import Told
from umbel.model import search
from umbel.model.query import Node, Page
from umbel.model.task import Summary, summarize
from umbel.stores.base import Count
from umbel.web.actions import Actions, actor
from umbel.web.bulk import ACTS, MOST, Act, Bulks, Run, open_to
from umbel.web.deps import Deps, get_deps
from umbel.web.forms import pairs
from umbel.web.render import page

router = APIRouter()

#: Tasks that the question names.
NAMED: Final = 20


@dataclass(frozen=True, slots=True)
class Context:
    """What `bulk.html` shows: the question."""

    act: Act
    q: str
    #: The ids of ticked rows; none: all that the search finds.
    ids: Sequence[str]
    #: How many were ticked or found, and to how many of them it is done.
    found: Count
    touched: Count
    #: The first of those.
    examples: Sequence[Summary]
    most: int


@dataclass(frozen=True, slots=True)
class Progress:
    """What `bulk_run.html` shows."""

    run: Run
    share: float
    answers: Sequence[Told]


@router.post("/bulk", response_class=HTMLResponse)
async def ask(request: Request, deps: Annotated[Deps, Depends(get_deps)]) -> Response:
    """The question; and once the form says `sure=yes`, its beginning."""
    actions: Actions = request.app.state.actions
    bulks: Bulks = request.app.state.bulks
    actions.allow()
    fields = await pairs(request)
    given = dict(fields)
    everything = "act_all" in given
    act = ACTS.get(given.get("act_all") or given.get("act", ""))
    if act is None:
        raise HTTPException(404, f"There is no such bulk action; known are {', '.join(ACTS)}.")
    ids = [] if everything else [value for name, value in fields if name == "task_ids"]
    if not everything and not ids:
        raise HTTPException(400, "No row is ticked. Go back and tick those that are meant, or choose all found.")
    q = given.get("q", "")
    where = search.parse(q, deps.clock.now()) if everything else None
    if given.get("sure") != "yes":
        return await to_thread.run_sync(lambda: page(request, "bulk", _question(deps, act, q, where, ids)))
    touched = await to_thread.run_sync(lambda: [task.id for task in _fitting(deps, act, ids)])
    by = actor(request, "page")
    run = await to_thread.run_sync(lambda: bulks.begin(act, q, where, touched, by))
    return RedirectResponse(f"{deps.settings.url_prefix}/bulk/{run.id}", 303)


@router.get("/bulk/{run_id}", response_class=HTMLResponse)
def show(request: Request, run_id: str) -> HTMLResponse:
    """How far it has come."""
    run = _run(request, run_id).snapshot()
    share = run.done / run.total if run.total else float(run.ended_at is not None)
    return page(request, "bulk_run", Progress(run, share, run.told()[1:]))


@router.post("/bulk/{run_id}/stop")
async def stop(request: Request, run_id: str, deps: Annotated[Deps, Depends(get_deps)]) -> Response:
    """Leave the rest."""
    request.app.state.actions.allow()
    _run(request, run_id).stop.set()
    return RedirectResponse(f"{deps.settings.url_prefix}/bulk/{run_id}", 303)


def _run(request: Request, run_id: str) -> Run:
    bulks: Bulks = request.app.state.bulks
    run = bulks.get(run_id)
    if run is None:
        raise HTTPException(404, "This web process knows no such bulk action. The audit trail says what came of it.")
    return run


def _question(deps: Deps, act: Act, q: str, where: Node | None, ids: Sequence[str]) -> Context:
    examples: Sequence[Summary]
    if where is None:
        examples = _fitting(deps, act, ids)
        found, touched = Count(len(ids), capped=False), Count(len(examples), capped=False)
    else:
        examples = deps.reader.tasks(open_to(act, where), Page(NAMED)).items
        found, touched = deps.reader.count(where), deps.reader.count(open_to(act, where), MOST)
    return Context(act, q, ids, found, touched, examples[:NAMED], MOST)


def _fitting(deps: Deps, act: Act, ids: Sequence[str]) -> list[Summary]:
    """Of the ticked tasks, those that it may be done to as they stand now."""
    records = deps.reader.records(ids)
    tasks = [summarize(records[id_]) for id_ in dict.fromkeys(ids) if id_ in records]
    return [task for task in tasks if task.state in act.states]
