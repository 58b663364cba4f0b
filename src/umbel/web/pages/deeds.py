"""What the commands that pages offer do, in words, and where one goes back to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from umbel.access.identity import Identity
from umbel.control.commands import (
    AddConsumer,
    Autoscale,
    CancelConsumer,
    Command,
    DisableEvents,
    EnableEvents,
    Ping,
    PoolGrow,
    PoolRestart,
    PoolShrink,
    RateLimit,
    Revoke,
    RevokeByStampedHeaders,
    Shutdown,
    Terminate,
    TimeLimit,
)
from umbel.web.deps import Deps

#: The commands that pages offer, by method.
DEEDS: Final[Mapping[str, type[Command]]] = {
    kind.method: kind
    for kind in (
        Revoke,
        Terminate,
        RevokeByStampedHeaders,
        PoolGrow,
        PoolShrink,
        PoolRestart,
        Autoscale,
        AddConsumer,
        CancelConsumer,
        RateLimit,
        TimeLimit,
        EnableEvents,
        DisableEvents,
        Ping,
        Shutdown,
    )
}
#: Those after which something has stopped.
GRAVE: Final = frozenset({"terminate", "shutdown", "pool_restart", "cancel_consumer"})


@dataclass(frozen=True, slots=True)
class Deed:
    """A command for people."""

    method: str
    #: Its name: "Terminate".
    title: str
    #: What will happen, in one or two sentences.
    effect: str
    #: Whether it stops something.
    grave: bool
    #: The task that it is about, or the worker; "" where it is about several.
    task_id: str
    worker: str


def controllable(deps: Deps, who: Identity) -> bool:
    """Whether pages offer somebody what changes workers: not when read-only, nor where no broker is known."""
    # Not deps.control(): making it loads Celery.
    return not deps.settings.read_only and bool(deps.settings.broker) and deps.rules.anything(who)


def deed_of(command: Command) -> Deed:
    """What a command of `DEEDS` does."""
    title, effect = _WORDS[type(command)](command)
    ids: tuple[str, ...] = getattr(command, "task_ids", ())
    return Deed(
        method=command.method,
        title=title,
        effect=effect,
        grave=command.method in GRAVE or bool(getattr(command, "terminate", False)),
        task_id=ids[0] if len(ids) == 1 else "",
        worker=command.destination[0] if not ids and len(command.destination) == 1 else "",
    )


def _revoke(command: Revoke) -> tuple[str, str]:
    what = _tasks(command.task_ids)
    if command.terminate:
        return "Terminate", _killed(what, command.signal)
    return (
        "Revoke",
        (
            f"Workers are told not to run {what}. One that runs already goes on; one that has not begun is thrown away "
            "when a worker takes it up. They keep that in memory: "
            "once all have stopped it is forgotten, except by those with --statedb."
        ),
    )


def _stamped(command: RevokeByStampedHeaders) -> tuple[str, str]:
    stamps = " or ".join(f"{name} = {' or '.join(values)}" for name, values in command.headers.items())
    told = f"Every task that is stamped with {stamps} is revoked; how many those are, no event tells. "
    if command.terminate:
        return "Terminate by stamp", (
            f"{told}Those that run now are stopped: their pool processes are sent {command.signal}, and what a task "
            "has half done stays half done. Pools of threads and solo ones cannot do this and refuse."
        )
    return "Revoke by stamp", (
        f"{told}Those that run already go on; those that have not begun, and those that are yet to be sent, are thrown "
        "away when a worker takes them up. Workers keep the stamps in memory: once all have stopped they are "
        "forgotten, except by those with --statedb."
    )


def _enable_events(_: EnableEvents) -> tuple[str, str]:
    return "Enable events", "Workers send events about their tasks from now on, until they stop."


def _disable_events(_: DisableEvents) -> tuple[str, str]:
    return "Disable events", (
        "Workers send no more events about their tasks, so nothing of what they run is seen here. Those started with "
        "-E go on all the same, and Umbel enables the others again unless it runs with --no-enable-events."
    )


def _ping(_: Ping) -> tuple[str, str]:
    return "Ping", "Each worker says that it is there. Nothing is changed."


def _terminate(command: Terminate) -> tuple[str, str]:
    return "Terminate", _killed(_tasks(command.task_ids), command.signal)


def _killed(what: str, signal: str) -> str:
    return (
        f"The pool process that runs {what} is sent {signal}; what the task has half done stays half done. It is also "
        "revoked. If that process has meanwhile begun another task, that one is stopped instead. Pools of threads "
        "and solo ones cannot do this and refuse."
    )


def _tasks(ids: tuple[str, ...]) -> str:
    return f"the task {ids[0]}" if len(ids) == 1 else f"{len(ids):,} tasks"


def _grow(command: PoolGrow) -> tuple[str, str]:
    return "Grow the pool", f"The pool gets {_processes(command.n)} more."


def _shrink(command: PoolShrink) -> tuple[str, str]:
    return "Shrink the pool", f"The pool loses {_processes(command.n)}, once idle."


def _processes(n: int) -> str:
    return "1 process or thread" if n == 1 else f"{n:,} processes or threads"


def _restart(_: PoolRestart) -> tuple[str, str]:
    return (
        "Restart the pool",
        (
            "The pool's processes are stopped and started anew; what runs just now is cut off. The worker must have "
            "worker_pool_restarts."
        ),
    )


def _autoscale(command: Autoscale) -> tuple[str, str]:
    return (
        "Autoscale",
        (
            f"The pool keeps between {command.min:,} and {command.max:,} processes. The worker must have been "
            "started with --autoscale."
        ),
    )


def _add(command: AddConsumer) -> tuple[str, str]:
    return "Add a consumer", f"The worker also takes tasks from the queue {command.queue}."


def _cancel(command: CancelConsumer) -> tuple[str, str]:
    return (
        "Cancel a consumer",
        f"The worker takes no more tasks from the queue {command.queue}. What it holds already it still runs.",
    )


def _rate(command: RateLimit) -> tuple[str, str]:
    if command.rate_limit in (0, "0"):
        return "Rate limit", f"The rate limit of {command.task_name} is taken away."
    return "Rate limit", f"At most {command.rate_limit} tasks {command.task_name} start on each worker."


def _time(command: TimeLimit) -> tuple[str, str]:
    soft = "none" if command.soft is None else f"{command.soft:g} s"
    hard = "none" if command.hard is None else f"{command.hard:g} s"
    return (
        "Time limits",
        f"Tasks {command.task_name} that begin from now on have these limits: soft {soft}, hard {hard}.",
    )


def _shutdown(_: Shutdown) -> tuple[str, str]:
    return (
        "Shut down",
        (
            "The worker takes no more tasks, ends those that run, and stops. Umbel cannot start it again; "
            "what supervises it may. Nothing answers this command."
        ),
    )


_WORDS: Final[Mapping[type[Command], Callable[[Any], tuple[str, str]]]] = {
    Revoke: _revoke,
    Terminate: _terminate,
    RevokeByStampedHeaders: _stamped,
    PoolGrow: _grow,
    PoolShrink: _shrink,
    PoolRestart: _restart,
    Autoscale: _autoscale,
    AddConsumer: _add,
    CancelConsumer: _cancel,
    RateLimit: _rate,
    TimeLimit: _time,
    EnableEvents: _enable_events,
    DisableEvents: _disable_events,
    Ping: _ping,
    Shutdown: _shutdown,
}
