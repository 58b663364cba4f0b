"""Celery's remote control as data: what may be asked of workers, what they answer, and who may be asked for it.

`election` and `hello` are left out on purpose: the first can kill a worker and run any task, the second changes what a
worker knows to be revoked. So are `memsample`, `memdump` and `objgraph`: they hold a worker up while it looks through
its own memory, want packages that it rarely has, and the last writes files on its machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Protocol

from msgspec import Meta, Struct

#: A worker, task, queue or id by its name.
Name = Annotated[str, Meta(min_length=1, max_length=1_000)]
Ids = Annotated[tuple[Name, ...], Meta(min_length=1, max_length=1_000)]
Processes = Annotated[int, Meta(ge=1, le=10_000)]
Seconds = Annotated[float, Meta(gt=0, le=31_536_000)]
Signal = Annotated[str, Meta(pattern=r"^(SIG)?[A-Z0-9]{2,10}$")]


class Command(Struct, frozen=True, forbid_unknown_fields=True):
    """What every command has."""

    #: Celery's name of it; also its name in the API.
    method: ClassVar[str] = ""
    #: Whether it only looks: such a one is allowed when read-only, and not recorded.
    looks: ClassVar[bool] = False
    #: Whether a worker answers it.
    answered: ClassVar[bool] = True

    #: The workers to address by name; empty: all of them.
    destination: Annotated[tuple[Name, ...], Meta(max_length=10_000)] = ()

    def arguments(self) -> dict[str, Any]:
        """What the worker's handler is given; what was left open is left out."""
        named = {name: getattr(self, name) for name in self.__struct_fields__ if name != "destination"}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in named.items()
            if value is not None
        }


class Inspection(Command, frozen=True):
    """A command that only looks."""

    looks: ClassVar[bool] = True


class Revoke(Command, frozen=True, kw_only=True):
    """Tell workers not to run tasks; with `terminate`, also stop those that run now."""

    method: ClassVar[str] = "revoke"

    task_ids: Ids
    terminate: bool = False
    signal: Signal = "SIGTERM"

    def arguments(self) -> dict[str, Any]:
        return {"task_id": list(self.task_ids), "terminate": self.terminate, "signal": self.signal}


class Terminate(Command, frozen=True, kw_only=True):
    """Stop running tasks by a signal to their pool process, and revoke them."""

    method: ClassVar[str] = "terminate"

    task_ids: Ids
    signal: Signal = "SIGTERM"

    def arguments(self) -> dict[str, Any]:
        return {"task_id": list(self.task_ids), "signal": self.signal}


class RevokeByStampedHeaders(Command, frozen=True, kw_only=True):
    """Revoke every task stamped with one of these headers' values."""

    method: ClassVar[str] = "revoke_by_stamped_headers"

    headers: Annotated[dict[Name, Annotated[tuple[Name, ...], Meta(min_length=1)]], Meta(min_length=1, max_length=100)]
    terminate: bool = False
    signal: Signal = "SIGTERM"

    def arguments(self) -> dict[str, Any]:
        headers = {name: list(values) for name, values in self.headers.items()}
        return {"headers": headers, "terminate": self.terminate, "signal": self.signal}


class RateLimit(Command, frozen=True, kw_only=True):
    """Set how many tasks of a name may start: `10/s`, `5/m`, `2/h`; 0 takes the limit away."""

    method: ClassVar[str] = "rate_limit"

    task_name: Name
    rate_limit: Annotated[str, Meta(max_length=100)] | int | float


class TimeLimit(Command, frozen=True, kw_only=True):
    """Set the soft and hard time limit of tasks of a name, seconds; null takes a limit away."""

    method: ClassVar[str] = "time_limit"

    task_name: Name
    soft: Seconds | None = None
    hard: Seconds | None = None

    def arguments(self) -> dict[str, Any]:
        return {"task_name": self.task_name, "soft": self.soft, "hard": self.hard}


class PoolGrow(Command, frozen=True, kw_only=True):
    """Add processes or threads to the pool."""

    method: ClassVar[str] = "pool_grow"

    n: Processes = 1


class PoolShrink(Command, frozen=True, kw_only=True):
    """Take processes or threads from the pool."""

    method: ClassVar[str] = "pool_shrink"

    n: Processes = 1


class PoolRestart(Command, frozen=True):
    """Restart the pool; the worker must have `worker_pool_restarts`. No module is loaded anew."""

    method: ClassVar[str] = "pool_restart"

    def arguments(self) -> dict[str, Any]:
        return {"reload": False}


class Autoscale(Command, frozen=True, kw_only=True):
    """Set the bounds of a worker that was started with --autoscale."""

    method: ClassVar[str] = "autoscale"

    max: Annotated[int, Meta(ge=0, le=10_000)]
    min: Annotated[int, Meta(ge=0, le=10_000)]


class AddConsumer(Command, frozen=True, kw_only=True):
    """Let workers consume from one more queue."""

    method: ClassVar[str] = "add_consumer"

    queue: Name
    exchange: Name | None = None
    exchange_type: Annotated[str, Meta(pattern="^(direct|topic|fanout|headers)$")] | None = None
    routing_key: Name | None = None


class CancelConsumer(Command, frozen=True, kw_only=True):
    """Let workers no longer consume from a queue."""

    method: ClassVar[str] = "cancel_consumer"

    queue: Name


class EnableEvents(Command, frozen=True):
    """Tell workers to send task events."""

    method: ClassVar[str] = "enable_events"


class DisableEvents(Command, frozen=True):
    """Tell workers to send no task events; those started with -E go on all the same."""

    method: ClassVar[str] = "disable_events"


class Shutdown(Command, frozen=True):
    """Stop workers once their running tasks have ended; nothing answers it."""

    method: ClassVar[str] = "shutdown"
    answered: ClassVar[bool] = False


class Ping(Inspection, frozen=True):
    """Ask who is there."""

    method: ClassVar[str] = "ping"


class Clock(Inspection, frozen=True):
    """The worker's Lamport clock."""

    method: ClassVar[str] = "clock"


class Active(Inspection, frozen=True):
    """Tasks that run now; `safe`: arguments as `repr`, which every worker can send."""

    method: ClassVar[str] = "active"

    safe: bool = True


class Reserved(Inspection, frozen=True):
    """Tasks that the worker holds and has not started."""

    method: ClassVar[str] = "reserved"


class Scheduled(Inspection, frozen=True):
    """Tasks that the worker holds until their ETA."""

    method: ClassVar[str] = "scheduled"


class Revoked(Inspection, frozen=True):
    """Ids that the worker will not run."""

    method: ClassVar[str] = "revoked"


class Registered(Inspection, frozen=True):
    """Names of the tasks that the worker knows."""

    method: ClassVar[str] = "registered"


class ActiveQueues(Inspection, frozen=True):
    """Queues that the worker consumes from."""

    method: ClassVar[str] = "active_queues"


class Stats(Inspection, frozen=True):
    """Counts by task, pool, broker, resources."""

    method: ClassVar[str] = "stats"


class Conf(Inspection, frozen=True):
    """The worker's configuration, passwords masked by Celery."""

    method: ClassVar[str] = "conf"

    with_defaults: bool = False


class Report(Inspection, frozen=True):
    """Versions and configuration as text."""

    method: ClassVar[str] = "report"


class QueryTask(Inspection, frozen=True, kw_only=True):
    """What the worker knows of tasks by id."""

    method: ClassVar[str] = "query_task"

    ids: Ids


#: Every command by its method.
COMMANDS: Final[Mapping[str, type[Command]]] = {
    kind.method: kind
    for kind in (
        Revoke,
        Terminate,
        RevokeByStampedHeaders,
        RateLimit,
        TimeLimit,
        PoolGrow,
        PoolShrink,
        PoolRestart,
        Autoscale,
        AddConsumer,
        CancelConsumer,
        EnableEvents,
        DisableEvents,
        Shutdown,
        Ping,
        Clock,
        Active,
        Reserved,
        Scheduled,
        Revoked,
        Registered,
        ActiveQueues,
        Stats,
        Conf,
        Report,
        QueryTask,
    )
}


class Outcome(StrEnum):
    """How a command fared with one worker."""

    #: It answered, and refused nothing.
    OK = "ok"
    #: It answered with an error.
    REFUSED = "refused"
    #: It answered something that is not taken: no JSON, or too much of it.
    UNREADABLE = "unreadable"
    #: It did not answer in time; it may carry the command out later.
    SILENT = "silent"
    #: The command has no answer.
    SENT = "sent"


@dataclass(frozen=True, slots=True)
class Reply:
    """One worker's answer, or the lack of one."""

    worker: str
    outcome: Outcome
    #: What it answered, as JSON decodes it.
    value: Any = None
    #: Why it refused, or what is known of its silence.
    error: str = ""
    #: From the sending of the command to the answer.
    seconds: float = 0.0


class Control(Protocol):
    """Sends commands; may be called from any thread; raises `ControlError`."""

    def send(self, command: Command) -> None:
        """Send and wait for no reply."""
        ...

    def ask(self, command: Command, timeout: float = 1.0) -> Mapping[str, Any]:
        """Send and collect one reply by worker name within `timeout` seconds; who is silent is left out."""
        ...

    def call(self, command: Command, timeout: float = 1.0, expected: Sequence[str] = ()) -> Iterator[Reply]:
        """Send, and give each worker's reply the moment it comes.

        Ends as soon as every worker that is addressed has answered, at the latest after `timeout` seconds; then each
        one that did not is given as `SILENT`. A command to all workers ends when those that are `expected` have
        answered, whoever else has meanwhile; with nobody expected it lasts the whole time.
        """
        ...

    def close(self) -> None: ...


def refusal(value: Any) -> str:
    """Why a worker refused, by its answer; "" where it did not."""
    if isinstance(value, Mapping) and set(value) == {"error"}:
        return str(value["error"])[:2_000]
    return ""


def names(replies: Sequence[Reply], outcome: Outcome) -> list[str]:
    """The workers whose replies ended so."""
    return [reply.worker for reply in replies if reply.outcome is outcome]
