"""A task's record as a row of `task`, and back from merged rows, exactly.

`runs` holds every run event of the piece, so that none is lost when two pieces merge; the other columns repeat what
searches and sums look at. All of them are functions of the set of events alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from umbel.model.merge import (
    HISTORY,
    RUN_REGISTERS,
    Custom,
    Description,
    Failed,
    Run,
    Task,
)
from umbel.model.task import State, epoch, exception_type
from umbel.stores.kinds import KIND_NUMBER, KINDS

#: States by rank, as `top` stores it; among equal times the greater one wins. Part of the stored form.
STATES: Final = (
    State.PENDING,
    State.RECEIVED,
    State.STARTED,
    State.RETRY,
    State.REJECTED,
    State.REJECTED,
    State.REVOKED,
    State.FAILURE,
    State.SUCCESS,
)
RETRIED_RANK: Final = 3
REVOKED_RANK: Final = 6
FAILED_RANK: Final = 7
SUCCEEDED_RANK: Final = 8
#: Class and rank of the registers that a state may follow from.
_RANKS: Final = (
    ("received", 1, 1),
    ("started", 1, 2),
    ("retried", 1, RETRIED_RANK),
    ("cancelled", 1, 4),
    ("rejected", 1, 5),
    ("revoked", 2, REVOKED_RANK),
    ("failed", 2, FAILED_RANK),
    ("succeeded", 2, SUCCEEDED_RANK),
)

#: The time of an absent register; real ones are not negative.
ABSENT: Final = -1.0
NEVER: Final = float("inf")

#: Names and types of the columns, in the order of `task_row`.
COLUMNS: Final = {
    "n": "UInt64",
    "id": "String",
    "description": "Tuple(Int8, Float64, String, String, String, String, String, String, String, Float64)",
    "top": "Tuple(UInt8, Float64, UInt8, String)",
    "sent": "Tuple(Float64, String, String, String, String)",
    "received_first": "Float64",
    "received": "Float64",
    "started": "Float64",
    "succeeded": "Tuple(Float64, String, UInt64, String, Float64)",
    "failed": "Tuple(Float64, String, UInt64, String, String, String)",
    "retried": "Tuple(Float64, String, UInt64, String, String)",
    "custom": "Tuple(Float64, String, String, String)",
    "retries": "UInt64",
    "runs": "Array(Tuple(UInt8, Float64, String))",
}

_NO_DESCRIPTION: Final = (-1, ABSENT, "", "", "", "", "", "", "", 0.0)
_NO_TOP: Final = (0, 0.0, 0, "")
_NO_SENT: Final = (ABSENT, "", "", "", "")
_NO_SUCCEEDED: Final = (ABSENT, "", 0, "", 0.0)
_NO_FAILED: Final = (ABSENT, "", 0, "", "", "")
_NO_RETRIED: Final = (ABSENT, "", 0, "", "")
_NO_CUSTOM: Final = (ABSENT, "", "", "")

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode
_fields: Final = msgspec.structs.astuple


def task_row(n: int, task: Task) -> tuple[Any, ...]:
    """The row of a record, or of a piece of one."""
    sent, done, failed, retried, custom = task.sent, task.succeeded, task.failed, task.retried, task.custom
    registers = [value for name in RUN_REGISTERS if (value := getattr(task, name)) is not None]
    return (
        n,
        task.id,
        _description(task.description) if task.description is not None else _NO_DESCRIPTION,
        _top(task),
        (sent.at, sent.client, sent.queue, sent.exchange, sent.routing_key) if sent is not None else _NO_SENT,
        task.received_first,
        task.received.at if task.received is not None else ABSENT,
        task.started.at if task.started is not None else ABSENT,
        _fields(done) if done is not None else _NO_SUCCEEDED,
        _failed(failed) if failed is not None else _NO_FAILED,
        _fields(retried) if retried is not None else _NO_RETRIED,
        _fields(custom) if custom is not None else _NO_CUSTOM,
        task.retries,
        [_run(value) for value in (*registers, *task.history)],
    )


def _description(described: Description) -> tuple[Any, ...]:
    return (*_fields(described), epoch(described.eta) or 0.0)


def _failed(failed: Failed) -> tuple[Any, ...]:
    type_ = exception_type(failed.exception)
    return (failed.at, failed.worker, failed.pid, failed.exception, type_, failed.traceback)


def _top(task: Task) -> tuple[int, float, int, str]:
    best = _NO_TOP
    for name, class_, rank in _RANKS:
        run = getattr(task, name)
        if run is not None:
            best = max(best, (class_, run.at, rank, run.worker))
    return best


def _run(run: Run) -> tuple[int, float, str]:
    at, *rest = _fields(run)
    return (KIND_NUMBER[type(run)], at, _encode(rest).decode())


#: What `task_of` wants, in its order; to be selected from `task` by id.
RECORD: Final = (
    "id, min(n) AS first_n, max(description) AS description_, max(custom) AS custom_, "
    "min(received_first) AS received_first_, max(retries) AS retries_, groupUniqArrayArray(runs) AS runs_"
)


def task_of(row: Sequence[Any]) -> Task:
    """The whole record from the columns of `RECORD`."""
    id_, _, description, custom, received_first, retries, runs = row
    task = Task(id_, received_first=received_first, retries=retries)
    rank, *described = description
    if rank >= 0:
        task.description = Description(rank, *described[:-1])
    at, *rest = custom
    if at >= 0:
        task.custom = Custom(at, *rest)
    kinds: dict[int, list[Any]] = {}
    for kind, at, rest in runs:
        kinds.setdefault(kind, []).append(KINDS[kind](at, *_decode(rest)))
    history: list[Run] = []
    for kind, values in kinds.items():
        values.sort(reverse=True)
        setattr(task, RUN_REGISTERS[kind], values[0])
        history += values[1 : HISTORY + 1]
    task.history = frozenset(history)
    return task


def texts_of(task: Task) -> int:
    """Characters of the long texts of a record, about."""
    described, runs = task.description, [task.succeeded, task.failed, task.retried, *task.history]
    size = len(described.args) + len(described.kwargs) if described is not None else 0
    for run in runs:
        for name in ("result", "exception", "traceback"):
            size += len(getattr(run, name, ""))
    return size
