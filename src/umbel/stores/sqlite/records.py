"""A task's record as the row of `record`, and back, exactly, given its summary.

The row holds the texts and a body: the registers in order, in msgpack, without what the summary and the texts say
already. A number alone stands for a register of which nothing else is left than who it was; trailing fields that are
absent are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from umbel.model.merge import (
    Custom,
    Description,
    Failed,
    Received,
    Retried,
    Run,
    Sent,
    Started,
    Succeeded,
    Task,
)
from umbel.model.task import State, Summary
from umbel.stores.kinds import KIND_NUMBER, KINDS
from umbel.stores.sqlite.words import Word

_FAILURE: Final = State.FAILURE
_RETRY: Final = State.RETRY
_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final[Callable[[bytes], Any]] = msgspec.msgpack.Decoder().decode


def _shown_traceback(task: Task, summary: Summary) -> str:
    """The traceback that belongs to the exception of the summary."""
    if summary.state is _FAILURE and task.failed:
        return task.failed.traceback
    if summary.state is _RETRY and task.retried:
        return task.retried.traceback
    return ""


def record_row(n: int, task: Task, summary: Summary, word: Callable[[Word], int]) -> tuple[Any, ...]:
    """The parameters of `put_record`; the body as sqlite3 takes it without looking for an adapter."""
    described, sent, received, started, done = task.description, task.sent, task.received, task.started, task.succeeded
    traceback = _shown_traceback(task, summary)
    body: list[Any] = [None, None, None, None, None]
    if described is not None:
        body[0] = _description(described, sent, received)
    if sent is not None:
        body[1] = _sent(sent, word)
    if received is not None:
        body[2] = _received(received, task.received_first, word)
    if started is not None:
        body[3] = word((started.worker, started.pid))
    if done is not None:
        body[4] = _succeeded(done, summary, word)
    if task.failed or task.retried or task.rejected or task.revoked or task.cancelled or task.custom or task.history:
        body += _rest(task, summary, traceback, word)
    while body and body[-1] is None:
        body.pop()
    args, kwargs = (described.args, described.kwargs) if described is not None else ("", "")
    return (n, bytearray(_pack(body)), args, kwargs, done.result if done is not None else "", traceback)


def _rest(task: Task, summary: Summary, traceback: str, word: Callable[[Word], int]) -> list[Any]:
    """The registers that most tasks don't have."""
    return [
        _raised(task.failed, summary, traceback, word) if task.failed else None,
        _raised(task.retried, summary, traceback, word) if task.retried else None,
        _inline(task.rejected, word) if task.rejected else None,
        _inline(task.revoked, word) if task.revoked else None,
        _inline(task.cancelled, word) if task.cancelled else None,
        msgspec.structs.astuple(task.custom) if task.custom else None,
        [_inline(run, word) for run in task.history] or None,
    ]


def _trim(who: int, *fields: Any) -> int | list[Any]:
    """The fields of a register without the absent ones at its end."""
    last = len(fields)
    while last and fields[last - 1] is None:
        last -= 1
    return [who, *fields[:last]] if last else who


def _unless(value: Any, known: Any) -> Any:
    """None where `value` is said elsewhere already."""
    return None if value == known else value


def _usual_at(rank: int, sent: Sent | None, received: Received | None) -> float | None:
    """The time that a description of this rank usually has."""
    run = received if rank else sent
    return None if run is None else run.at


def _description(described: Description, sent: Sent | None, received: Received | None) -> int | list[Any]:
    known = described.at == _usual_at(described.rank, sent, received)
    if known and not described.eta and not described.expires:
        return described.rank
    at = None if known else described.at
    return _trim(described.rank, at, described.eta or None, described.expires or None)


def _sent(sent: Sent, word: Callable[[Word], int]) -> int | list[Any]:
    who = word((sent.client, sent.queue, sent.exchange, sent.routing_key))
    return [who, sent.retries] if sent.retries else who


def _received(received: Received, first: float, word: Callable[[Word], int]) -> int | list[Any]:
    who = word((received.worker, received.pid))
    if received.at == first:
        return [who, received.retries] if received.retries else who
    return [who, received.retries, received.at]


def _succeeded(done: Succeeded, summary: Summary, word: Callable[[Word], int]) -> int | list[Any]:
    who = word((done.worker, done.pid))
    if done.at == summary.finished_at and done.runtime == summary.run_seconds:
        return who
    return _trim(who, _unless(done.at, summary.finished_at), _unless(done.runtime, summary.run_seconds))


def _raised(run: Failed | Retried, summary: Summary, traceback: str, word: Callable[[Word], int]) -> Any:
    return _trim(
        word((run.worker, run.pid)),
        _unless(run.at, summary.finished_at),
        _unless(run.exception, summary.exception),
        _unless(run.traceback, traceback),
    )


def _inline(run: Run, word: Callable[[Word], int]) -> list[Any]:
    """A run with all that it has: [kind, who, at, its own fields]."""
    if isinstance(run, Sent):
        return [0, word((run.client, run.queue, run.exchange, run.routing_key)), run.at, run.retries]
    at, worker, pid, *fields = msgspec.structs.astuple(run)
    return [KIND_NUMBER[type(run)], word((worker, pid)), at, *fields]


def task_of(summary: Summary, row: Sequence[Any], word: Callable[[int], Any]) -> Task:
    """The whole record from its summary and its row (body, args, kwargs, result, traceback)."""
    body, args, kwargs, result, traceback = row
    parts: list[Any] = _unpack(body)
    parts += [None] * (12 - len(parts))
    described, sent, received, started, succeeded, *rest = parts
    task = Task(summary.id, retries=summary.retries)
    if sent is not None and summary.sent_at is not None:
        route, retries = _fields(sent, 2)
        client, queue, exchange, routing_key = word(route)
        task.sent = Sent(summary.sent_at, client, queue, exchange, routing_key, retries or 0)
    if received is not None and summary.received_at is not None:
        task.received_first = summary.received_at
        who, retries, at = _fields(received, 3)
        worker, pid = word(who)
        task.received = Received(_known(at, summary.received_at), worker, pid, retries or 0)
    if started is not None and summary.started_at is not None:
        task.started = Started(summary.started_at, *word(started))
    if succeeded is not None:
        who, at, runtime = _fields(succeeded, 3)
        worker, pid = word(who)
        at, runtime = _known(at, summary.finished_at), _known(runtime, summary.run_seconds)
        task.succeeded = Succeeded(at, worker, pid, result, runtime)
    if any(rest):
        _restore_rest(task, summary, traceback, rest, word)
    if described is not None:
        rank, at, eta, expires = _fields(described, 4)
        texts = summary.name, args, kwargs, summary.root_id, summary.parent_id, eta or "", expires or ""
        task.description = Description(rank, _known(at, _usual_at(rank, task.sent, task.received)), *texts)
    return task


def _restore_rest(task: Task, summary: Summary, traceback: str, parts: list[Any], word: Callable[[int], Any]) -> None:
    failed, retried, rejected, revoked, cancelled, custom, history = parts
    if failed is not None:
        task.failed = Failed(*_to_raised(failed, summary, traceback, word))
    if retried is not None:
        task.retried = Retried(*_to_raised(retried, summary, traceback, word))
    task.rejected = _to_run(rejected, word) if rejected else None
    task.revoked = _to_run(revoked, word) if revoked else None
    task.cancelled = _to_run(cancelled, word) if cancelled else None
    task.custom = Custom(*custom) if custom else None
    task.history = frozenset(_to_run(run, word) for run in history or ())


def _fields(stored: Any, count: int) -> list[Any]:
    """What `_trim` made, with its absent fields."""
    fields = stored if isinstance(stored, list) else [stored]
    return [*fields, *[None] * (count - len(fields))]


def _known(value: Any, elsewhere: Any) -> Any:
    """What `_unless` made."""
    return elsewhere if value is None else value


def _to_raised(stored: Any, summary: Summary, traceback: str, word: Callable[[int], Any]) -> tuple[Any, ...]:
    who, at, exception, own = _fields(stored, 4)
    at = _known(at, summary.finished_at)
    return (at, *word(who), _known(exception, summary.exception), _known(own, traceback))


def _to_run(stored: list[Any], word: Callable[[int], Any]) -> Any:
    kind, who, at, *fields = stored
    return KINDS[kind](at, *word(who), *fields)
