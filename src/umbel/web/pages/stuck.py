"""Stuck: tasks that have had no end for long, looked for at their workers and in the result backend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from anyio import to_thread
from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, Response
from msgspec import Meta, Struct

from umbel.model.task import Summary, rfc3339
from umbel.web.actions import actor
from umbel.web.api_bodies import answer, decoded, schema
from umbel.web.api_control_models import VerdictOut, VerdictsOut
from umbel.web.api_document import problems
from umbel.web.deps import get_deps, identity_of
from umbel.web.forms import form
from umbel.web.notes import Verdict
from umbel.web.pages.deeds import controllable
from umbel.web.render import page
from umbel.web.stuck import LOOK, OLDER, Stuck

router = APIRouter()
api = APIRouter(prefix="/api/v1", tags=["control"], responses=problems(400))

FORM: Final = 16 * 1024
#: Orphans that are listed.
SHOWN: Final = 100


Limit = Annotated[int, Query(ge=1, le=1_000, description="Items in the answer.")]


@dataclass(frozen=True, slots=True)
class Context:
    """What the template shows."""

    orphans: Sequence[tuple[Summary, Verdict]]
    #: What the look just now found, in the order of the tasks' age; None where nobody has looked.
    found: Sequence[Verdict] | None
    #: Minutes without an end.
    minutes: float
    controllable: bool
    #: Seconds between looks that are done without being asked for; 0: there are none.
    every: float


class Look(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which tasks are looked for: seconds without an end, and how many, the oldest first."""

    older_than: Annotated[float, Meta(ge=1, le=31_536_000)] = OLDER
    limit: Annotated[int, Meta(ge=1, le=LOOK)] = LOOK


@router.get("/stuck", response_class=HTMLResponse)
async def show(request: Request) -> HTMLResponse:
    """The page; nobody is asked."""
    return await _page(request, None, OLDER / 60)


@router.post("/stuck", response_class=HTMLResponse)
async def look(request: Request) -> HTMLResponse:
    """Look now."""
    fields = await form(request, FORM)
    try:
        wanted = msgspec.convert({"older_than": float(fields.get("minutes", OLDER / 60)) * 60}, Look)
    except ValueError as error:
        raise HTTPException(400, f"minutes: {error}.") from error
    found = await _stuck(request).look(wanted.older_than, wanted.limit, actor(request, "page"))
    return await _page(request, found, wanted.older_than / 60)


@api.post(
    "/stuck",
    response_model=VerdictsOut,
    operation_id="find_stuck",
    responses=problems(413),
    openapi_extra=schema(Look),
)
async def find(request: Request) -> Response:
    """Look for tasks without an end, at their workers and in the result backend by id; what was found of each.

    Outcomes: `held` by a worker, `ended` by the result backend alone, `orphaned`, `unknown`.
    """
    wanted: Look = await decoded(request, Look)
    return _answer(await _stuck(request).look(wanted.older_than, wanted.limit, actor(request, "api")))


@api.get("/stuck", response_model=VerdictsOut, operation_id="list_orphans")
async def orphans(request: Request, limit: Limit = SHOWN) -> Response:
    """Tasks that were found orphaned and still have no end, the latest finding first."""
    stuck = _stuck(request)
    return _answer([verdict for _, verdict in await to_thread.run_sync(stuck.orphans, limit)])


def _stuck(request: Request) -> Stuck:
    stuck: Stuck = request.app.state.stuck
    return stuck


async def _page(request: Request, found: Sequence[Verdict] | None, minutes: float) -> HTMLResponse:
    deps = get_deps(request)

    def render() -> HTMLResponse:
        listed = _stuck(request).orphans(SHOWN)
        may, every = controllable(deps, identity_of(request)), deps.settings.stuck_every
        return page(request, "stuck", Context(listed, found, minutes, may, every))

    return await to_thread.run_sync(render)


def _answer(verdicts: Sequence[Verdict]) -> Response:
    return answer(
        VerdictsOut([VerdictOut(one.task_id, rfc3339(one.at), one.outcome, one.evidence) for one in verdicts])
    )
