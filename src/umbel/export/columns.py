"""The columns of an export: the fields of a task in the API, one value each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from umbel.errors import UmbelError
from umbel.model.merge import Task
from umbel.model.task import State, Summary, epoch

#: A text; a count; seconds, also those of a time since the epoch; or nothing.
Value = str | int | float | None
Row = Sequence[Value]


class Kind(Enum):
    """What a column's values are."""

    TEXT = "text"
    COUNT = "count"
    #: Seconds.
    DURATION = "duration"
    #: UTC seconds since the epoch; written as RFC 3339, or as a timestamp where the format has one.
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `of` takes its value from a task."""

    name: str
    kind: Kind
    of: Callable[[Summary, Task], Value]
    #: Whether the value is in the record and not in the summary.
    deep: bool = False


class UnknownColumn(UmbelError):
    """There is no such column."""


def _described(field: str) -> Callable[[Summary, Task], Value]:
    return lambda _, task: (task.description and getattr(task.description, field)) or None


def _moment(field: str) -> Callable[[Summary, Task], Value]:
    return lambda _, task: epoch(getattr(task.description, field)) if task.description else None


def _result(summary: Summary, task: Task) -> Value:
    return (summary.state is State.SUCCESS and task.succeeded and task.succeeded.result) or None


def _traceback(summary: Summary, task: Task) -> Value:
    run = {State.FAILURE: task.failed, State.RETRY: task.retried}.get(summary.state)
    return (run and run.traceback) or None


def _text(name: str) -> Column:
    return Column(name, Kind.TEXT, lambda summary, _: getattr(summary, name) or None)


def _number(name: str, kind: Kind) -> Column:
    return Column(name, kind, lambda summary, _: getattr(summary, name))


_ALL: Final = (
    _text("id"),
    _text("name"),
    Column("state", Kind.TEXT, lambda summary, _: summary.state.value),
    _text("worker"),
    _text("queue"),
    Column("args", Kind.TEXT, _described("args"), deep=True),
    Column("kwargs", Kind.TEXT, _described("kwargs"), deep=True),
    Column("result", Kind.TEXT, _result, deep=True),
    _text("exception"),
    Column("traceback", Kind.TEXT, _traceback, deep=True),
    *(_number(name, Kind.TIME) for name in ("sent_at", "received_at", "started_at", "finished_at")),
    *(_number(name, Kind.DURATION) for name in ("wait_seconds", "run_seconds")),
    _number("retries", Kind.COUNT),
    _text("root_id"),
    _text("parent_id"),
    Column("eta", Kind.TIME, _moment("eta"), deep=True),
    Column("expires", Kind.TIME, _moment("expires"), deep=True),
)
#: Every column by its name, in the usual order.
COLUMNS: Final = {column.name: column for column in _ALL}


def columns_of(text: str) -> list[Column]:
    """The columns that a list such as `id,name,state` names, all for ""; raises `UnknownColumn`."""
    names = [name.strip() for name in text.split(",") if name.strip()] or list(COLUMNS)
    unknown = [name for name in names if name not in COLUMNS]
    if unknown:
        raise UnknownColumn(f"there is no column {unknown[0][:100]!r}; there are {', '.join(COLUMNS)}")
    return [COLUMNS[name] for name in dict.fromkeys(names)]
