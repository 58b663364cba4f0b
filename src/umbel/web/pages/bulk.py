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
from umbel.model.query import Page
from umbel.model.task import Summary, summarize
from umbel.stores.base import Count
from umbel.web.actions import Actions, Actor, actor
from umbel.web.bulk import ACTS, FASTEST, MOST, TRIED, Act, Asked, Bulks, Run, open_to
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
    #: How many of them were tried without doing anything, and what would come of these; 0: that needs no trial.
    tried: int
    would: Sequence[Told]
    fastest: float


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
    asked = Asked(act, q, search.parse(q, deps.clock.now()) if everything else None, ids)
    by = actor(request, "page")
    if given.get("sure") != "yes":
        # A rehearsal waits for the result backend: not on a thread of the pages.
        question = await actions.turns.run(lambda: _question(deps, bulks, by, asked))
        return await to_thread.run_sync(lambda: page(request, "bulk", question))
    rate = _rate(given.get("rate", ""))
    touched = await to_thread.run_sync(lambda: [task.id for task in _fitting(deps, act, ids)])
    run = await to_thread.run_sync(lambda: bulks.begin(asked._replace(ids=touched), by, rate))
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


def _rate(text: str) -> float | None:
    """Tasks a second as somebody typed them; None where nothing is said."""
    try:
        rate = float(text) if text else None
    except ValueError:
        rate = 0.0
    if rate is not None and not 0.1 <= rate <= FASTEST:
        raise HTTPException(400, f"Tasks a second go from 0.1 to {FASTEST:g}, and {text[:20]!r} is none of these.")
    return rate


def _question(deps: Deps, bulks: Bulks, by: Actor, asked: Asked) -> Context:
    act, q, where, ids = asked
    examples: Sequence[Summary]
    if where is None:
        examples = _fitting(deps, act, ids)
        found, touched = Count(len(ids), capped=False), Count(len(examples), capped=False)
    else:
        examples = deps.reader.tasks(open_to(act, where), Page(TRIED if act.rehearse else NAMED)).items
        found, touched = deps.reader.count(where), deps.reader.count(open_to(act, where), MOST)
    tried, would = bulks.rehearse(act, [task.id for task in examples], by)
    return Context(act, q, ids, found, touched, examples[:NAMED], MOST, tried, would, FASTEST)


def _fitting(deps: Deps, act: Act, ids: Sequence[str]) -> list[Summary]:
    """Of the ticked tasks, those that it may be done to as they stand now."""
    records = deps.reader.records(ids)
    tasks = [summarize(records[id_]) for id_ in dict.fromkeys(ids) if id_ in records]
    return [task for task in tasks if task.state in act.states]
