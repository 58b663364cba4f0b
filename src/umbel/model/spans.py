"""A task as spans of a trace: itself, and each attempt with its wait apart from its run.

All ids follow from the ids of tasks, so whoever makes the spans, and however often, they are the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from uuid import UUID

from umbel.model.merge import Task
from umbel.model.task import Attempt, State, Summary, attempts, epoch, exception_type, summarize

#: Characters kept of an exception and of a traceback.
MESSAGE: Final = 2_000
STACK: Final = 16_000
#: A share is compared in steps of 2**-56.
_STEPS: Final = 1 << 56

Value = str | int | float | bool


class Kind(StrEnum):
    """OpenTelemetry's kinds of span, those that are used."""

    INTERNAL = "internal"
    SERVER = "server"
    CONSUMER = "consumer"


@dataclass(frozen=True, slots=True)
class Happening:
    """Something at one moment of a span (OpenTelemetry calls it an event); `at` in UTC seconds."""

    name: str
    at: float
    attributes: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Span:
    """One span; times in UTC seconds, ids as bytes: 16 of the trace, 8 of a span."""

    trace_id: bytes
    span_id: bytes
    #: None: nothing is above it.
    parent_id: bytes | None
    name: str
    kind: Kind
    begin: float
    end: float
    attributes: Mapping[str, Value] = field(default_factory=dict)
    #: Why it failed, None where it did not.
    failure: str | None = None
    #: Spans of the same trace.
    links: Sequence[bytes] = ()
    happenings: Sequence[Happening] = ()


@dataclass(frozen=True, slots=True)
class Sampler:
    """Which tasks are sent: whole workflows by share, and some whatever the share."""

    #: Share of workflows, 0 to 1.
    share: float
    failures: bool = True
    #: Seconds of wait or run from which a task is slow; None: none is.
    slow: float | None = None

    def reason(self, task: Summary) -> str:
        """Why the task is sent: share, failure or slow; "" if it is not."""
        digest = hashlib.sha256(_root(task).encode(errors="surrogatepass")).digest()
        if int.from_bytes(digest[:7]) < self.share * _STEPS:
            return "share"
        if self.failures and task.state is State.FAILURE:
            return "failure"
        longest = max(task.wait_seconds or 0.0, task.run_seconds or 0.0)
        return "slow" if self.slow is not None and longest >= self.slow else ""


def _root(task: Summary) -> str:
    return task.root_id or task.id


def trace_id(root_id: str) -> bytes:
    """The trace of a workflow: the root's own id where that is a UUID, as Celery's are, so that one finds the other."""
    try:
        found = UUID(root_id).bytes
    except ValueError:
        found = b""
    return found if any(found) else _digest(root_id)[:16]


def span_id(task_id: str, what: str = "") -> bytes:
    """The span of a task, or of `what` is a part of it."""
    return _digest(f"{task_id}\0{what}")[:8]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def spans_of(task: Task, reason: str = "share") -> list[Span]:
    """The task's spans, its own first; none where no time of it is known. `reason` is why it is sent."""
    summary, runs = summarize(task), attempts(task)
    moments = [at for at in (summary.sent_at, *_moments(runs)) if at is not None]
    if not moments:
        return []
    trace, own = trace_id(_root(summary)), span_id(summary.id)
    common = _common(summary)
    parts = [
        span
        for number, (run, ready) in enumerate(_with_ready(task, summary, runs), 1)
        for span in _attempt(_Place(trace, own, summary, common, number), run, ready)
    ]
    told: dict[str, Value] = {
        "celery.state": summary.state.value,
        "celery.retries": summary.retries,
        "celery.worker": summary.worker,
        "umbel.kept": reason,
    }
    failed = summary.state is State.FAILURE
    if failed:
        told["error.type"] = summary.exception_type or "unknown"
    return [
        Span(
            trace,
            own,
            _parent(summary),
            summary.name or "unknown task",
            Kind.INTERNAL,
            min(moments),
            max(moments),
            common | told,
            failure=summary.exception[:MESSAGE] if failed else None,
        ),
        *parts,
    ]


def _moments(runs: Sequence[Attempt]) -> Iterator[float | None]:
    for run in runs:
        yield from (run.received_at, run.started_at, run.finished_at)


def _parent(task: Summary) -> bytes | None:
    # A retry's events name the task itself as its parent.
    if task.parent_id and task.parent_id != task.id:
        return span_id(task.parent_id)
    return span_id(task.root_id) if task.root_id and task.root_id != task.id else None


def _common(task: Summary) -> dict[str, Value]:
    """What every span of the task says, by OpenTelemetry's conventions for messaging where they have a name for it."""
    known: dict[str, Value] = {
        "messaging.system": "celery",
        "messaging.message.id": task.id,
        "messaging.message.conversation_id": _root(task),
        "celery.task.name": task.name,
    }
    if task.queue:
        known["messaging.destination.name"] = task.queue
    return known


def _with_ready(task: Task, summary: Summary, runs: Sequence[Attempt]) -> Iterator[tuple[Attempt, float | None]]:
    """Each attempt with the moment from which it could have run, as far as that is known."""
    eta = epoch(task.description.eta) if task.description else None
    before: float | None = summary.sent_at
    for run in runs:
        begun = run.started_at if run.started_at is not None else run.finished_at
        known = [at for at in (before, run.received_at) if at is not None and (begun is None or at <= begun)]
        ready = min(known, default=None)
        if ready is not None and eta is not None and begun is not None and ready < eta <= begun:
            ready = eta
        yield run, ready
        before = run.finished_at


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an attempt's spans hang."""

    trace: bytes
    parent: bytes
    task: Summary
    common: Mapping[str, Value]
    number: int

    def id(self, what: str, number: int | None = None) -> bytes:
        return span_id(self.task.id, f"{what} {self.number if number is None else number}")


def _attempt(place: _Place, run: Attempt, ready: float | None) -> Iterator[Span]:
    task = place.task
    begun, ended = run.started_at, run.finished_at
    if begun is None and ended is not None and run.state is State.SUCCESS and task.run_seconds is not None:
        begun = ended - task.run_seconds
    attributes: dict[str, Value] = {
        **place.common,
        "celery.attempt": place.number,
        "celery.state": run.state.value,
        "messaging.client.id": run.worker,
        "process.pid": run.pid,
    }
    until = begun if begun is not None else ended
    if ready is not None and until is not None:
        name = f"wait {task.queue}" if task.queue else "wait"
        yield Span(place.trace, place.id("wait"), place.parent, name, Kind.INTERNAL, ready, until, attributes)
    if begun is None or ended is None:
        return
    attributes |= {"messaging.operation.name": "process", "messaging.operation.type": "process"}
    happenings: list[Happening] = []
    if run.exception:
        kind = exception_type(run.exception) or "unknown"
        attributes["error.type"] = kind
        stack = {"exception.stacktrace": run.traceback[-STACK:]} if run.traceback else {}
        raised = {"exception.type": kind, "exception.message": run.exception[:MESSAGE], **stack}
        happenings.append(Happening("exception", ended, raised))
    yield Span(
        place.trace,
        place.id("process"),
        place.parent,
        f"process {task.name or 'unknown task'}",
        Kind.CONSUMER,
        min(begun, ended),
        ended,
        attributes,
        failure=run.exception[:MESSAGE] if run.exception else None,
        links=(place.id("process", place.number - 1),) if place.number > 1 else (),
        happenings=happenings,
    )
