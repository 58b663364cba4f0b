"""What one task adds to the rollups: counts and latencies per minute and task name, and failures by exception.

A contribution is a pure function of a task's record, so a store keeps rollups exactly once by subtracting the old
record's contribution and adding the new one's in the transaction that changes the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from msgspec import Struct

from umbel.model.latency import bucket
from umbel.model.merge import Retried, Task
from umbel.model.task import State, Summary


class Series(IntEnum):
    """What is counted; the number is part of the stored form."""

    SENT = 0
    RECEIVED = 1
    STARTED = 2
    SUCCEEDED = 3
    FAILED = 4
    RETRIED = 5
    REVOKED = 6
    REJECTED = 7


#: Codes of latency cells: base + bucket (see `latency.py`).
WAIT: Final = 1_000
RUN: Final = 2_000

# Plain names and numbers: looking a member up in its class takes longer than the rest of a cell.
_SENT, _RECEIVED, _STARTED = int(Series.SENT), int(Series.RECEIVED), int(Series.STARTED)
_RETRIED, _REJECTED = int(Series.RETRIED), int(Series.REJECTED)
_FAILURE: Final = State.FAILURE
_END_SERIES: Final = {
    State.SUCCESS: int(Series.SUCCEEDED),
    State.FAILURE: int(Series.FAILED),
    State.REVOKED: int(Series.REVOKED),
}


class Contribution(Struct, frozen=True, gc=False):
    """What a task adds: 1 to each cell (minute, code) of its name, and 1 to an exception's count."""

    name: str
    #: Minutes since the epoch, with a `Series` or a `WAIT`/`RUN` code.
    cells: tuple[tuple[int, int], ...]
    #: Minute and class name of the exception it failed with.
    exception: tuple[int, str] | None = None


def contribution(task: Task, summary: Summary) -> Contribution:
    """The cells of a record; counts are placed at the minute of their own event."""
    cells: list[tuple[int, int]] = []
    sent, started, finished = summary.sent_at, summary.started_at, summary.finished_at
    if sent is not None:
        cells.append((int(sent // 60), _SENT))
    if summary.received_at is not None:
        cells.append((int(summary.received_at // 60), _RECEIVED))
    if started is not None:
        minute = int(started // 60)
        cells.append((minute, _STARTED))
        if summary.wait_seconds is not None:
            cells.append((minute, WAIT + bucket(summary.wait_seconds)))
    if task.retried:
        retries = [task.retried, *(run for run in task.history if type(run) is Retried)]
        cells.extend((int(run.at // 60), _RETRIED) for run in retries)
    if task.rejected:
        cells.append((int(task.rejected.at // 60), _REJECTED))
    exception = None
    if finished is not None:
        minute = int(finished // 60)
        cells.append((minute, _END_SERIES[summary.state]))
        if summary.run_seconds is not None:
            cells.append((minute, RUN + bucket(summary.run_seconds)))
        if summary.state is _FAILURE:
            exception = (minute, summary.exception_type)
    return Contribution(summary.name, tuple(cells), exception)


@dataclass(slots=True)
class RollupPoint:
    """Counts in one span of time, all names together or one name's."""

    #: UTC seconds: the start of the span.
    at: int
    name: str = ""
    #: Events by series.
    counts: dict[Series, int] = field(default_factory=dict)
    #: Counts by latency bucket.
    wait: Mapping[int, int] = field(default_factory=dict)
    run: Mapping[int, int] = field(default_factory=dict)
