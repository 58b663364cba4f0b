"""The usual tasks of a batch by what they have in common: what is worked out once for many costs each of them little.

A task is *usual* in a batch that brings all of it: sent, received, started and succeeded within a minute, in order, by
one worker process, and nothing special about it. Usual tasks that are *alike* differ in nothing but ids, times and texts,
so that counters, rollups and rows take what they share from one place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from umbel.model.event import TaskSucceeded
from umbel.model.latency import bucket, buckets
from umbel.model.task import queue_of

#: (name, worker, pid, client, queue, exchange, routing key, minute), as the events have them.
_Shared = tuple[str, str, int | None, str, str | None, str | None, str | None, int]


class Alike:
    """Usual tasks of one batch that share all of this."""

    __slots__ = ("minute", "name", "pid", "queue", "route", "run_buckets", "runs", "wait_buckets", "waits", "worker")

    def __init__(self, shared: _Shared) -> None:
        self.name, self.worker, self.pid, client, queue, exchange, routing_key, self.minute = shared
        #: Client, queue, exchange and routing key, "" where absent.
        self.route: Final = (client, queue or "", exchange or "", routing_key or "")
        #: The queue that the route leads to, "" if that is not known.
        self.queue: Final = queue_of(*self.route[1:])
        #: Of each of the tasks how long it waited and ran: seconds, and the buckets of these (see `latency.py`).
        self.waits: list[float] = []
        self.runs: list[float] = []
        self.wait_buckets: Sequence[int] = ()
        self.run_buckets: Sequence[int] = ()

    def without(self, left_out: Sequence[list[Any]]) -> tuple[Sequence[int], Sequence[int]]:
        """The buckets of waits and of runs of all these tasks but some, which are given by their events."""
        if not left_out:
            return self.wait_buckets, self.run_buckets
        waits, runs = list(self.wait_buckets), list(self.run_buckets)
        for sent, _, started, ended in left_out:
            waits.remove(bucket(started.timestamp - sent.timestamp))
            runs.remove(bucket(ended.runtime))
        return waits, runs


def usual_tasks(parts: Mapping[str, Any]) -> dict[str, Alike]:
    """The usual ones of a batch's tasks (lists are plain ones, see `gather.py`), each with those that it is like."""
    groups: dict[_Shared, Alike] = {}
    found: dict[str, Alike] = {}
    for id_, plain in parts.items():
        if type(plain) is not list:
            continue
        sent, received, started, ended = plain
        if type(ended) is not TaskSucceeded or started is None or received is None or sent is None:
            continue
        worker, pid, run = received.hostname, received.pid, ended.runtime
        sent_at, started_at, ended_at = sent.timestamp, started.timestamp, ended.timestamp
        minute = int(sent_at) // 60
        if (
            not run
            or not received.name
            or received.root_id != id_
            or received.parent_id
            or received.eta
            or received.expires
            or received.retries
            or sent.retries
            or not sent_at <= received.timestamp <= started_at <= ended_at
            or int(ended_at) // 60 != minute
            or started.pid != pid
            or ended.pid != pid
            or started.hostname != worker
            or ended.hostname != worker
        ):
            continue
        key = (received.name, worker, pid, sent.hostname, sent.queue, sent.exchange, sent.routing_key, minute)
        alike = groups.get(key)
        if alike is None:
            alike = groups[key] = Alike(key)
        found[id_] = alike
        alike.waits.append(started_at - sent_at)
        alike.runs.append(run)
    for alike in groups.values():
        alike.wait_buckets, alike.run_buckets = buckets(alike.waits), buckets(alike.runs)
    return found
