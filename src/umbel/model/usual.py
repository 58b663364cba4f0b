"""The usual tasks of a batch by what they have in common: what is worked out once for many costs each of them little.

A task is *usual* in a batch that brings all of it: received, started and succeeded within a minute, in order, by one
worker process, sent before or not seen being sent, and nothing special about it. Usual tasks that are *alike* differ in
nothing but ids, times and texts: counters, rollups and rows take what they share from one place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from umbel.model.event import TaskSucceeded
from umbel.model.latency import buckets
from umbel.model.task import queue_of

#: Client, queue, exchange and routing key, as a `task-sent` has them.
_Way = tuple[str, str | None, str | None, str | None]
#: (name, worker, pid, way, minute); None for the way of tasks that nobody saw being sent.
_Shared = tuple[str, str, int | None, _Way | None, int]


class Alike:
    """Usual tasks of one batch that share all of this."""

    __slots__ = (
        "_shared",
        "minute",
        "name",
        "pid",
        "queue",
        "route",
        "run_buckets",
        "runs",
        "wait_buckets",
        "waits",
        "worker",
    )

    def __init__(self, shared: _Shared) -> None:
        self._shared = shared
        self.name, self.worker, self.pid, way, self.minute = shared
        #: Client, queue, exchange and routing key, "" where absent; None for tasks that nobody saw being sent.
        self.route: Final = None if way is None else (way[0], way[1] or "", way[2] or "", way[3] or "")
        #: The queue that the route leads to, "" if that is not known.
        self.queue: Final = "" if self.route is None else queue_of(*self.route[1:])
        #: Of each of the tasks how long it waited and ran: seconds, and the buckets of these (see `latency.py`).
        self.waits: list[float] = []
        self.runs: list[float] = []
        self.wait_buckets: Sequence[int] = ()
        self.run_buckets: Sequence[int] = ()

    def measured(self) -> Alike:
        """Itself, with the buckets of its waits and runs."""
        self.wait_buckets, self.run_buckets = buckets(self.waits), buckets(self.runs)
        return self

    def without(self, left_out: Sequence[list[Any]]) -> Alike:
        """These tasks but for some, which are given by their events."""
        if not left_out:
            return self
        rest = Alike(self._shared)
        rest.waits, rest.runs = list(self.waits), list(self.runs)
        for sent, received, started, ended in left_out:
            rest.waits.remove(started.timestamp - (sent or received).timestamp)
            rest.runs.remove(ended.runtime)
        return rest.measured()


def usual_tasks(parts: Mapping[str, Any]) -> dict[str, Alike]:
    """The usual ones of a batch's tasks (lists are plain ones, see `gather.py`), each with those that it is like."""
    groups: dict[_Shared, Alike] = {}
    found: dict[str, Alike] = {}
    for id_, plain in parts.items():
        if type(plain) is not list:
            continue
        sent, received, started, ended = plain
        if type(ended) is not TaskSucceeded or started is None or received is None:
            continue
        worker, pid, run = received.hostname, received.pid, ended.runtime
        received_at, started_at, ended_at = received.timestamp, started.timestamp, ended.timestamp
        first, way = received_at, None
        if sent is not None:
            first, way = sent.timestamp, (sent.hostname, sent.queue, sent.exchange, sent.routing_key)
        minute = int(first) // 60
        if (
            not run
            or not received.name
            or received.root_id != id_
            or received.parent_id
            or received.eta
            or received.expires
            or received.retries
            or (sent is not None and sent.retries)
            or not first <= received_at <= started_at <= ended_at
            or int(ended_at) // 60 != minute
            or started.pid != pid
            or ended.pid != pid
            or started.hostname != worker
            or ended.hostname != worker
        ):
            continue
        key = (received.name, worker, pid, way, minute)
        alike = groups.get(key)
        if alike is None:
            alike = groups[key] = Alike(key)
        found[id_] = alike
        alike.waits.append(started_at - first)
        alike.runs.append(run)
    for alike in groups.values():
        alike.measured()
    return found
