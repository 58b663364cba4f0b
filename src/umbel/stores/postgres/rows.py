"""A task's summary and texts as the row of `task`, and back, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from umbel.model.merge import Task
from umbel.model.task import Summary, exception_type
from umbel.stores.kinds import STATE_NUMBER, STATES
from umbel.stores.postgres.records import body_of, task_of, traceback_of
from umbel.stores.postgres.text import stored, told

#: The columns of `task_row` and their types.
COLUMNS: Final = {
    "n": "int8",
    "part": "int4",
    "id": "text",
    "name": "text",
    "state": "int2",
    "worker": "text",
    "queue": "text",
    "sent_at": "float8",
    "received_at": "float8",
    "started_at": "float8",
    "finished_at": "float8",
    "wait": "float8",
    "run": "float8",
    "retries": "int8",
    "updated_at": "float8",
    "rerun": "bool",
    "root": "text",
    "parent": "text",
    "exception": "text",
    "args": "text",
    "kwargs": "text",
    "result": "text",
    "traceback": "text",
    "body": "bytea",
}
#: Those of the summary, with which each row begins, and those of the whole record.
SUMMARY_COLUMNS: Final = ", ".join(list(COLUMNS)[:19])
RECORD_COLUMNS: Final = ", ".join(COLUMNS)


def task_row(n: int, part: int, task: Task, summary: Summary) -> tuple[Any, ...]:
    """The row of `task`."""
    described, done = task.description, task.succeeded
    return (
        n,
        part,
        stored(summary.id),
        stored(summary.name),
        STATE_NUMBER[summary.state],
        stored(summary.worker),
        stored(summary.queue),
        summary.sent_at,
        summary.received_at,
        summary.started_at,
        summary.finished_at,
        summary.wait_seconds,
        summary.run_seconds,
        summary.retries,
        summary.updated_at,
        summary.rerun,
        stored(summary.root_id),
        stored(summary.parent_id),
        stored(summary.exception),
        stored(described.args) if described is not None else "",
        stored(described.kwargs) if described is not None else "",
        stored(done.result) if done is not None else "",
        stored(traceback_of(task, summary)),
        body_of(task, summary),
    )


def summary_of(row: Sequence[Any]) -> Summary:
    """The summary from a row that begins with `SUMMARY_COLUMNS`."""
    exception = told(row[18])
    return Summary(
        id=told(row[2]),
        name=told(row[3]),
        state=STATES[row[4]],
        worker=told(row[5]),
        queue=told(row[6]),
        sent_at=row[7],
        received_at=row[8],
        started_at=row[9],
        finished_at=row[10],
        wait_seconds=row[11],
        run_seconds=row[12],
        retries=row[13],
        exception=exception,
        exception_type=exception_type(exception),
        root_id=told(row[16]),
        parent_id=told(row[17]),
        updated_at=row[14],
        rerun=row[15],
    )


def record_of(row: Sequence[Any]) -> tuple[Task, Summary]:
    """The whole record, and its summary, from a row of `RECORD_COLUMNS`."""
    summary = summary_of(row)
    args, kwargs, result, traceback = map(told, row[19:23])
    return task_of(summary, (args, kwargs, result, traceback), row[23]), summary
