"""A task as a join of registers: any order, duplication or batching of the same events gives the same record.

A record is a product of join semilattices. Each register keeps the greatest of what it was given, compared field by
field beginning with the timestamp; `received_first` keeps the least, `retries` the greatest. A run event (received,
started, an end) that loses its register is kept in the history, the greatest `HISTORY` of each kind, so that the
attempts of a task can be told apart. What people see (state, worker, times) is derived: see `task.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from msgspec import Struct

from umbel.model.event import (
    AnyEvent,
    CustomEvent,
    TaskCancelled,
    TaskFailed,
    TaskReceived,
    TaskRejected,
    TaskRetried,
    TaskRevoked,
    TaskSent,
    TaskStarted,
    TaskSucceeded,
)

#: The pid of an end that no worker told of and the result backend knew (see `learned.py`): no process has it.
LEARNED: Final = 2**63 - 1
#: Displaced run events kept of each kind and task, the latest first.
HISTORY: Final = 50


class Register(Struct, frozen=True, order=True, gc=False):
    """One event of one kind, ordered by its timestamp (UTC seconds), then by its fields; absent texts are ""."""

    at: float


class Sent(Register, frozen=True, order=True, gc=False, tag="sent"):
    """A publisher sent the task; `client` is its name."""

    client: str = ""
    queue: str = ""
    exchange: str = ""
    routing_key: str = ""
    retries: int = 0


class Received(Register, frozen=True, order=True, gc=False, tag="received"):
    """A worker took the task."""

    worker: str = ""
    pid: int = 0
    retries: int = 0


class Started(Register, frozen=True, order=True, gc=False, tag="started"):
    """A pool process began to run it."""

    worker: str = ""
    pid: int = 0


class Succeeded(Register, frozen=True, order=True, gc=False, tag="succeeded"):
    """It returned."""

    worker: str = ""
    pid: int = 0
    result: str = ""
    #: Seconds, or -1 where the worker did not tell.
    runtime: float = -1.0


class Failed(Register, frozen=True, order=True, gc=False, tag="failed"):
    """It raised."""

    worker: str = ""
    pid: int = 0
    exception: str = ""
    traceback: str = ""


class Retried(Register, frozen=True, order=True, gc=False, tag="retried"):
    """An attempt ended and the task was sent again."""

    worker: str = ""
    pid: int = 0
    exception: str = ""
    traceback: str = ""


class Rejected(Register, frozen=True, order=True, gc=False, tag="rejected"):
    """Its message was rejected."""

    worker: str = ""
    pid: int = 0
    requeue: bool = False


class Revoked(Register, frozen=True, order=True, gc=False, tag="revoked"):
    """It was revoked, terminated or expired."""

    worker: str = ""
    pid: int = 0
    terminated: bool = False
    signum: str = ""
    expired: bool = False


class Cancelled(Register, frozen=True, order=True, gc=False, tag="cancelled"):
    """A worker gave it up while it ran."""

    worker: str = ""
    pid: int = 0


class Custom(Register, frozen=True, order=True, gc=False):
    """The latest of the application's own events about the task."""

    worker: str = ""
    type: str = ""
    #: The application's own fields, a JSON object.
    fields: str = "{}"


#: A register's content whose displaced values make up the history.
Run = Sent | Received | Started | Succeeded | Failed | Retried | Rejected | Revoked | Cancelled


class Description(Struct, frozen=True, order=True, gc=False):
    """What the task is; a worker's word (rank 1) beats the publisher's (rank 0), then the latest wins."""

    rank: int
    at: float
    name: str = ""
    args: str = ""
    kwargs: str = ""
    root_id: str = ""
    parent_id: str = ""
    #: ISO 8601 text as the publisher wrote it.
    eta: str = ""
    expires: str = ""


class Task(Struct, gc=False):
    """The join of all events seen of one task id, or of those in one batch; `join` merges two of them."""

    id: str
    description: Description | None = None
    sent: Sent | None = None
    received: Received | None = None
    started: Started | None = None
    succeeded: Succeeded | None = None
    failed: Failed | None = None
    retried: Retried | None = None
    rejected: Rejected | None = None
    revoked: Revoked | None = None
    cancelled: Cancelled | None = None
    custom: Custom | None = None
    #: The earliest task-received, UTC seconds, or infinity.
    received_first: float = float("inf")
    #: The greatest `retries` that a worker or publisher named.
    retries: int = 0
    #: Displaced run events, without order.
    history: frozenset[Run] = frozenset()


#: The registers of a task whose displaced values go to the history.
RUN_REGISTERS: Final = (
    "sent",
    "received",
    "started",
    "succeeded",
    "failed",
    "retried",
    "rejected",
    "revoked",
    "cancelled",
)


def fold(events: Iterable[AnyEvent]) -> dict[str, Task]:
    """One record for each task id among `events`; events about no task are passed over."""
    tasks: dict[str, Task] = {}
    find = tasks.get
    for event in events:
        apply = _APPLY.get(type(event))
        if apply is None:
            continue
        id_: str | None = event.uuid  # type: ignore[union-attr]
        if id_ is None:
            continue
        task = find(id_)
        if task is None:
            task = tasks[id_] = Task(id_)
        apply(task, event)
    return tasks


def join(into: Task, other: Task) -> bool:
    """Merge `other` into `into` (same id); False if that changed nothing."""
    changed = False
    for name in RUN_REGISTERS:
        value = getattr(other, name)
        if value is not None and _put(into, name, value):
            changed = True
    if other.custom is not None and (into.custom is None or other.custom > into.custom):
        into.custom = other.custom
        changed = True
    if other.description is not None and (into.description is None or other.description > into.description):
        into.description = other.description
        changed = True
    if other.received_first < into.received_first:
        into.received_first = other.received_first
        changed = True
    if other.retries > into.retries:
        into.retries = other.retries
        changed = True
    if other.history and _remember(into, other.history):
        changed = True
    return changed


def _put(task: Task, name: str, value: Run) -> bool:
    """Give one register a value: the greater stays, the lesser goes to the history; False if it was there."""
    old = getattr(task, name)
    if old is None:
        setattr(task, name, value)
        return True
    if old == value:
        return False
    if value > old:
        setattr(task, name, value)
        _remember(task, (old,))
        return True
    return _remember(task, (value,))


def _remember(task: Task, values: Iterable[Run]) -> bool:
    """Add displaced values to the history, within its bound; False if it held them or they are too old."""
    history = task.history.union(values)
    if len(history) > HISTORY:
        history = _latest(history)
    if history == task.history:
        return False
    task.history = history
    return True


def _latest(history: frozenset[Run]) -> frozenset[Run]:
    kinds: dict[type[Run], list[Any]] = {}
    for value in history:
        kinds.setdefault(type(value), []).append(value)
    return frozenset(value for values in kinds.values() for value in sorted(values, reverse=True)[:HISTORY])


def _describe(task: Task, rank: int, event: TaskSent | TaskReceived) -> None:
    description = Description(
        rank,
        event.timestamp,
        event.name or "",
        event.args or "",
        event.kwargs or "",
        event.root_id or "",
        event.parent_id or "",
        event.eta or "",
        event.expires or "",
    )
    if task.description is None or description > task.description:
        task.description = description
    if event.retries and event.retries > task.retries:
        task.retries = event.retries


def _sent(task: Task, event: TaskSent) -> None:
    _describe(task, 0, event)
    value = Sent(
        event.timestamp,
        event.hostname,
        event.queue or "",
        event.exchange or "",
        event.routing_key or "",
        event.retries or 0,
    )
    _put(task, "sent", value)


def _received(task: Task, event: TaskReceived) -> None:
    _describe(task, 1, event)
    task.received_first = min(task.received_first, event.timestamp)
    _put(task, "received", Received(event.timestamp, event.hostname, event.pid or 0, event.retries or 0))


def _started(task: Task, event: TaskStarted) -> None:
    _put(task, "started", Started(event.timestamp, event.hostname, event.pid or 0))


def _succeeded(task: Task, event: TaskSucceeded) -> None:
    runtime = -1.0 if event.runtime is None else event.runtime
    value = Succeeded(event.timestamp, event.hostname, event.pid or 0, event.result or "", runtime)
    _put(task, "succeeded", value)


def _failed(task: Task, event: TaskFailed) -> None:
    value = Failed(event.timestamp, event.hostname, event.pid or 0, event.exception or "", event.traceback or "")
    _put(task, "failed", value)


def _retried(task: Task, event: TaskRetried) -> None:
    value = Retried(event.timestamp, event.hostname, event.pid or 0, event.exception or "", event.traceback or "")
    _put(task, "retried", value)


def _rejected(task: Task, event: TaskRejected) -> None:
    _put(task, "rejected", Rejected(event.timestamp, event.hostname, event.pid or 0, bool(event.requeue)))


def _revoked(task: Task, event: TaskRevoked) -> None:
    signum = "" if event.signum is None else str(event.signum)[:200]
    terminated, expired = bool(event.terminated), bool(event.expired)
    value = Revoked(event.timestamp, event.hostname, event.pid or 0, terminated, signum, expired)
    _put(task, "revoked", value)


def _cancelled(task: Task, event: TaskCancelled) -> None:
    _put(task, "cancelled", Cancelled(event.timestamp, event.hostname, event.pid or 0))


def _custom(task: Task, event: CustomEvent) -> None:
    value = Custom(event.timestamp, event.hostname, event.type, event.fields)
    if task.custom is None or value > task.custom:
        task.custom = value


_APPLY: Final[dict[type[AnyEvent], Callable[[Task, Any], None]]] = {
    TaskSent: _sent,
    TaskReceived: _received,
    TaskStarted: _started,
    TaskSucceeded: _succeeded,
    TaskFailed: _failed,
    TaskRetried: _retried,
    TaskRejected: _rejected,
    TaskRevoked: _revoked,
    TaskCancelled: _cancelled,
    CustomEvent: _custom,
}
