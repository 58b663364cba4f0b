"""The attempts of a task as bars on one axis of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from umbel.model.merge import Task
from umbel.model.task import Attempt, State, epoch

#: Attempts that are drawn; the others are in the list of events.
DRAWN: Final = 60
#: The narrowest bar, as a share of the axis in percent.
THIN: Final = 0.4


@dataclass(frozen=True, slots=True)
class Bar:
    """A piece of a lane; `x` and `width` in percent of the axis."""

    #: wait (in the queue), held (by a worker that has not begun) or run.
    kind: str
    x: float
    width: float
    seconds: float
    state: State


@dataclass(frozen=True, slots=True)
class Lane:
    """One attempt."""

    number: int
    attempt: Attempt
    bars: Sequence[Bar]
    wait_seconds: float | None
    run_seconds: float | None
    #: It began after the task had ended.
    again: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """All lanes on the axis from `start` to `end` (UTC seconds)."""

    start: float
    end: float
    lanes: Sequence[Lane]
    #: Attempts that are not drawn.
    left_out: int
    #: The ETA on the axis in percent, where it lies on it.
    eta: float | None

    @property
    def length(self) -> float:
        return self.end - self.start


def timeline(task: Task, attempts: Sequence[Attempt], ended_at: float | None, now: float) -> Timeline | None:
    """Lay the attempts out; None where no time is known."""
    sent = task.sent.at if task.sent else None
    times = [time for a in attempts for time in (a.received_at, a.started_at, a.finished_at) if time is not None]
    if sent is not None:
        times.append(sent)
    if not times:
        return None
    is_open = ended_at is None
    start, end = min(times), max([*times, now] if is_open else times)
    axis = Axis(start, max(end, start + 1e-3))
    lanes: list[Lane] = []
    ready = min(sent, start) if sent is not None and task.retries == 0 else start if sent is not None else None
    eta = epoch(task.description.eta) if task.description else None
    for number, attempt in enumerate(attempts[:DRAWN], 1):
        again = ended_at is not None and _first(attempt) > ended_at
        if number == len(attempts):
            ready = _due(ready, eta, attempt)
        lanes.append(_lane(axis, number, attempt, None if again else ready, now, again=again))
        ready = attempt.finished_at if attempt.state is State.RETRY else None
    at = axis.percent(eta) if eta is not None and axis.start <= eta <= axis.end else None
    return Timeline(axis.start, axis.end, lanes, max(0, len(attempts) - DRAWN), at)


@dataclass(frozen=True, slots=True)
class Axis:
    """From `start` to `end`, UTC seconds; `end` lies after `start`."""

    start: float
    end: float

    def percent(self, time: float) -> float:
        """Where a moment lies, in percent."""
        return round((time - self.start) / (self.end - self.start) * 100, 3)

    def bar(self, kind: str, start: float, end: float, state: State) -> Bar:
        """A span as a bar, wide enough to be seen."""
        x = self.percent(start)
        width = max(self.percent(end) - x, THIN)
        return Bar(kind, min(x, 100 - width), width, max(0.0, end - start), state)


def _due(ready: float | None, eta: float | None, attempt: Attempt) -> float | None:
    """From when the latest attempt waited: before its ETA, which is the latest message's, it was not to run."""
    if ready is None or eta is None or attempt.started_at is None:
        return ready
    return max(ready, eta) if eta <= attempt.started_at else ready


def _first(attempt: Attempt) -> float:
    known = (attempt.received_at, attempt.started_at, attempt.finished_at)
    return min((time for time in known if time is not None), default=0.0)


def _lane(axis: Axis, number: int, attempt: Attempt, ready: float | None, now: float, *, again: bool) -> Lane:
    received, started = attempt.received_at, attempt.started_at
    finished = attempt.finished_at if attempt.finished_at is not None else axis.end
    bars = []
    taken = received if received is not None else started
    if ready is not None and taken is not None and taken > ready:
        bars.append(axis.bar("wait", ready, taken, attempt.state))
    if received is not None:
        until = started if started is not None else finished
        if until > received:
            bars.append(axis.bar("held", received, until, attempt.state))
    if started is not None:
        bars.append(axis.bar("run", started, max(started, finished), attempt.state))
    elif attempt.finished_at is not None:
        bars.append(axis.bar("run", attempt.finished_at, attempt.finished_at, attempt.state))
    begun = ready if ready is not None else received
    wait = started - begun if started is not None and begun is not None and started >= begun else None
    ended = attempt.finished_at if attempt.finished_at is not None else now
    run = max(0.0, ended - started) if started is not None else None
    if attempt.runtime is not None:
        run = attempt.runtime
    return Lane(number, attempt, bars, wait, run, again)
