"""How many events were lost before capture, reckoned from what workers count themselves.

A heartbeat's `processed` equals the number of `task-started` events that its process had emitted before it, told apart
by the Lamport clock of (hostname, pid). What is missing between two heartbeats was lost, exactly; the other events of
those runs are reckoned to have gone with it. A span is judged one heartbeat late, as buffered task events may trail.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import compress
from typing import Final, NamedTuple

from umbel.model.event import AnyEvent, EventClass, TaskStarted, WorkerHeartbeat, WorkerOnline
from umbel.model.ledger import LedgerEntry, Reason
from umbel.model.worker import Tally, Worker, WorkerKey

#: Worker processes watched at once; the one heard of least recently is forgotten first.
WORKERS: Final = 5_000
#: Starts remembered of one process between heartbeats; beyond it the span is not judged.
STARTS: Final = 50_000
#: Events that one run of a task makes at least: received, started, its end.
EVENTS_OF_A_RUN: Final = 3


#: The events that tell of starts, and of their number.
_TELLING: Final = frozenset({TaskStarted, WorkerHeartbeat, WorkerOnline})


class _Beat(NamedTuple):
    clock: int
    processed: int
    #: The worker's own time, UTC seconds.
    at: float


class _Watched:
    """One worker process: the heartbeat it is judged from, the one to be judged next, and starts since."""

    __slots__ = ("base", "earlier", "floor", "next", "starts")

    def __init__(self) -> None:
        self.base: _Beat | None = None
        self.next: _Beat | None = None
        #: Clocks of starts seen since `base`.
        self.starts: set[int] = set()
        #: Starts since `base` that an earlier life of the collector saw, and the clock that they reach up to.
        self.earlier = 0
        self.floor = 0

    def start(self, clock: int) -> None:
        """Take a `task-started`."""
        if clock <= self.floor or (self.base is not None and clock <= self.base.clock):
            return
        self.starts.add(clock)
        if len(self.starts) > STARTS:
            self.forget()

    def beat(self, beat: _Beat) -> tuple[_Beat, _Beat, int] | None:
        """Take a heartbeat; the span judged, if one is, with the number of runs lost in it (0 or more)."""
        latest = self.next or self.base
        if latest is not None and beat.clock <= max(latest.clock, self.floor):
            return None
        if self.base is None:
            self.base = beat
            self.starts = {clock for clock in self.starts if clock > beat.clock}
            return None
        if self.next is None:
            self.next = beat
            return None
        begin, end = self.base, self.next
        seen = self.earlier + sum(clock < end.clock for clock in self.starts)
        self.starts = {clock for clock in self.starts if clock > end.clock}
        self.base, self.next, self.earlier = end, beat, 0
        return begin, end, max(0, end.processed - begin.processed - seen)

    def forget(self) -> None:
        """Begin anew with the next heartbeat."""
        # One more than what was stored, or a restart would go on from there.
        self.floor = self._reach() + 1
        self.base = self.next = None
        self.starts.clear()
        self.earlier = 0

    def tally(self) -> Tally:
        """What a later life needs to go on; grows with every event in the order of tallies."""
        if self.base is None:
            return Tally(self._reach())
        return Tally(self.base.clock, self.earlier + len(self.starts), self._reach(), self.base.processed, self.base.at)

    def restore(self, tally: Tally) -> None:
        """Go on from what an earlier life of the collector left."""
        self.floor = max(tally.clock, tally.latest)
        if tally.processed >= 0:
            self.base = _Beat(tally.clock, tally.processed, tally.at)
            self.earlier = tally.starts

    def _reach(self) -> int:
        """The greatest clock that was looked at of starts, or judged from."""
        return max(self.floor, self.base.clock if self.base else 0, max(self.starts, default=0))


class LossWatch:
    """Follows every worker process; bounded in processes and in starts of each."""

    def __init__(self) -> None:
        self._watched: OrderedDict[WorkerKey, _Watched] = OrderedDict()

    def restore(self, workers: Sequence[Worker]) -> None:
        """Go on from the tallies that were stored with these workers, the most recently seen first."""
        for worker in reversed(workers[:WORKERS]):
            if worker.tally is not None:
                self._watch((worker.hostname, worker.pid)).restore(worker.tally)

    def see(self, events: Sequence[AnyEvent]) -> list[LedgerEntry]:
        """Take a batch; entries for what is now known to have been lost, estimated, by worker and span."""
        found: list[LedgerEntry] = []
        watched = self._watched.get
        for event in compress(events, map(_TELLING.__contains__, map(type, events))):
            if type(event) is TaskStarted:
                if event.clock is not None:
                    # Only from its first start on are a process's task events known to be sent.
                    key = (event.hostname, event.pid or 0)
                    (watched(key) or self._watch(key)).start(event.clock)
            else:
                judged = self._beat(event)
                if judged is not None:
                    found.append(judged)
        return found

    def tally(self, key: WorkerKey) -> Tally | None:
        """What to store with a worker, so that a restart of the collector forgets nothing."""
        watched = self._watched.get(key)
        return watched.tally() if watched is not None else None

    def forget(self) -> None:
        """Begin anew: what was discarded after capture must not be reckoned as lost before it."""
        for watched in self._watched.values():
            watched.forget()

    def _watch(self, key: WorkerKey) -> _Watched:
        watched = self._watched.get(key)
        if watched is None:
            watched = self._watched[key] = _Watched()
            if len(self._watched) > WORKERS:
                self._watched.popitem(last=False)
        return watched

    def _beat(self, event: AnyEvent) -> LedgerEntry | None:
        assert isinstance(event, WorkerHeartbeat | WorkerOnline)  # noqa: S101 - for the type checker, told by `see`
        key = (event.hostname, event.pid or 0)
        watched = self._watched.get(key)
        if watched is None or event.processed is None or event.clock is None:
            return None
        self._watched.move_to_end(key)
        judged = watched.beat(_Beat(event.clock, event.processed, event.timestamp))
        if judged is None or not judged[2]:
            return None
        begin, end, lost = judged
        return LedgerEntry(
            Reason.NOT_SENT,
            EventClass.UNKNOWN,
            begin.at,
            max(begin.at, end.at),
            lost * EVENTS_OF_A_RUN,
            estimated=True,
            worker=event.hostname,
            detail="runs that the worker counted and no event told of",
        )
