"""The rest of Flower's addresses: queue lengths, the health check, and where its pages have gone."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response

from umbel.brokers.base import QueueDepth
from umbel.web.deps import Injected
from umbel.web.flower.route import GatedRoute, Refusal, answer
from umbel.web.health import Probe
from umbel.web.queue_names import queue_names
from umbel.web.readiness import Level

router = APIRouter(route_class=GatedRoute)
open_router = APIRouter()


@router.get("/api/queues/length", include_in_schema=False)
def lengths(deps: Injected) -> Response:
    """Messages that wait in each queue; RabbitMQ tells more."""
    if deps.queues is None:
        scheme = deps.settings.broker.partition("://")[0] or "no"
        raise Refusal(404, f"'{scheme}' broker is not supported")
    return answer({"active_queues": [_queue(depth) for depth in deps.queues.depths(queue_names(deps.reader))]})


def _queue(depth: QueueDepth) -> dict[str, Any]:
    """A queue as Flower has it for Redis, and by RabbitMQ's names what else is known."""
    ready, unacked = depth.ready or 0, depth.unacked or 0
    if depth.consumers is None:
        return {"name": depth.name, "messages": ready}
    return {
        "name": depth.name,
        "messages": ready + unacked,
        "messages_ready": depth.ready,
        "messages_unacknowledged": depth.unacked,
        "consumers": depth.consumers,
    }


@open_router.get("/healthcheck", include_in_schema=False)
async def healthcheck(request: Request) -> Response:
    """OK while the pipeline works; unlike Flower's, it says so when it does not."""
    probe: Probe = request.app.state.probe
    readiness = await probe.readiness()
    if readiness.status is Level.DOWN:
        return PlainTextResponse("; ".join(check.detail for check in readiness.trouble), 503)
    return PlainTextResponse("OK")


@open_router.get("/task/{task_id:path}", include_in_schema=False)
async def task(request: Request, task_id: str) -> Response:
    """A task's page."""
    return _moved(request, f"/tasks/{quote(task_id, safe='')}")


@open_router.get("/worker/{name:path}", include_in_schema=False)
async def worker(request: Request, name: str) -> Response:
    """A worker's page."""
    return _moved(request, f"/workers/{quote(name, safe='@')}")


@open_router.get("/broker", include_in_schema=False)
async def broker(request: Request) -> Response:
    """The queues' page."""
    return _moved(request, "/queues")


def _moved(request: Request, path: str) -> Response:
    return RedirectResponse(request.scope.get("root_path", "") + path, 307)
