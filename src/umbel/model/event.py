"""The events of Celery as typed records, one class for each type on the wire.

Times are the emitter's UTC seconds since the epoch; `utcoffset` is never applied. Clocks are Lamport clocks of one
process, keyed by (hostname, pid); they restart with it and never order events across processes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

#: UTC seconds since the epoch, up to the year 3000.
Timestamp = Annotated[float, Meta(ge=0, le=32_503_680_000)]
#: A counter that any SQL engine can hold.
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
#: Seconds that something took.
Seconds = Annotated[float, Meta(ge=0, le=1e12)]
#: The name of a process: `worker@host`, or `gen123@host` for a publisher.
Hostname = Annotated[str, Meta(min_length=1, max_length=512)]
#: A task's id; Celery makes UUIDs, applications may choose any text.
TaskId = Annotated[str, Meta(min_length=1, max_length=512)]
#: The name of a task, queue, exchange or routing key.
Name = Annotated[str, Meta(max_length=1024)]


class EventClass(StrEnum):
    """What an event is worth when not all can be kept, the least first."""

    HEARTBEAT = "heartbeat"
    QUEUED = "queued"
    RUNNING = "running"
    TERMINAL = "terminal"
    #: Bytes that could not be decoded far enough to tell.
    UNKNOWN = "unknown"


class Event(Struct, frozen=True, gc=False, kw_only=True):
    """What every event has."""

    hostname: Hostname
    timestamp: Timestamp
    pid: Count | None = None
    clock: Count | None = None


class TaskEvent(Event, frozen=True, gc=False, kw_only=True, tag_field="type"):
    """An event about one task."""

    uuid: TaskId


class TaskSent(TaskEvent, frozen=True, gc=False, kw_only=True, tag="task-sent"):
    """A publisher sent the task; `hostname` is the publisher."""

    name: Name | None = None
    args: str | None = None
    kwargs: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    retries: Count | None = None
    eta: str | None = None
    expires: str | None = None
    queue: Name | None = None
    exchange: Name | None = None
    routing_key: Name | None = None


class TaskReceived(TaskEvent, frozen=True, gc=False, kw_only=True, tag="task-received"):
    """A worker took the task from its queue."""

    name: Name | None = None
    args: str | None = None
    kwargs: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    retries: Count | None = None
    eta: str | None = None
    expires: str | None = None


class TaskStarted(TaskEvent, frozen=True, gc=False, kw_only=True, tag="task-started"):
    """A pool process began to run the task."""


class TaskSucceeded(TaskEvent, frozen=True, gc=False, kw_only=True, tag="task-succeeded"):
    """The task returned."""

    result: str | None = None
    runtime: Seconds | None = None


class TaskFailed(TaskEvent, frozen=True, gc=False, kw_only=True, tag="task-failed"):
    """The task raised, or could not be run."""

    exception: str | None = None
    traceback: str | None = None


class TaskRetried(TaskEvent, frozen=True, gc=False, kw_only=True, tag="task-retried"):
    """An attempt ended and the task was sent again under the same id."""

    exception: str | None = None
    traceback: str | None = None


class TaskRejected(TaskEvent, frozen=True, gc=False, kw_only=True, tag="task-rejected"):
    """The message was rejected; with `requeue` the broker delivers it again."""

    requeue: bool | None = None


class TaskRevoked(TaskEvent, frozen=True, gc=False, kw_only=True, tag="task-revoked"):
    """The task was revoked, terminated or expired."""

    terminated: bool | None = None
    signum: int | str | None = None
    expired: bool | None = None


class TaskCancelled(TaskEvent, frozen=True, gc=False, kw_only=True, tag="task-cancelled"):
    """A worker gave a running task up: connection loss or cold shutdown."""


class WorkerEvent(Event, frozen=True, gc=False, kw_only=True, tag_field="type"):
    """A worker's own state; a forced heartbeat lacks `active`, `processed` and `loadavg`."""

    freq: Seconds | None = None
    active: Count | None = None
    processed: Count | None = None
    loadavg: tuple[float, ...] | None = None
    sw_ident: Name | None = None
    sw_ver: Name | None = None
    sw_sys: Name | None = None


class WorkerOnline(WorkerEvent, frozen=True, gc=False, kw_only=True, tag="worker-online"):
    """The worker started, or its event dispatcher did again."""


class WorkerHeartbeat(WorkerEvent, frozen=True, gc=False, kw_only=True, tag="worker-heartbeat"):
    """The worker lives."""


class WorkerOffline(WorkerEvent, frozen=True, gc=False, kw_only=True, tag="worker-offline"):
    """The worker stops of its own will; a crashed one never says so."""


class GossipElect(Event, frozen=True, gc=False, kw_only=True, tag_field="type", tag="worker-elect"):
    """Workers hold an election among themselves."""


class GossipElectAck(Event, frozen=True, gc=False, kw_only=True, tag_field="type", tag="worker-elect-ack"):
    """A worker answers an election."""


class CustomEvent(Event, frozen=True, gc=False, kw_only=True):
    """Any other event that an application sends."""

    #: The type on the wire, such as `task-progress`.
    type: str
    uuid: TaskId | None = None
    #: The application's own fields, as a JSON object with sorted keys.
    fields: str = "{}"


#: Everything that the fast decoder knows by its type.
KnownEvent = (
    TaskSent
    | TaskReceived
    | TaskStarted
    | TaskSucceeded
    | TaskFailed
    | TaskRetried
    | TaskRejected
    | TaskRevoked
    | TaskCancelled
    | WorkerOnline
    | WorkerHeartbeat
    | WorkerOffline
    | GossipElect
    | GossipElectAck
)
AnyEvent = KnownEvent | CustomEvent

#: Class by type on the wire: what is shed first when the buffer fills (see `EventClass`).
CLASS_OF_TYPE: dict[str, EventClass] = {
    "worker-heartbeat": EventClass.HEARTBEAT,
    "worker-elect": EventClass.HEARTBEAT,
    "worker-elect-ack": EventClass.HEARTBEAT,
    "worker-online": EventClass.QUEUED,
    "worker-offline": EventClass.QUEUED,
    "task-sent": EventClass.QUEUED,
    "task-received": EventClass.QUEUED,
    "task-started": EventClass.RUNNING,
    "task-retried": EventClass.RUNNING,
    "task-succeeded": EventClass.TERMINAL,
    "task-failed": EventClass.TERMINAL,
    "task-revoked": EventClass.TERMINAL,
    "task-rejected": EventClass.TERMINAL,
    "task-cancelled": EventClass.TERMINAL,
}


def class_of_type(type_: str) -> EventClass:
    """The class of an event by its type on the wire; custom events count as queued ones."""
    return CLASS_OF_TYPE.get(type_, EventClass.QUEUED)
