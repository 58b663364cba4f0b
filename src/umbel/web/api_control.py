"""Remote control in the API: one address for each command, and the audit trail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from anyio import to_thread
from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import Response, StreamingResponse

from umbel.control.audit import Audit, Recorded
from umbel.control.commands import COMMANDS, Command, Reply
from umbel.model.task import rfc3339
from umbel.web.actions import Actions, actor, summed
from umbel.web.api_bodies import answer, decoded, schema
from umbel.web.api_control_models import AuditOut, AuditReplyOut, AuditsOut, ControlOut, ReplyOut
from umbel.web.api_document import problems
from umbel.web.deps import Injected

#: Actions of the audit trail that an export holds in memory.
EXPORTED: Final = 500
#: Commands that are too grave to go to every worker by leaving out whom they are for.
NAMED: Final = frozenset({"shutdown", "pool_restart", "pool_grow", "pool_shrink", "autoscale"})

_LINES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "Lines.", "content": {"application/jsonl": {"schema": {"type": "string"}}}}
}

router = APIRouter(prefix="/api/v1", responses=problems(400))

Patience = Annotated[
    float, Query(alias="timeout", ge=0.1, le=60, description="Seconds to wait for the slowest worker.")
]


def _route(kind: type[Command]) -> Callable[..., Awaitable[Response]]:
    async def perform(request: Request, patience: Patience = 5.0) -> Response:
        command: Command = await decoded(request, kind, what=f"is no {kind.method} command")
        if kind.method in NAMED and not command.destination:
            raise HTTPException(400, f"destination: name the workers for {kind.method}.")
        actions: Actions = request.app.state.actions
        replies = await actions.perform(command, actor(request, "api"), patience)
        return answer(ControlOut(kind.method, summed(replies), [_reply(reply) for reply in replies]))

    perform.__name__ = kind.method
    perform.__doc__ = kind.__doc__
    return perform


for _kind in COMMANDS.values():
    router.add_api_route(
        f"/control/{_kind.method}",
        _route(_kind),
        methods=["POST"],
        response_model=ControlOut,
        operation_id=f"control_{_kind.method}",
        responses=problems(413),
        openapi_extra=schema(_kind),
        tags=["control"],
    )


@router.post("/control/{command}", include_in_schema=False)
async def unknown(command: str) -> Response:
    """Say which commands there are."""
    raise HTTPException(404, f"There is no command {command[:100]!r}; known are {', '.join(sorted(COMMANDS))}.")


@router.get("/audit", response_model=AuditsOut, operation_id="list_audit", tags=["control"])
async def audit(
    deps: Injected,
    limit: Annotated[int, Query(ge=1, le=1_000, description="Items in the answer.")] = 50,
    before: Annotated[int | None, Query(ge=1, description="Only items whose `id` is smaller.")] = None,
) -> Response:
    """Who had Umbel change what, and what came of it, and who was refused, the newest first."""
    trail = deps.audit
    if trail is None:
        raise HTTPException(503, "This process keeps no audit trail.")
    found = await to_thread.run_sync(trail.read, limit, before)
    return answer(AuditsOut([_recorded(item) for item in found]))


@router.get("/audit/export", response_class=Response, operation_id="export_audit", responses=_LINES, tags=["control"])
async def audit_export(deps: Injected) -> Response:
    """The whole audit trail as JSON lines, the newest first, in the shape of the items of `audit`."""
    trail = deps.audit
    if trail is None:
        raise HTTPException(503, "This process keeps no audit trail.")
    date = datetime.fromtimestamp(deps.clock.now(), UTC).strftime("%Y%m%dT%H%M%SZ")
    # The first page is read before the answer begins, so that a trail that cannot be read is a 503.
    first = await to_thread.run_sync(trail.read, EXPORTED)
    headers = {"Content-Disposition": f'attachment; filename="umbel-audit-{date}.jsonl"', "Cache-Control": "no-store"}
    return StreamingResponse(_lines(trail, first), headers=headers, media_type="application/jsonl")


def _lines(trail: Audit, page: Sequence[Recorded]) -> Iterator[bytes]:
    while page:
        yield b"".join(msgspec.json.encode(_recorded(item)) + b"\n" for item in page)
        page = trail.read(EXPORTED, page[-1].id)


def _reply(reply: Reply) -> ReplyOut:
    seconds = round(reply.seconds, 4)
    return ReplyOut(reply.worker, reply.outcome.value, reply.value, reply.error or None, seconds)


def _recorded(item: Recorded) -> AuditOut:
    action = item.action
    return AuditOut(
        id=item.id,
        at=rfc3339(action.at),
        who=action.who or None,
        origin=action.origin,
        via=action.via,
        action=action.what,
        arguments=dict(action.arguments),
        destination=list(action.destination),
        ended_at=rfc3339(item.ended_at),
        replies=[AuditReplyOut(worker or None, outcome, said) for worker, outcome, said in item.replies],
        times=item.times,
    )
