"""For machines: whether the web lives, whether the pipeline works, and the metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import msgspec
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import PlainTextResponse, Response
from starlette.datastructures import State

from umbel import status
from umbel.errors import StoreError
from umbel.metrics import names
from umbel.metrics.names import Measured, Snapshot
from umbel.model.worker import Worker, shown
from umbel.web.api_models import ReadinessOut
from umbel.web.deps import Deps, Injected
from umbel.web.hints import Hub
from umbel.web.measured import Surroundings
from umbel.web.pipeline import Pipeline
from umbel.web.readiness import Check, Level, Readiness

#: Seconds that the store has to answer a probe.
PATIENCE: Final = 2.0

router = APIRouter()


class Probe:
    """Asks for readiness on a thread of its own, so that a probe never waits for pages that wait for the store."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._asking: asyncio.Task[Readiness] | None = None

    async def readiness(self) -> Readiness:
        """The judgement; down if there is none within `PATIENCE`. One look at a time, however many ask."""
        if self._asking is None or self._asking.done():
            look = to_thread.run_sync(self._deps.readiness, limiter=CapacityLimiter(1))
            self._asking = asyncio.get_running_loop().create_task(look, name="readiness")
        done, _pending = await asyncio.wait((self._asking,), timeout=PATIENCE)
        if done:
            return self._asking.result()
        late = Check(Level.DOWN, f"the store did not answer within {PATIENCE:.0f} s")
        return Readiness(Level.DOWN, {"store": late})


_LIVES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "`ok`.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}
_READY: Final[dict[int | str, dict[str, Any]]] = {
    503: {"model": ReadinessOut, "description": "The store or the collector is down; the same shape."}
}
_METRICS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "In Prometheus' text format.", "content": {"text/plain": {"schema": {"type": "string"}}}},
    **{
        status: {"description": why, "content": {"text/plain": {"schema": {"type": "string"}}}}
        for status, why in ((401, "Nobody has signed in."), (503, "The store cannot be read."))
    },
}


@router.get("/healthz", response_class=Response, operation_id="healthz", responses=_LIVES, tags=["health"])
async def healthz() -> Response:
    """Touches nothing: neither the store nor a thread."""
    return PlainTextResponse("ok")


@router.get("/readyz", response_model=ReadinessOut, operation_id="readyz", responses=_READY, tags=["health"])
async def readyz(request: Request) -> Response:
    """What is behind, disconnected or failing; 503 when the store or the collector is down."""
    probe: Probe = request.app.state.probe
    readiness = await probe.readiness()
    status = 503 if readiness.status is Level.DOWN else 200
    return Response(msgspec.json.encode(readiness), status, {"Cache-Control": "no-store"}, "application/json")


@router.get("/metrics", response_class=Response, operation_id="metrics", responses=_METRICS, tags=["health"])
def metrics(request: Request, deps: Injected) -> Response:
    """For Prometheus."""
    try:
        told = measure(request.app.state)
    except StoreError as error:
        raise HTTPException(503, f"The store cannot be read: {error}") from error
    body, content_type = deps.render_metrics(told)
    return Response(body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})


def measure(state: State) -> Snapshot:
    """What the metrics are now, from an app's state; raises `StoreError` while the store was never read."""
    deps: Deps = state.deps
    pipeline = deps.pipeline()
    if not pipeline.known:
        # Zeros would look like a restart of every counter.
        raise StoreError(pipeline.store_error)
    now, purge = deps.clock.now(), deps.settings.purge_offline_workers
    workers = [] if pipeline.store_error else shown(deps.reader.workers(), now, purge)
    sizes = _sizes(pipeline, state.hub) | _traces(pipeline, deps)
    surroundings: Surroundings = state.surroundings
    measured = Measured() if pipeline.store_error else surroundings.measured()
    return replace(snapshot(pipeline, _fleet(workers, now), sizes), measured=measured)


def snapshot(
    pipeline: Pipeline, workers: Sequence[tuple[str, bool, int]], sizes: Mapping[str, float] | None = None
) -> Snapshot:
    """The numbers of the metrics page."""
    return Snapshot(
        received=pipeline.received_total,
        stored=pipeline.stored,
        discarded=pipeline.discarded,
        missed_estimate=pipeline.missed,
        lag_seconds=pipeline.lag_seconds,
        spool_bytes=pipeline.spool_bytes,
        spool_limit=pipeline.spool_limit,
        connected=bool(pipeline.connected),
        reconnects=pipeline.reconnects,
        commit_seconds=pipeline.commit_seconds,
        workers=workers,
        sizes=sizes or {},
    )


def _told(pipeline: Pipeline, part: str, value: str) -> float:
    """What a part says; 0 where it does not tell."""
    teller = pipeline.part(part)
    return teller.values.get(value, 0.0) if teller else 0.0


def _traces(pipeline: Pipeline, deps: Deps) -> dict[str, float]:
    """What became of spans, by metric."""
    own = deps.tracer.dropped if deps.tracer is not None else 0
    return {
        names.TRACED: _told(pipeline, "trace", status.TRACED),
        names.UNTRACED: sum(_told(pipeline, part, status.UNTRACED) for part in ("collect", "trace")),
        names.TRACE_QUEUE: _told(pipeline, "trace", status.TRACE_QUEUE),
        names.SPANS_DROPPED: own + _told(pipeline, "collect", status.SPANS_DROPPED),
    }


def _sizes(pipeline: Pipeline, hub: Hub) -> dict[str, float]:
    """How much there is at each bounded hop, by metric; 0 where no part tells."""
    told = partial(_told, pipeline)
    return {
        names.BROKER_BUFFER: told("receive", status.BROKER_BUFFER),
        names.READ_AHEAD: told("receive", status.READ_AHEAD),
        names.IN_FLIGHT: pipeline.in_flight,
        names.BATCH_LIMIT: told("collect", status.BATCH_LIMIT),
        names.REDACTED: told("collect", status.REDACTED),
        names.IN_HAND: told("collect", status.IN_HAND),
        names.COMMIT_EVENTS: told("collect", status.COMMIT_EVENTS),
        names.STORE_BYTES: pipeline.store_bytes,
        names.QUARANTINE: pipeline.quarantined,
        names.LISTENERS: len(hub),
        names.HINTS_REPLACED: hub.replaced,
    }


def _fleet(workers: Sequence[Worker], now: float) -> list[tuple[str, bool, int]]:
    """Name, online and running tasks of each worker, its processes taken together; the online ones first."""
    fleet: dict[str, tuple[bool, int]] = {}
    for worker in workers:
        lives = worker.online(now)
        active = worker.heartbeat.active if lives and worker.heartbeat else 0
        online, running = fleet.get(worker.hostname, (False, 0))
        fleet[worker.hostname] = (online or lives, running + active)
    rows = [(name, online, running) for name, (online, running) in fleet.items()]
    return sorted(rows, key=lambda row: (not row[1], row[0]))
