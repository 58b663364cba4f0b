"""A worker process as a join of registers, keyed by (hostname, pid): clock and counters restart with the process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from umbel.model.event import (
    AnyEvent,
    TaskCancelled,
    TaskFailed,
    TaskReceived,
    TaskRejected,
    TaskRetried,
    TaskRevoked,
    TaskStarted,
    TaskSucceeded,
    WorkerEvent,
    WorkerHeartbeat,
    WorkerOffline,
    WorkerOnline,
)

#: Seconds without any sign after which a worker counts as lost, whatever its heartbeat interval.
QUIET: Final = 10.0
#: Heartbeat intervals that may be missed.
MISSED: Final = 4.0


class Heartbeat(Struct, frozen=True, order=True, gc=False):
    """A worker's word about itself; `at` is its own clock, UTC seconds."""

    at: float
    #: Seconds between heartbeats.
    freq: float = 2.0
    #: Tasks running.
    active: int = 0
    #: Tasks started since the process began (exact).
    processed: int = 0
    loadavg: tuple[float, ...] = ()
    #: Lamport clock of the process.
    clock: int = 0


class Software(Struct, frozen=True, order=True, gc=False):
    """What a worker runs on; `at` is its own clock, UTC seconds."""

    at: float
    ident: str = ""
    version: str = ""
    system: str = ""


class Tally(Struct, frozen=True, order=True, gc=False):
    """How far a process's own count of started tasks was compared with its `task-started` seen (see `loss.py`)."""

    #: Lamport clock of the heartbeat that the next comparison begins from.
    clock: int
    #: Starts seen since, and the greatest clock among them.
    starts: int = 0
    latest: int = 0
    #: What that heartbeat counted; -1: begin anew with the next one.
    processed: int = -1
    #: The worker's own time, UTC seconds.
    at: float = 0.0


class Worker(Struct, gc=False):
    """The join of what was seen of one worker process; times are UTC seconds, 0 where never."""

    hostname: str
    pid: int
    #: The worker's own times.
    online_at: float = 0.0
    offline_at: float = 0.0
    heartbeat: Heartbeat | None = None
    software: Software | None = None
    #: When Umbel captured its first and latest event, by Umbel's clock.
    first_seen_at: float = float("inf")
    seen_at: float = 0.0
    #: When Umbel captured its latest task event; 0: it sends none.
    task_seen_at: float = 0.0
    tally: Tally | None = None

    @property
    def freq(self) -> float:
        """Seconds between heartbeats."""
        return self.heartbeat.freq if self.heartbeat else 2.0

    @property
    def said_goodbye(self) -> bool:
        """Whether the last that was heard of it is that it stops."""
        last = max(self.online_at, self.heartbeat.at if self.heartbeat else 0.0)
        return bool(self.offline_at) and self.offline_at >= last

    def online(self, now: float) -> bool:
        """Whether the process lives, as far as can be told at `now` (Umbel's clock)."""
        if self.said_goodbye:
            return False
        return now - self.seen_at <= max(QUIET, MISSED * self.freq)


WorkerKey = tuple[str, int]


#: Events of tasks that a worker's main process sends; publishers send the others, or a task's own code does.
_OF_TASKS: Final = frozenset(
    {
        TaskReceived,
        TaskStarted,
        TaskSucceeded,
        TaskFailed,
        TaskRetried,
        TaskRejected,
        TaskRevoked,
        TaskCancelled,
    }
)
_OF_WORKERS: Final = frozenset({WorkerOnline, WorkerHeartbeat, WorkerOffline})


def fold_workers(events: Iterable[AnyEvent], captured_at: float) -> dict[WorkerKey, Worker]:
    """One record for each worker process among `events`; publishers and custom events make none."""
    workers: dict[WorkerKey, Worker] = {}
    processes = set()
    for event in events:
        kind = type(event)
        if kind in _OF_WORKERS:
            _apply(_worker(workers, (event.hostname, event.pid or 0), captured_at), event)  # type: ignore[arg-type]
        elif kind in _OF_TASKS:
            processes.add((event.hostname, event.pid or 0))
    saw_tasks(processes, captured_at, workers)
    return workers


def saw_tasks(processes: Iterable[WorkerKey], captured_at: float, workers: dict[WorkerKey, Worker]) -> None:
    """Note in `workers` that events of tasks came from these processes."""
    for key in processes:
        _worker(workers, key, captured_at).task_seen_at = captured_at


def _worker(workers: dict[WorkerKey, Worker], key: WorkerKey, captured_at: float) -> Worker:
    worker = workers.get(key)
    if worker is None:
        worker = workers[key] = Worker(*key, first_seen_at=captured_at, seen_at=captured_at)
    return worker


def _apply(worker: Worker, event: WorkerEvent) -> None:
    if isinstance(event, WorkerOffline):
        worker.offline_at = max(worker.offline_at, event.timestamp)
    elif isinstance(event, WorkerOnline):
        worker.online_at = max(worker.online_at, event.timestamp)
    # A forced heartbeat knows no counters and a wrong interval.
    if event.active is not None and event.processed is not None:
        beat = Heartbeat(
            event.timestamp,
            event.freq or 2.0,
            event.active,
            event.processed,
            event.loadavg or (),
            event.clock or 0,
        )
        if worker.heartbeat is None or beat > worker.heartbeat:
            worker.heartbeat = beat
    if event.sw_ver:
        software = Software(event.timestamp, event.sw_ident or "", event.sw_ver, event.sw_sys or "")
        if worker.software is None or software > worker.software:
            worker.software = software


def shown(workers: Sequence[Worker], now: float, purge: float | None) -> list[Worker]:
    """Without those that nothing was seen of for `purge` seconds, in any process of their name; None: all of them."""
    if purge is None:
        return list(workers)
    seen: dict[str, float] = {}
    for worker in workers:
        at = now if worker.online(now) else worker.seen_at
        seen[worker.hostname] = max(at, seen.get(worker.hostname, 0.0))
    return [worker for worker in workers if now - seen[worker.hostname] < purge]


def join_workers(into: Worker, other: Worker) -> None:
    """Merge `other` into `into` (same key)."""
    into.online_at = max(into.online_at, other.online_at)
    into.offline_at = max(into.offline_at, other.offline_at)
    into.first_seen_at = min(into.first_seen_at, other.first_seen_at)
    into.seen_at = max(into.seen_at, other.seen_at)
    into.task_seen_at = max(into.task_seen_at, other.task_seen_at)
    if other.heartbeat is not None and (into.heartbeat is None or other.heartbeat > into.heartbeat):
        into.heartbeat = other.heartbeat
    if other.software is not None and (into.software is None or other.software > into.software):
        into.software = other.software
    if other.tally is not None and (into.tally is None or other.tally > into.tally):
        into.tally = other.tally
