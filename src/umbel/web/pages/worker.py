"""One worker: what the store knows of it at once; what it says itself comes by a second request (see `inspect`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from umbel.access.identity import Identity
from umbel.model.query import Compare, Field, Op, Page
from umbel.model.task import State, Summary
from umbel.model.worker import Worker
from umbel.web.deps import Deps, get_deps, identity_of
from umbel.web.pages.deeds import controllable
from umbel.web.pages.slots import Slots, slots
from umbel.web.pages.workers import Row, row_of
from umbel.web.render import page

router = APIRouter()

#: Tasks that the figures are of, and those that are listed.
RECENT: Final = 200
LISTED: Final = 15
#: Names and processes that are listed.
NAMES: Final = 8
PROCESSES: Final = 10
#: Seconds after which the tasks found so far are shown.
SOON: Final = 0.5


@dataclass(frozen=True, slots=True)
class Named:
    """The worker's newest tasks of one name."""

    name: str
    count: int
    failed: int
    #: Seconds; None where none has ended.
    run_median: float | None


@dataclass(frozen=True, slots=True)
class Context:
    """What the template shows."""

    hostname: str
    #: None where the store knows nothing of it.
    row: Row | None
    processes: Sequence[Worker]
    #: Of its newest tasks: how many they are, ended badly, and their runs in seconds.
    recent: int
    failed: int
    run_median: float | None
    run_longest: float | None
    #: None where nothing ran lately.
    slots: Slots | None
    names: Sequence[Named]
    latest: Sequence[Summary]
    #: Whether it can be asked, and changed.
    askable: bool
    controllable: bool


@router.get("/workers/{hostname:path}", response_class=HTMLResponse)
def show(request: Request, hostname: str, deps: Annotated[Deps, Depends(get_deps)]) -> HTMLResponse:
    """The page; a name that no worker is known by is 404, and can be asked all the same."""
    context = load(deps, hostname, identity_of(request))
    return page(request, "worker", context, 200 if context.row else 404)


def load(deps: Deps, hostname: str, who: Identity) -> Context:
    """Everything that the page shows at once, read from the store."""
    now = deps.clock.now()
    processes = [worker for worker in deps.reader.workers() if worker.hostname == hostname]
    own = Compare(Field.WORKER, Op.EQ, hostname)
    recent = deps.reader.tasks(own, Page(RECENT, within=SOON)).items
    runs = _runs(recent)
    row = row_of(processes, now) if processes else None
    return Context(
        hostname=hostname,
        row=row,
        processes=sorted(processes, key=lambda worker: -worker.seen_at)[:PROCESSES],
        recent=len(recent),
        failed=sum(task.state is State.FAILURE for task in recent),
        run_median=_median(runs),
        run_longest=max(runs, default=None),
        slots=slots(deps.reader, hostname, processes, now),
        names=_names(recent),
        latest=recent[:LISTED],
        askable=bool(deps.settings.broker),
        controllable=row is not None and controllable(deps, who),
    )


def _names(recent: Sequence[Summary]) -> list[Named]:
    by_name = Counter(task.name for task in recent)
    return [_named(name, [task for task in recent if task.name == name]) for name, _ in by_name.most_common(NAMES)]


def _named(name: str, tasks: Sequence[Summary]) -> Named:
    failed = sum(task.state is State.FAILURE for task in tasks)
    return Named(name, len(tasks), failed, _median(_runs(tasks)))


def _runs(tasks: Sequence[Summary]) -> list[float]:
    return sorted(task.run_seconds for task in tasks if task.run_seconds is not None)


def _median(ordered: Sequence[float]) -> float | None:
    return ordered[len(ordered) // 2] if ordered else None
