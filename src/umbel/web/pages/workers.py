"""Workers: who is there, what they do, who is gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, Response

from umbel.model.worker import Worker, shown
from umbel.web.deps import Deps, get_deps, identity_of
from umbel.web.flower import workers as flower
from umbel.web.measured import Pool, Surroundings
from umbel.web.pages.deeds import controllable
from umbel.web.pages.slots import up_since
from umbel.web.render import page

router = APIRouter()

#: Rows that are shown.
ROWS: Final = 500
NOTHING_TOLD: Final[Mapping[str, Pool]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Row:
    """The newest process of one worker name."""

    worker: Worker
    #: online, offline (it said so) or lost (it fell silent).
    state: str
    #: Processes of this name before it, within what is kept.
    restarts: int
    #: It runs tasks and sends no events about them.
    silent: bool
    #: Since when it lives, UTC seconds; None where it is gone.
    up_since: float | None
    #: What it said of its pool lately; None where it said nothing, or is gone.
    pool: Pool | None = None

    @property
    def search(self) -> str:
        return f'worker:"{self.worker.hostname}"'


@dataclass(frozen=True, slots=True)
class Context:
    """What the template shows."""

    #: all, online or gone.
    show: str
    rows: Sequence[Row]
    online: int
    gone: int
    active: int
    #: Tasks that the pools known can run at once; 0 where none is.
    slots: int
    processed: int
    restarts: int
    silent: int
    #: Rows that are not shown because there are too many.
    hidden: int
    versions: Sequence[tuple[str, int]]
    #: Whether all may be told something.
    controllable: bool = False


@router.get("/workers", response_class=HTMLResponse)
def show(
    request: Request,
    deps: Annotated[Deps, Depends(get_deps)],
    show_: Annotated[str, Query(alias="show")] = "",
    json: str = "",
) -> Response:
    """The page; `show` is online or gone, or all. With `json=1`, the rows as Flower's page fetches them."""
    if json.lower() in ("1", "true", "yes", "on", "t", "y"):
        return flower.rows(deps)
    may = controllable(deps, identity_of(request))
    surroundings: Surroundings = request.app.state.surroundings
    return page(request, "workers", replace(load(deps, show_, surroundings.pools()), controllable=may))


def load(deps: Deps, show_: str = "", pools: Mapping[str, Pool] = NOTHING_TOLD) -> Context:
    """Everything that the page shows, read from the store; `pools` by worker, of those that told."""
    now = deps.clock.now()
    rows = [
        replace(row, pool=pools.get(row.worker.hostname)) if row.state == "online" else row
        for row in _rows(shown(deps.reader.workers(), now, deps.settings.purge_offline_workers), now)
    ]
    online = [row for row in rows if row.state == "online"]
    gone = [row for row in rows if row.state != "online"]
    chosen = {"online": online, "gone": gone}.get(show_, [*online, *gone])
    beats = [row.worker.heartbeat for row in online if row.worker.heartbeat]
    versions = Counter(
        f"{row.worker.software.ident} {row.worker.software.version}" for row in online if row.worker.software
    )
    return Context(
        show=show_ if show_ in ("online", "gone") else "",
        rows=chosen[:ROWS],
        online=len(online),
        gone=len(gone),
        active=sum(beat.active for beat in beats),
        slots=sum(row.pool.size or 0 for row in online if row.pool),
        processed=sum(beat.processed for beat in beats),
        restarts=sum(row.restarts for row in rows),
        silent=sum(row.silent for row in online),
        hidden=max(0, len(chosen) - ROWS),
        versions=versions.most_common(),
    )


def _rows(workers: Sequence[Worker], now: float) -> list[Row]:
    """One row for each name, by name."""
    by_name: dict[str, list[Worker]] = {}
    for worker in workers:
        by_name.setdefault(worker.hostname, []).append(worker)
    return [row_of(processes, now) for _, processes in sorted(by_name.items())]


def row_of(processes: Sequence[Worker], now: float) -> Row:
    """What is known of the processes of one name, at least one; `now` is UTC seconds."""
    # A task event that names no pid makes a process of its own; it is no restart.
    known = [worker for worker in processes if worker.pid] or list(processes)
    newest = max(known, key=lambda worker: (worker.online(now), worker.seen_at, worker.first_seen_at))
    beat = newest.heartbeat
    tasks_seen = any(worker.task_seen_at for worker in processes)
    return Row(
        worker=newest,
        state=_state(newest, now),
        restarts=len(known) - 1,
        silent=beat is not None and not tasks_seen and (beat.processed > 0 or beat.active > 0),
        up_since=up_since(newest, now),
    )


def _state(worker: Worker, now: float) -> str:
    if worker.online(now):
        return "online"
    return "offline" if worker.said_goodbye else "lost"
