"""What people see of a task, derived from its record: state, times, attempts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from msgspec import Struct

from umbel.model.delayed import DELAYED, undelayed
from umbel.model.merge import (
    LEARNED,
    Cancelled,
    Custom,
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


class State(StrEnum):
    """Celery's names; PENDING: sent, not yet seen by a worker."""

    PENDING = "PENDING"
    RECEIVED = "RECEIVED"
    STARTED = "STARTED"
    RETRY = "RETRY"
    REJECTED = "REJECTED"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    REVOKED = "REVOKED"


#: States after which nothing more is expected.
ENDED: Final = frozenset({State.SUCCESS, State.FAILURE, State.REVOKED})

_PENDING: Final = State.PENDING
#: State by register, of those that end a task and of those that leave it open; among equal times the last one wins.
_ENDS: Final = (("revoked", State.REVOKED), ("failed", State.FAILURE), ("succeeded", State.SUCCESS))
_OPEN: Final = (
    ("received", State.RECEIVED),
    ("started", State.STARTED),
    ("retried", State.RETRY),
    ("cancelled", State.REJECTED),
    ("rejected", State.REJECTED),
)
#: Every register of a run, by rank.
_RANKED: Final = ("sent", *(name for name, _ in _OPEN), *(name for name, _ in _ENDS))
#: Registers whose time is none of the summary's.
_OTHERS: Final = ("succeeded", "failed", "revoked", "retried", "cancelled", "rejected", "custom")
_RAISED: Final = (Failed, Retried)
_RAN: Final = (Succeeded, Failed, Revoked, Retried)

#: UTC seconds between which a date exists.
_YEAR_1: Final = -62_135_596_800
_YEAR_10000: Final = 253_402_300_799
_EXCEPTION: Final = re.compile(r"<?([A-Za-z_][\w.]*)").match


class Summary(Struct, gc=False):
    """A task as a list shows it; times are UTC seconds since the epoch, durations seconds, absent texts ""."""

    id: str
    name: str
    state: State
    worker: str
    queue: str
    sent_at: float | None
    #: When a worker first received it.
    received_at: float | None
    #: When its latest run started.
    started_at: float | None
    #: When it ended; None while open.
    finished_at: float | None
    #: From when it could have run (sent or received, or its ETA) to its latest start.
    wait_seconds: float | None
    run_seconds: float | None
    retries: int
    #: The exception of a failed or retried task, as `repr`.
    exception: str
    #: Its class name, for grouping: "ValueError".
    exception_type: str
    root_id: str
    parent_id: str
    #: Latest time of any of its events; what a list of changes is ordered by.
    updated_at: float
    #: A run began after the task had ended: it was delivered again.
    rerun: bool


@dataclass(slots=True)
class Attempt:
    """One run of a task by one worker process."""

    worker: str
    pid: int
    received_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    #: SUCCESS, FAILURE, RETRY, REVOKED, REJECTED; STARTED or RECEIVED while it goes on.
    state: State = State.RECEIVED
    #: The `retries` that its message carried; None where its task-received was not seen.
    retries: int | None = None
    exception: str = ""
    traceback: str = ""
    #: Seconds that the worker itself timed, of one that succeeded; None where nobody did.
    runtime: float | None = None


def summarize(task: Task) -> Summary:
    """Derive what a list shows of a task."""
    state, run, ended = _state(task)
    described, sent, received, started = task.description, task.sent, task.received, task.started
    finished_at = run.at if run is not None and ended else None
    exception = run.exception if isinstance(run, _RAISED) else ""
    sent_at = None if sent is None else sent.at
    received_at = None if received is None else received.at
    started_at = None if started is None else started.at
    return Summary(  # by position, in the order of its fields: this is the hot path of every commit
        task.id,
        described.name if described is not None else "",
        state,
        _worker(task, run),
        queue_of(sent.queue, sent.exchange, sent.routing_key) if sent is not None else "",
        sent_at,
        task.received_first if received is not None else None,
        started_at,
        finished_at,
        None
        if started_at is None
        else wait_seconds(sent_at, received_at, started_at, described.eta if described else ""),
        _run_seconds(run, started_at),
        task.retries,
        exception,
        exception_type(exception) if exception else "",
        described.root_id if described is not None else "",
        described.parent_id if described is not None else "",
        _updated(task, sent_at, received_at, started_at, finished_at),
        finished_at is not None and ((started_at or 0.0) > finished_at or (received_at or 0.0) > finished_at),
    )


def _state(task: Task) -> tuple[State, Run | None, bool]:
    """The state, the run that it follows from, and whether it has ended: the greatest by class, time, rank."""
    best: Run | None = None
    named = _PENDING
    for name, state in _ENDS:
        run: Run | None = getattr(task, name)
        if run is not None and (best is None or run.at >= best.at):
            best, named = run, state
    if best is not None:
        return named, best, True
    for name, state in _OPEN:
        run = getattr(task, name)
        if run is not None and (best is None or run.at >= best.at):
            best, named = run, state
    return named, task.sent if best is None else best, False


def end_of(task: Task) -> Succeeded | Failed | Revoked | None:
    """The end that the task's state follows from; None while it is open."""
    run = _state(task)[1]
    return run if isinstance(run, Succeeded | Failed | Revoked) else None


def _worker(task: Task, run: Run | None) -> str:
    if run is not None and not isinstance(run, Sent):
        return run.worker
    return task.custom.worker if task.custom else ""


def queue_of(queue: str, exchange: str, routing_key: str) -> str:
    """The queue that a `task-sent` names."""
    if queue:
        return queue
    # Delayed delivery names no queue, its routing key does.
    return undelayed(exchange, routing_key)[1] if exchange.startswith(DELAYED) else ""


def exception_type(exception: str) -> str:
    """The class of an exception from its `repr`: `ValueError('x')` and `mod.ValueError: x` give ValueError."""
    head = _EXCEPTION(exception)
    return head[1].rpartition(".")[2][:100] if head else ""


def wait_seconds(sent: float | None, received: float | None, started: float, eta: str) -> float | None:
    """From when a task could have run to its start; None where nothing before the start was seen."""
    ready = sent if sent is not None and sent <= started else None
    if received is not None and received <= started and (ready is None or received < ready):
        ready = received
    if ready is None:
        return None if sent is None and received is None else 0.0
    if eta:
        ready = max(ready, epoch(eta) or 0.0)
    return started - ready if started > ready else 0.0


def _run_seconds(run: Run | None, started: float | None) -> float | None:
    if isinstance(run, Succeeded) and run.runtime >= 0:
        return run.runtime
    if started is not None and isinstance(run, _RAN) and started <= run.at:
        return run.at - started
    return None


def _updated(task: Task, *known: float | None) -> float:
    """The latest time of any event; `known` are those of some registers."""
    latest = 0.0
    for at in known:
        if at is not None and at > latest:
            latest = at
    for name in _OTHERS:
        value: Run | Custom | None = getattr(task, name)
        if value is not None and value.at > latest:
            latest = value.at
    return latest


def epoch(text: str) -> float | None:
    """UTC seconds of an ISO 8601 text (naive ones are UTC), or None if it is none."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def rfc3339(seconds: float | None) -> str | None:
    """UTC seconds since the epoch as RFC 3339 with microseconds: `2026-11-23T00:41:07.250000Z`; None stays None.

    What no calendar holds (infinity, the year 10000) is None as well.
    """
    if seconds is None or not _YEAR_1 <= seconds < _YEAR_10000:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def runs(task: Task) -> list[Run]:
    """Every run event known of a task, by time."""
    known = [value for name in _RANKED if (value := getattr(task, name)) is not None]
    rank = {type(value): number for number, value in enumerate(known)}
    return sorted([*known, *task.history], key=lambda run: (run.at, rank.get(type(run), 0)))


_End = Succeeded | Failed | Retried | Revoked | Rejected | Cancelled

_END_STATES: Final = {
    Succeeded: State.SUCCESS,
    Failed: State.FAILURE,
    Retried: State.RETRY,
    Revoked: State.REVOKED,
    Rejected: State.REJECTED,
    Cancelled: State.REJECTED,
}


def attempts(task: Task) -> list[Attempt]:
    """The runs of a task, by time.

    Events carry no number of their attempt, and the next `task-received` may precede the `task-retried` of the attempt
    before it, so within one worker process a start belongs to the earliest attempt that has none, and an end to the
    earliest that has started and not ended. An end that the result backend told of names no process: it is the latest
    attempt's, where that has none of its own.
    """
    found: list[Attempt] = []
    learned: _End | None = None
    for run in runs(task):
        if isinstance(run, Sent):
            continue
        if run.pid == LEARNED and not isinstance(run, Received | Started):
            learned = run
            continue
        own = [a for a in found if a.worker == run.worker and a.pid == run.pid]
        if isinstance(run, Received):
            found.append(Attempt(run.worker, run.pid, received_at=run.at, retries=run.retries))
        elif isinstance(run, Started):
            attempt = next((a for a in own if a.started_at is None and a.finished_at is None), None)
            if attempt is None:
                attempt = Attempt(run.worker, run.pid)
                found.append(attempt)
            attempt.started_at, attempt.state = run.at, State.STARTED
        else:
            _end(run, own, found)
    if learned is not None and not any(attempt.state in ENDED for attempt in found):
        _end(learned, found[-1:], found)
    return found


def _end(run: _End, own: list[Attempt], found: list[Attempt]) -> None:
    open_ = [attempt for attempt in own if attempt.finished_at is None]
    attempt = next((a for a in open_ if a.started_at is not None), open_[0] if open_ else None)
    if attempt is None:
        attempt = Attempt(run.worker, 0 if run.pid == LEARNED else run.pid)
        found.append(attempt)
    attempt.finished_at, attempt.state = run.at, _END_STATES[type(run)]
    if isinstance(run, Failed | Retried):
        attempt.exception, attempt.traceback = run.exception, run.traceback
    elif isinstance(run, Succeeded):
        attempt.runtime = run.runtime if run.runtime >= 0 else None
