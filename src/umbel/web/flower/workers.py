"""Flower's workers: what inspection says of each, who lives, and the rows of its workers page."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response

from umbel.control.commands import (
    Active,
    ActiveQueues,
    Command,
    Conf,
    Outcome,
    Registered,
    Reserved,
    Revoked,
    Scheduled,
    Stats,
)
from umbel.errors import ControlError
from umbel.model.worker import Worker, shown
from umbel.web.actions import Actions, actor
from umbel.web.deps import Deps, Injected, get_deps
from umbel.web.flower.params import of_query
from umbel.web.flower.route import GatedRoute, Refusal, answer

router = APIRouter(route_class=GatedRoute)

#: What is asked of all workers, and more of one that is named.
OF_ALL: Final[Sequence[type[Command]]] = (Stats, ActiveQueues, Registered, Conf)
OF_ONE: Final[Sequence[type[Command]]] = (*OF_ALL, Scheduled, Active, Reserved, Revoked)


@router.get("/api/workers", include_in_schema=False)
async def workers(request: Request, deps: Injected) -> Response:
    """What each worker answers to inspection just now."""
    given = of_query(request)
    refresh, name = given.flag("refresh"), given.text("workername")
    if given.flag("status"):
        seen = await to_thread.run_sync(deps.reader.workers)
        return answer(_living(seen, deps.clock.now()))
    try:
        found = await inspect(request, [name] if name else None)
    except ControlError as error:
        raise Refusal(503, f"Failed to update workers: {error}" if refresh else str(error)) from error
    if name and name not in found:
        raise Refusal(404, f"Unknown worker '{name[:200]}'")
    return answer(found)


async def inspect(request: Request, names: Sequence[str] | None) -> dict[str, dict[str, Any]]:
    """The answers of the workers, those that are online unless named; who does not answer in time is left out."""
    actions: Actions = request.app.state.actions
    deps = get_deps(request)
    by = actor(request, "flower")
    wanted = tuple(names if names is not None else await to_thread.run_sync(actions.online))
    # The configuration may hold secrets of the app.
    kinds = [kind for kind in (OF_ALL if names is None else OF_ONE) if by.identity.data or kind is not Conf]
    patience = deps.settings.inspect_timeout
    # All at once: a worker that hangs costs its time once.
    rounds = await asyncio.gather(*(actions.perform(kind(wanted), by, patience) for kind in kinds))
    found: dict[str, dict[str, Any]] = {}
    now = deps.clock.now()
    for kind, replies in zip(kinds, rounds, strict=True):
        for reply in replies:
            if reply.outcome is Outcome.OK:
                found.setdefault(reply.worker, {})[kind.method] = reply.value
    return {name: {**info, "timestamp": now} for name, info in sorted(found.items()) if "stats" in info}


def _living(seen: Sequence[Worker], now: float) -> dict[str, bool]:
    living: dict[str, bool] = {}
    for worker in seen:
        living[worker.hostname] = living.get(worker.hostname, False) or worker.online(now)
    return living


def rows(deps: Deps) -> Response:
    """`/workers?json=1`: a row for each worker, its latest process; counts by event as far as they are kept."""
    now, purge = deps.clock.now(), deps.settings.purge_offline_workers
    latest: dict[str, Worker] = {}
    for worker in shown(deps.reader.workers(), now, purge):
        latest.setdefault(worker.hostname, worker)
    counts: dict[str, dict[str, int]] = {}
    for (_task, name), events in deps.reader.meters().events.items():
        row = counts.setdefault(name, {})
        for kind, count in events.items():
            row[kind] = row.get(kind, 0) + count
    return answer({"data": [_row(worker, counts.get(name, {}), now) for name, worker in latest.items()]})


def _row(worker: Worker, counts: dict[str, int], now: float) -> dict[str, Any]:
    beat, software = worker.heartbeat, worker.software
    return {
        **counts,
        "hostname": worker.hostname,
        "pid": worker.pid,
        "freq": worker.freq,
        "heartbeats": [beat.at] if beat else [],
        "clock": beat.clock if beat else 0,
        "active": beat.active if beat else None,
        "processed": beat.processed if beat else None,
        "loadavg": list(beat.loadavg) if beat else None,
        "sw_ident": software.ident if software else None,
        "sw_ver": software.version if software else None,
        "sw_sys": software.system if software else None,
        "status": worker.online(now),
    }
