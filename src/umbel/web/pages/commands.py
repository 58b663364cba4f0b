"""Commands to all workers, or to some of them: what is no matter of one worker, one task or one search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from anyio import to_thread
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse

from umbel.web.actions import Actions
from umbel.web.deps import get_deps, identity_of
from umbel.web.pages.deeds import controllable
from umbel.web.render import page

router = APIRouter()

#: Workers that can be chosen, and names of tasks that are offered.
WORKERS: Final = 200
NAMES: Final = 500


@dataclass(frozen=True, slots=True)
class Context:
    """What the template shows."""

    #: Those that are online, by name.
    workers: Sequence[str]
    #: How many more are online than can be chosen here.
    more: int
    names: Sequence[str]


@router.get("/commands", response_class=HTMLResponse)
async def show(request: Request) -> HTMLResponse:
    """The page; 403 where nothing may be changed. Each form leads to the question of its command."""
    actions: Actions = request.app.state.actions
    deps = get_deps(request)
    actions.allow()
    if not controllable(deps, identity_of(request)):
        raise HTTPException(503, "No broker is known to this process. Start it with --broker or -A.")

    def render() -> HTMLResponse:
        online = actions.online()
        names = sorted(deps.reader.names(NAMES))
        return page(request, "commands", Context(online[:WORKERS], max(0, len(online) - WORKERS), names))

    return await to_thread.run_sync(render)
