"""Deploys: entered by whoever deploys, listed, and drawn as marks in the charts."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from anyio import to_thread
from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import Response

from umbel.control.audit import Action, Told
from umbel.model.task import epoch, rfc3339
from umbel.stores.journal import Entry, Kind
from umbel.web.actions import Actions, actor
from umbel.web.api_bodies import answer, decoded, schema
from umbel.web.api_document import problems
from umbel.web.api_models import DeployOut, DeploysOut
from umbel.web.deps import Injected

#: Bytes of a deploy's body.
BODY: Final = 16 * 1024

router = APIRouter(prefix="/api/v1", responses=problems(400), tags=["deploys"])


class Deploy(msgspec.Struct, forbid_unknown_fields=True):
    """What may be told of a deploy."""

    version: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    #: What was deployed, such as `shop-workers`.
    service: Annotated[str, msgspec.Meta(max_length=100)] = ""
    text: Annotated[str, msgspec.Meta(max_length=300)] = ""
    #: RFC 3339; now unless given.
    at: str = ""


@router.post(
    "/deploys",
    status_code=201,
    response_model=DeployOut,
    operation_id="enter_deploy",
    responses=problems(413),
    openapi_extra=schema(Deploy),
)
async def enter(request: Request, deps: Injected) -> Response:
    """Enter a deploy; the same version of the same service at the same moment is one deploy, however often it comes."""
    actions: Actions = request.app.state.actions
    actions.allow()
    told: Deploy = await decoded(request, Deploy, BODY, what="is no deploy")
    at = epoch(told.at) if told.at else deps.clock.now()
    if at is None:
        raise HTTPException(400, f"at: {told.at[:50]!r} is no time; one such as 2026-11-23T00:41:07Z is expected.")
    texts = {"version": told.version, "service": told.service, "text": told.text}
    entry = Entry(Kind.DEPLOY, f"{at:.0f} {told.service[:60]} {told.version}"[:200], at, texts)
    by = actor(request, "api")
    action = Action(deps.clock.now(), by.who, by.origin, "deploy", by.via, texts | {"at": rfc3339(at)})

    def work() -> tuple[None, list[Told]]:
        deps.entries.put(entry)
        return None, [Told("", "ok", "")]

    await to_thread.run_sync(lambda: actions.recorded(action, work))
    return answer(_out(entry), 201)


@router.get("/deploys", response_model=DeploysOut, operation_id="list_deploys")
def deploys(
    deps: Injected,
    limit: Annotated[int, Query(ge=1, le=1_000, description="Deploys in the answer.")] = 100,
) -> Response:
    """Deploys, the newest first."""
    out = DeploysOut([_out(entry) for entry in deps.entries.read(Kind.DEPLOY)[:limit]])
    return answer(out)


def _out(entry: Entry) -> DeployOut:
    texts = entry.texts
    return DeployOut(
        rfc3339(entry.at), texts.get("version", ""), texts.get("service") or None, texts.get("text") or None
    )
