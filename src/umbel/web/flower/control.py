"""Flower's control of workers and tasks: its addresses, its words, the worker's own reply."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from anyio import to_thread
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from umbel.control.commands import (
    AddConsumer,
    Autoscale,
    CancelConsumer,
    Command,
    Outcome,
    Ping,
    PoolGrow,
    PoolRestart,
    PoolShrink,
    RateLimit,
    Registered,
    Reply,
    Revoke,
    Shutdown,
    TimeLimit,
)
from umbel.web.actions import Actions, actor, one
from umbel.web.deps import Deps, get_deps
from umbel.web.flower.params import of_request
from umbel.web.flower.route import HTML, GatedRoute, Refusal, answer, writes

#: Seconds that a worker has for its answer; Flower waits one.
PATIENCE: Final = 5.0
NAMES: Final = 10_000


async def _writes(request: Request) -> None:
    writes(get_deps(request))


router = APIRouter(route_class=GatedRoute, dependencies=[Depends(_writes)])


async def _known(request: Request, worker: str) -> str:
    """The worker's name if it was ever seen, or answers now; else 404."""
    deps = get_deps(request)
    seen = await to_thread.run_sync(deps.reader.workers)
    if worker not in {found.hostname for found in seen}:
        reply = await _send(request, Ping((worker,)), deps.settings.inspect_timeout)
        if reply.outcome is not Outcome.OK:
            raise Refusal(404, f"Unknown worker '{worker[:200]}'")
    return worker


async def _send(request: Request, command: Command, patience: float = PATIENCE) -> Reply:
    """The reply of the one worker that the command is for."""
    actions: Actions = request.app.state.actions
    replies = await actions.perform(command, actor(request, "flower"), patience)
    return one(replies, command.destination[0])


async def _tell(request: Request, command: Command, failed: str, message: str | None = None) -> Response:
    """Send the command; the message (the worker's own unless given), or why it failed."""
    reply = await _send(request, _checked(command))
    said = reply.value.get("ok") if isinstance(reply.value, dict) else None
    if reply.outcome is Outcome.OK and said is not None:
        return answer({"message": said if message is None else message})
    # A worker that is silent gives no reason; what is known of its silence is said instead.
    raise Refusal(403, failed.format(reason=_entities(reply.error or "Unknown reason")), HTML)


def _checked(command: Command) -> Command:
    """The command, its values within bounds; else 400."""
    try:
        return msgspec.convert(msgspec.to_builtins(command), type(command))
    except msgspec.ValidationError as error:
        raise Refusal(400, str(error)) from error


@router.post("/api/worker/shutdown/{worker:path}", include_in_schema=False)
async def shutdown(request: Request, worker: str) -> Response:
    """Stop a worker once its running tasks have ended."""
    await _send(request, Shutdown((await _known(request, worker),)))
    return answer({"message": "Shutting down!"})


@router.post("/api/worker/pool/restart/{worker:path}", include_in_schema=False)
async def pool_restart(request: Request, worker: str) -> Response:
    """Restart the pool."""
    command = PoolRestart((await _known(request, worker),))
    failed = f"Failed to restart the '{_escaped(worker)}' pool: {{reason}}"
    return await _tell(request, command, failed, f"Restarting '{worker}' worker's pool")


@router.post("/api/worker/pool/grow/{worker:path}", include_in_schema=False)
async def pool_grow(request: Request, worker: str) -> Response:
    """Add processes or threads."""
    return await _resize(request, worker, PoolGrow, "grow", "Growing")


@router.post("/api/worker/pool/shrink/{worker:path}", include_in_schema=False)
async def pool_shrink(request: Request, worker: str) -> Response:
    """Take some away."""
    return await _resize(request, worker, PoolShrink, "shrink", "Shrinking")


async def _resize(request: Request, worker: str, kind: type[PoolGrow | PoolShrink], verb: str, doing: str) -> Response:
    await _known(request, worker)
    n = (await of_request(request)).whole("n", 1) or 0
    failed = f"Failed to {verb} '{_escaped(worker)}' worker's pool: {{reason}}"
    return await _tell(request, kind((worker,), n=n), failed, f"{doing} '{worker}' worker's pool by {n}")


@router.post("/api/worker/pool/autoscale/{worker:path}", include_in_schema=False)
async def autoscale(request: Request, worker: str) -> Response:
    """Set the bounds of the autoscaler."""
    await _known(request, worker)
    given = await of_request(request)
    low, high = given.required_whole("min"), given.required_whole("max")
    failed = f"Failed to autoscale '{_escaped(worker)}' worker: {{reason}}"
    message = f"Autoscaling '{worker}' worker (min={low}, max={high})"
    return await _tell(request, Autoscale((worker,), min=low, max=high), failed, message)


@router.post("/api/worker/queue/add-consumer/{worker:path}", include_in_schema=False)
async def add_consumer(request: Request, worker: str) -> Response:
    """Let a worker consume from one more queue."""
    await _known(request, worker)
    queue = (await of_request(request)).required("queue")
    failed = f"Failed to add '{_escaped(queue)}' consumer to '{_escaped(worker)}' worker: {{reason}}"
    return await _tell(request, AddConsumer((worker,), queue=queue), failed)


@router.post("/api/worker/queue/cancel-consumer/{worker:path}", include_in_schema=False)
async def cancel_consumer(request: Request, worker: str) -> Response:
    """Let a worker no longer consume from a queue."""
    await _known(request, worker)
    queue = (await of_request(request)).required("queue")
    failed = f"Failed to cancel '{_escaped(queue)}' consumer from '{_escaped(worker)}' worker: {{reason}}"
    return await _tell(request, CancelConsumer((worker,), queue=queue), failed)


@router.post("/api/task/revoke/{task_id:path}", include_in_schema=False)
async def revoke(request: Request, task_id: str) -> Response:
    """Tell every worker not to run a task, or to stop it."""
    given = await of_request(request)
    terminate, signal = given.flag("terminate"), given.text("signal", "SIGTERM") or "SIGTERM"
    command = _checked(Revoke((), task_ids=(task_id,), terminate=terminate, signal=signal))
    actions: Actions = request.app.state.actions
    await actions.perform(command, actor(request, "flower"), PATIENCE)
    return answer({"message": f"Revoked '{task_id}'"})


@router.post("/api/task/timeout/{name:path}", include_in_schema=False)
async def timeout(request: Request, name: str) -> Response:
    """Set the time limits of a task with one worker."""
    given = await of_request(request)
    worker = given.required("workername")
    hard, soft = given.number("hard"), given.number("soft")
    await _known_task(request, name, worker)
    command = TimeLimit((worker,), task_name=name, soft=soft, hard=hard)
    return await _tell(request, command, "Failed to set timeouts: '{reason}'")


@router.post("/api/task/rate-limit/{name:path}", include_in_schema=False)
async def rate_limit(request: Request, name: str) -> Response:
    """Set the rate limit of a task with one worker."""
    given = await of_request(request)
    worker, rate = given.required("workername"), given.required("ratelimit")
    await _known_task(request, name, worker)
    command = RateLimit((worker,), task_name=name, rate_limit=rate)
    return await _tell(request, command, "Failed to set rate limit: '{reason}'")


async def _known_task(request: Request, name: str, worker: str) -> None:
    """404 for a task that was never seen and that the worker does not have, then for an unknown worker."""
    deps: Deps = get_deps(request)
    if name not in await to_thread.run_sync(deps.reader.names, NAMES):
        reply = await _send(request, Registered((worker,)), deps.settings.inspect_timeout)
        registered: list[Any] = reply.value if reply.outcome is Outcome.OK else []
        if name not in {str(item).partition(" [")[0] for item in registered}:
            raise Refusal(404, f"Unknown task '{name[:200]}'")
    await _known(request, worker)


def _escaped(text: str) -> str:
    """A name within a template of HTML, which is what Flower calls these answers."""
    return _entities(text).replace("{", "{{").replace("}", "}}")


def _entities(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
