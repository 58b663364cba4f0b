"""Schedules: what beat should run, against what really ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from umbel.control.schedules import Plan
from umbel.model.timetable import Punctuality
from umbel.web.deps import Deps, get_deps
from umbel.web.pages.shared import Shared
from umbel.web.punctuality import History, Row
from umbel.web.render import page

router = APIRouter()
shared: Shared[Context] = Shared()

#: Seconds for which the plan and what ran are believed.
EVERY: Final = 10.0
#: Entries that are shown.
ROWS: Final = 300
#: States by how much they matter.
_ORDER: Final = list(Punctuality)


@dataclass(frozen=True, slots=True)
class Context:
    """What the template shows."""

    plan: Plan
    rows: Sequence[Row]
    hidden: int
    #: How many of each state.
    states: Mapping[str, int]
    #: Whether there is anything to read plans from.
    readable: bool
    app: str
    every: float


@router.get("/schedules", response_class=HTMLResponse)
def show(request: Request, deps: Annotated[Deps, Depends(get_deps)]) -> HTMLResponse:
    """The page; the entries that are missed or late come first."""
    context = shared.get(request.app, "", EVERY, deps.clock, lambda: load(deps))
    return page(request, "schedules", context)


def load(deps: Deps) -> Context:
    """The plan as it can be read, and how it was kept, read from the store."""
    now = deps.clock.now()
    plan = deps.plan(now) if deps.plan is not None else Plan((), (), ())
    rows = History(deps.reader, deps.clock).rows(plan)
    rows.sort(key=lambda row: (not row.planned.enabled, _ORDER.index(row.verdict.state)))
    return Context(
        plan=plan,
        rows=rows[:ROWS],
        hidden=max(0, len(rows) - ROWS),
        states=Counter(row.verdict.state.value for row in rows if row.planned.enabled),
        readable=deps.plan is not None and bool(plan.sources),
        app=deps.settings.app,
        every=EVERY,
    )
