"""The part of a task's record that no other column of its row holds, as `body`: its registers in order, in msgpack.

A register is a list of its fields. None stands for a text that a column holds: arguments, result, shown exception and
traceback. Registers that are absent at the end are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from umbel.model.merge import (
    Cancelled,
    Custom,
    Description,
    Failed,
    Received,
    Rejected,
    Retried,
    Revoked,
    Run,
    Sent,
    Started,
    Succeeded,
    Task,
)
from umbel.model.task import State, Summary
from umbel.stores.kinds import KIND_NUMBER, KINDS

#: Places in a body: the description, nine registers of runs, the custom one, the history.
_PLACES: Final = 12

_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final[Callable[[bytes], Any]] = msgspec.msgpack.Decoder().decode


def traceback_of(task: Task, summary: Summary) -> str:
    """The traceback that belongs to the exception of the summary."""
    if summary.state is State.FAILURE and task.failed:
        return task.failed.traceback
    if summary.state is State.RETRY and task.retried:
        return task.retried.traceback
    return ""


def body_of(task: Task, summary: Summary) -> bytes:
    """The stored form of what the other columns don't say."""
    described, received, done = task.description, task.received, task.succeeded
    body: list[Any] = [
        [described.rank, described.at, described.eta, described.expires] if described is not None else None,
        astuple(task.sent) if task.sent is not None else None,
        [*astuple(received), task.received_first] if received is not None else None,
        astuple(task.started) if task.started is not None else None,
        [done.at, done.worker, done.pid, done.runtime] if done is not None else None,
    ]
    if task.failed or task.retried or task.rejected or task.revoked or task.cancelled or task.custom or task.history:
        shown = (summary.exception, traceback_of(task, summary))
        body += [
            _raised(task.failed, shown) if task.failed else None,
            _raised(task.retried, shown) if task.retried else None,
            astuple(task.rejected) if task.rejected else None,
            astuple(task.revoked) if task.revoked else None,
            astuple(task.cancelled) if task.cancelled else None,
            astuple(task.custom) if task.custom else None,
            [[KIND_NUMBER[type(run)], *astuple(run)] for run in task.history],
        ]
    while body and not body[-1]:
        body.pop()
    return _pack(body)


def _raised(run: Failed | Retried, shown: tuple[str, str]) -> list[Any]:
    texts = (run.exception, run.traceback)
    return [run.at, run.worker, run.pid, *([] if texts == shown else texts)]


def task_of(summary: Summary, texts: tuple[str, str, str, str], body: bytes) -> Task:
    """The whole record from its summary, its other texts (args, kwargs, result, traceback) and its body."""
    args, kwargs, result, traceback = texts
    parts: list[Any] = _unpack(body)
    parts += [None] * (_PLACES - len(parts))
    described, sent, received, started, done, *rest = parts
    task = Task(summary.id, retries=summary.retries)
    if described is not None:
        rank, at, eta, expires = described
        ids = summary.root_id, summary.parent_id
        task.description = Description(rank, at, summary.name, args, kwargs, *ids, eta, expires)
    if sent is not None:
        task.sent = Sent(*sent)
    if received is not None:
        *fields, task.received_first = received
        task.received = Received(*fields)
    if started is not None:
        task.started = Started(*started)
    if done is not None:
        at, worker, pid, runtime = done
        task.succeeded = Succeeded(at, worker, pid, result, runtime)
    if any(rest):
        _restore_rest(task, (summary.exception, traceback), rest)
    return task


def _restore_rest(task: Task, shown: tuple[str, str], parts: list[Any]) -> None:
    failed, retried, rejected, revoked, cancelled, custom, history = parts
    if failed is not None:
        task.failed = Failed(*_to_raised(failed, shown))
    if retried is not None:
        task.retried = Retried(*_to_raised(retried, shown))
    task.rejected = Rejected(*rejected) if rejected else None
    task.revoked = Revoked(*revoked) if revoked else None
    task.cancelled = Cancelled(*cancelled) if cancelled else None
    task.custom = Custom(*custom) if custom else None
    task.history = frozenset(_to_run(run) for run in history or ())


def _to_raised(fields: list[Any], shown: tuple[str, str]) -> list[Any]:
    return fields if len(fields) > 3 else [*fields, *shown]


def _to_run(fields: list[Any]) -> Run:
    kind, *values = fields
    run: Run = KINDS[kind](*values)
    return run
