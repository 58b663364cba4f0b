"""Counters that only grow, counted from events as they come: what Prometheus wants, and rollups cannot be.

A rollup loses what retention drops and corrects what a late event changes, and Prometheus takes any decrease for a
restart. So these are counted once, for good, and kept by the store with the books: in the transaction that commits the
position, so that they neither lose nor repeat what the books do not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

from umbel.model.event import TaskSucceeded
from umbel.model.gather import Gathered, Plain
from umbel.model.latency import BUCKETS, bucket
from umbel.model.merge import (
    Cancelled,
    Failed,
    Received,
    Rejected,
    Retried,
    Revoked,
    Sent,
    Started,
    Succeeded,
    Task,
)
from umbel.model.task import exception_type, queue_of, runs, wait_seconds
from umbel.model.usual import Alike

#: Open tasks remembered for the name and the times that their later events do not carry; the oldest are forgotten, and
#: what comes of those is counted without a name.
OPEN: Final = 50_000


class Meter(IntEnum):
    """What is counted; the number is part of the stored form."""

    #: By task, worker ("" for publishers, which are no workers) and type of event.
    EVENTS = 0
    #: Run times, by task, worker and latency bucket; the sum in seconds.
    RUN = 1
    #: Waits, by queue, nothing, and latency bucket; the sum in seconds.
    WAIT = 2
    #: Failures, by task and class of exception.
    FAILURES = 3
    #: Seconds from received to started of the latest start, by task and worker; 0 once one has ended. Not added up.
    PREFETCH = 4


#: A kind with its first two labels.
Pair = tuple[int, str, str]
#: Count and sum by the third label.
Counters = dict[str, tuple[int, float]]
#: What is remembered of a task that has not ended: name, ETA, queue, when it was sent and received.
_Open = tuple[str, str, str, float | None, float | None]
_UNKNOWN: Final[_Open] = ("", "", "", None, None)

_EVENTS, _RUN, _WAIT, _FAILURES, _PREFETCH = (int(kind) for kind in Meter)
_TYPES: Final = ("sent", "received", "started", "succeeded", "failed", "retried", "rejected", "revoked", "cancelled")
_LABELS: Final = tuple(f"task-{kind}" for kind in _TYPES)
_SENT, _RECEIVED, _STARTED, _SUCCEEDED, _FAILED = range(5)
#: The third label of a latency bucket.
_NUMBERS: Final = tuple(map(str, range(BUCKETS)))
_PLACE: Final[dict[type, int]] = {
    Sent: 0,
    Received: 1,
    Started: 2,
    Succeeded: 3,
    Failed: 4,
    Retried: 5,
    Rejected: 6,
    Revoked: 7,
    Cancelled: 8,
}


class Metering:
    """Counts batches; remembers open tasks within a bound."""

    def __init__(self, capacity: int = OPEN) -> None:
        self._capacity = capacity
        self._open: dict[str, _Open] = {}

    def count(self, tasks: Gathered) -> Mapping[Pair, Counters]:
        """What a batch adds."""
        batch, usual = _Batch(), tasks.usual
        open_ = self._open
        # Of these more is known than their events tell.
        told = open_.keys() & usual.keys()
        left_out: dict[Alike, list[Plain]] = {}
        for id_ in told:
            left_out.setdefault(usual[id_], []).append(tasks.parts[id_])  # type: ignore[arg-type]  # usual ones are plain
        for alike in tasks.alike:
            batch.alike(alike.without(left_out.get(alike, ())))
        for id_, part in tasks.parts.items():
            if id_ in usual and id_ not in told:
                continue
            known = open_.pop(id_, _UNKNOWN)
            after = batch.plain(part, known) if type(part) is list else batch.record(part, known)  # type: ignore[arg-type] # the other kind is a Task
            if after is not None:
                open_[id_] = after
        while len(open_) > self._capacity:
            del open_[next(iter(open_))]
        return batch.made()


class _Row:
    """What a batch counts for one task and worker."""

    __slots__ = ("events", "latest", "run_seconds", "runs")

    def __init__(self) -> None:
        #: In the order of `_TYPES`.
        self.events = [0] * len(_TYPES)
        #: Run times: their buckets, and their sum in seconds.
        self.runs: list[int] = []
        self.run_seconds = 0.0
        #: The latest prefetch time, seconds; None: nothing was told of it.
        self.latest: float | None = None

    def ran(self, seconds: float) -> None:
        self.runs.append(bucket(seconds))
        self.run_seconds += seconds


class _Waits:
    """What a batch counts for one queue."""

    __slots__ = ("numbers", "seconds")

    def __init__(self) -> None:
        #: Their buckets, and their sum in seconds.
        self.numbers: list[int] = []
        self.seconds = 0.0


class _Batch:
    """The sums of one batch."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], _Row] = {}
        self._waits: dict[str, _Waits] = {}
        self._failures: Counter[tuple[str, str]] = Counter()

    def alike(self, alike: Alike) -> None:
        """Take in usual tasks that are alike; as `plain` does with each, for less."""
        count = len(alike.runs)
        if not count:
            return
        row = self._row(alike.name, alike.worker)
        for place in (_RECEIVED, _STARTED, _SUCCEEDED):
            row.events[place] += count
        if alike.route is not None:
            self._row(alike.name, "").events[_SENT] += count
        row.latest = 0.0
        row.runs += alike.run_buckets
        row.run_seconds += sum(alike.runs)
        if alike.queue:
            waits = self._waits_of(alike.queue)
            waits.numbers += alike.wait_buckets
            waits.seconds += sum(alike.waits)

    def plain(self, plain: Plain, known: _Open) -> _Open | None:
        """Take in a task with at most one event of each usual kind; what is to be remembered of it."""
        sent, received, started, ended = plain
        name, eta, queue, sent_at, received_at = known
        if sent is not None:
            name, eta, sent_at = sent.name or name, sent.eta or eta, sent.timestamp
            queue = sent.queue or queue_of("", sent.exchange or "", sent.routing_key or "")
        worker, row = "", None
        if received is not None:
            name, eta, received_at = received.name or name, received.eta or "", received.timestamp
            worker = received.hostname
            row = self._row(name, worker)
            row.events[_RECEIVED] += 1
        if sent is not None:
            self._row(name, "").events[_SENT] += 1
        if started is not None:
            # All events of a run usually come from one worker.
            if row is None or started.hostname != worker:
                worker = started.hostname
                row = self._row(name, worker)
            row.events[_STARTED] += 1
            self._started(row, started.timestamp, (name, eta, queue, sent_at, received_at))
        if ended is None:
            return name, eta, queue, sent_at, received_at
        if row is None or ended.hostname != worker:
            row = self._row(name, ended.hostname)
        row.latest = 0.0
        if type(ended) is TaskSucceeded:
            row.events[_SUCCEEDED] += 1
            if ended.runtime:
                row.ran(ended.runtime)
        else:
            row.events[_FAILED] += 1
            self._failed(name, ended.exception or "")
        return None

    def record(self, task: Task, known: _Open) -> _Open | None:
        """Take in any other task of the batch; what is to be remembered of it."""
        name, eta, queue, sent_at, received_at = known
        described, sent = task.description, task.sent
        if described is not None:
            name, eta = described.name or name, described.eta
        if sent is not None:
            sent_at, queue = sent.at, queue_of(sent.queue, sent.exchange, sent.routing_key) or queue
        if task.received is not None:
            received_at = task.received.at
        open_ = (name, eta, queue, sent_at, received_at)
        for run in runs(task):
            worker = "" if isinstance(run, Sent) else run.worker
            row = self._row(name, worker)
            row.events[_PLACE[type(run)]] += 1
            if isinstance(run, Started):
                self._started(row, run.at, open_)
            elif isinstance(run, Succeeded):
                row.latest = 0.0
                if run.runtime > 0:
                    row.ran(run.runtime)
            elif isinstance(run, Failed):
                row.latest = 0.0
                self._failed(name, run.exception)
        return open_ if task.succeeded is None and task.failed is None and task.revoked is None else None

    def _row(self, name: str, worker: str) -> _Row:
        key = (name, worker)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = _Row()
        return row

    def _started(self, row: _Row, at: float, known: _Open) -> None:
        _, eta, queue, sent_at, received_at = known
        if received_at is not None and not eta:
            row.latest = at - received_at if at > received_at else 0.0
        if queue:
            wait = wait_seconds(sent_at, received_at, at, eta)
            if wait is not None:
                waits = self._waits_of(queue)
                waits.numbers.append(bucket(wait))
                waits.seconds += wait

    def _waits_of(self, queue: str) -> _Waits:
        waits = self._waits.get(queue)
        if waits is None:
            waits = self._waits[queue] = _Waits()
        return waits

    def _failed(self, name: str, exception: str) -> None:
        self._failures[name, exception_type(exception) or "unknown"] += 1

    def made(self) -> dict[Pair, Counters]:
        """All that was counted."""
        found: dict[Pair, Counters] = {}
        for (name, worker), row in self._rows.items():
            events = {label: (count, 0.0) for label, count in zip(_LABELS, row.events, strict=True) if count}
            if events:
                found[_EVENTS, name, worker] = events
            if row.runs:
                found[_RUN, name, worker] = _by_bucket(row.runs, row.run_seconds)
            if row.latest is not None:
                found[_PREFETCH, name, worker] = {"": (0, row.latest)}
        for queue, waits in self._waits.items():
            found[_WAIT, queue, ""] = _by_bucket(waits.numbers, waits.seconds)
        for (name, exception), count in self._failures.items():
            found[_FAILURES, name, exception] = {"": (count, 0.0)}
        return found


def _by_bucket(numbers: list[int], seconds: float) -> Counters:
    """Durations by latency bucket; their sum stands with one of the buckets, as only all of it is ever told."""
    counts = Counter(numbers)
    counters = {_NUMBERS[number]: (count, 0.0) for number, count in counts.items()}
    label = _NUMBERS[numbers[0]]
    counters[label] = (counters[label][0], seconds)
    return counters


def extend(kind: int, known: Counters, added: Mapping[str, tuple[int, float]]) -> None:
    """Add to the counters of a pair what was counted since."""
    for label, (count, seconds) in added.items():
        before = known.get(label)
        if before is None or kind == _PREFETCH:
            known[label] = (count, seconds)
        else:
            known[label] = (before[0] + count, before[1] + seconds)


@dataclass(slots=True)
class Histogram:
    """Counts by latency bucket (see `latency.py`), and the exact sum in seconds."""

    buckets: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def count(self) -> int:
        return sum(self.buckets.values())


@dataclass(slots=True)
class Meters:
    """Everything counted so far."""

    #: By (task, worker), by type of event.
    events: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)
    #: By (task, worker).
    runs: dict[tuple[str, str], Histogram] = field(default_factory=dict)
    #: By queue.
    waits: dict[str, Histogram] = field(default_factory=dict)
    #: By (task, class of exception).
    failures: dict[tuple[str, str], int] = field(default_factory=dict)
    #: By (task, worker), seconds.
    prefetch: dict[tuple[str, str], float] = field(default_factory=dict)

    def add(self, pair: Pair, label: str, count: int, seconds: float) -> None:
        """Take in a counter of the store."""
        kind, a, b = pair
        if kind == _EVENTS:
            self.events.setdefault((a, b), {})[label] = count
        elif kind == _RUN:
            _fill(self.runs.setdefault((a, b), Histogram()), label, count, seconds)
        elif kind == _WAIT:
            _fill(self.waits.setdefault(a, Histogram()), label, count, seconds)
        elif kind == _FAILURES:
            self.failures[a, b] = count
        elif kind == _PREFETCH:
            self.prefetch[a, b] = seconds


def _fill(histogram: Histogram, number: str, count: int, seconds: float) -> None:
    histogram.buckets[int(number)] = count
    histogram.seconds += seconds


def meters_of(rows: Iterable[tuple[Any, ...]]) -> Meters:
    """From rows of kind, three labels, count and sum."""
    meters = Meters()
    for kind, a, b, c, count, seconds in rows:
        meters.add((kind, a, b), c, count, seconds)
    return meters
