"""Calling a kind of failure resolved, and reopening it: forms of the errors page, and the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

from anyio import to_thread
from fastapi import APIRouter, Depends, HTTPException, Path, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from umbel.control.audit import Action, Told
from umbel.stores.journal import Entry, Kind
from umbel.web.actions import Actions, actor
from umbel.web.api_document import problems
from umbel.web.api_models import ErrorStateOut
from umbel.web.deps import Deps, get_deps
from umbel.web.forms import form
from umbel.web.pages.errors import looked_at
from umbel.web.pages.spans import SPANS

router = APIRouter()
#: The same for programs.
api = APIRouter(prefix="/api/v1", responses=problems(400, 404))

#: Bytes of a form.
FORM: Final = 4_096
#: What may be done to a kind of failure.
DEEDS: Final = ("resolve", "reopen")
#: The same, as the API describes it.
Deed = Annotated[str, Path(json_schema_extra={"enum": list(DEEDS)})]
#: Characters kept of its place and message.
TEXT: Final = 250


@router.post("/errors/{key}/{deed}")
async def resolved(request: Request, key: str, deed: str, deps: Annotated[Deps, Depends(get_deps)]) -> Response:
    """The form of the errors page; back to where it was sent from."""
    fields = await form(request, FORM)
    await _do(request, deps, key, deed, "page")
    span = fields.get("range", "")
    query = f"?range={span}" if span in SPANS else ""
    return RedirectResponse(f"{deps.settings.url_prefix}/errors{query}", 303)


@api.post("/errors/{key}/{deed}", response_model=ErrorStateOut, operation_id="change_error", tags=["errors"])
async def call(request: Request, key: str, deed: Deed, deps: Annotated[Deps, Depends(get_deps)]) -> Response:
    """`resolve` a kind of failure by its fingerprint, or `reopen` it. One that fails again reopens itself."""
    await _do(request, deps, key, deed, "api")
    return JSONResponse({"key": key, "state": "resolved" if deed == "resolve" else "open"})


async def _do(request: Request, deps: Deps, key: str, deed: str, via: str) -> None:
    actions: Actions = request.app.state.actions
    actions.allow()
    if deed not in DEEDS:
        raise HTTPException(404, f"A failure can be resolved or reopened; {deed[:50]!r} is neither.")
    by = actor(request, via)
    now = deps.clock.now()

    def told(work: Callable[[], None]) -> tuple[None, list[Told]]:
        work()
        return None, [Told("", "ok", "")]

    def work() -> None:
        known = _texts(deps, key)
        action = Action(now, by.who, by.origin, f"{deed} error", by.via, {"key": key, **known})
        entry = Entry(Kind.RESOLVED, key, now, known | {"who": by.who})
        if deed == "resolve":
            actions.recorded(action, lambda: told(lambda: deps.entries.put(entry)))
        else:
            actions.recorded(action, lambda: told(lambda: deps.entries.drop(Kind.RESOLVED, key)))

    await to_thread.run_sync(work)


def _texts(deps: Deps, key: str) -> dict[str, str]:
    """What the fingerprint stands for, as the newest failures tell; 404 for one that nobody has seen."""
    entry = next((entry for entry in deps.entries.read(Kind.RESOLVED) if entry.key == key), None)
    if entry is not None:
        return {name: entry.texts.get(name, "") for name in ("type", "place", "message")}
    for span in SPANS.values():
        for kind in looked_at(deps, span).failures.sample.kinds:
            print_ = kind.fingerprint
            if print_.key == key:
                return {"type": print_.type[:TEXT], "place": print_.place[:TEXT], "message": print_.message[:TEXT]}
    raise HTTPException(404, f"No failure with the fingerprint {key[:50]!r} was seen within a day.")
