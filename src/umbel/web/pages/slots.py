"""What a worker's slots ran over time: its runs packed into as few lanes as they need.

Events name the worker's main process and not the one of its pool that ran a task, so a lane is a place in the pool and
no process.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from umbel.model.query import And, Compare, Field, Op, Or, Page
from umbel.model.task import State, Summary
from umbel.model.worker import Worker
from umbel.stores.base import StoreReader
from umbel.web.pages.timeline import Axis, Bar

#: Runs that are drawn, the newest, and lanes.
RUNS: Final = 400
LANES: Final = 32
#: Seconds that are drawn, at least of a worker that is younger, and after which the runs found so far are shown.
LENGTH: Final = 900.0
SHORTEST: Final = 60.0
SOON: Final = 0.5


@dataclass(frozen=True, slots=True)
class Slot:
    """One run in its lane."""

    task: Summary
    bar: Bar


@dataclass(frozen=True, slots=True)
class Moment:
    """A process of the worker that began or said goodbye; `x` in percent of the axis, `at` UTC seconds."""

    x: float
    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Slots:
    """All lanes on the axis from `start` to `end` (UTC seconds)."""

    start: float
    end: float
    lanes: Sequence[Sequence[Slot]]
    moments: Sequence[Moment]
    #: Runs that found no lane.
    left_out: int
    #: Share of the lanes' time in which something ran, 0 to 1.
    busy: float


def slots(reader: StoreReader, hostname: str, processes: Sequence[Worker], now: float) -> Slots | None:
    """The runs of the last `LENGTH` seconds, fewer where there are very many; None where there are none."""
    since = now - LENGTH
    recent = Or((Compare(Field.FINISHED, Op.GE, since), Compare(Field.STATE, Op.EQ, State.STARTED.value)))
    page = reader.tasks(And((Compare(Field.WORKER, Op.EQ, hostname), recent)), Page(RUNS, within=SOON))
    alive = {worker.hostname for worker in processes if worker.online(now)}
    runs = [task for task in page.items if task.started_at is not None]
    # A worker that is gone runs nothing any more, whatever it began.
    runs = [task for task in runs if task.finished_at is not None or hostname in alive]
    if not runs:
        return None
    oldest = min(task.started_at or now for task in runs)
    if page.next is not None:
        # Before the oldest of them others ran that are not among these.
        return _packed(runs, max(since, oldest), now, processes)
    # Before it began it was not idle.
    begun = min([oldest, *(min(worker.online_at or inf, worker.first_seen_at) for worker in processes)])
    return _packed(runs, max(since, min(begun, now - SHORTEST)), now, processes)


def _packed(runs: Sequence[Summary], start: float, now: float, processes: Sequence[Worker]) -> Slots:
    axis = Axis(start, max(now, start + 1e-3))
    lanes: list[list[Slot]] = []
    free: list[tuple[float, int]] = []
    left_out, used = 0, 0.0
    for task in sorted(runs, key=lambda task: task.started_at or 0.0):
        begun = task.started_at or start
        end = min(now, max(begun, task.finished_at if task.finished_at is not None else now))
        if end < start:
            continue
        # The lane that was free first; clocks and the order of events leave a millisecond between two runs.
        number = heapq.heappop(free)[1] if free and free[0][0] <= begun + 1e-3 else len(lanes)
        if number == len(lanes):
            if number == LANES:
                left_out += 1
                continue
            lanes.append([])
        heapq.heappush(free, (end, number))
        used += end - max(begun, start)
        lanes[number].append(Slot(task, axis.bar("run", max(begun, start), end, task.state)))
    moments = [Moment(axis.percent(at), at, text) for at, text in _moments(processes) if start <= at <= now]
    return Slots(start, now, lanes, moments, left_out, used / (len(lanes) * (axis.end - axis.start)))


def _moments(processes: Sequence[Worker]) -> list[tuple[float, str]]:
    found = []
    for worker in processes:
        if worker.online_at:
            found.append((worker.online_at, f"process {worker.pid} began"))
        if worker.said_goodbye:
            found.append((worker.offline_at, f"process {worker.pid} said that it stops"))
    return sorted(found)


def up_since(worker: Worker, now: float) -> float | None:
    """Since when the process lives (UTC seconds), by its own word or since it was first seen; None where it is gone."""
    if not worker.online(now):
        return None
    return worker.online_at or worker.first_seen_at
