"""What a store must answer, worked out in plain Python from the pure model."""

from __future__ import annotations

import operator
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from umbel.model.event import AnyEvent
from umbel.model.merge import Task, fold
from umbel.model.query import NUMBERS, And, Compare, Field, Node, Not, Op, Or
from umbel.model.rollup import RUN, WAIT, RollupPoint, contribution
from umbel.model.task import State, Summary, summarize
from umbel.stores.base import ExceptionCount, StoreReader

_COMPARE: Mapping[Op, Callable[[Any, Any], bool]] = {
    Op.EQ: operator.eq,
    Op.LT: operator.lt,
    Op.LE: operator.le,
    Op.GT: operator.gt,
    Op.GE: operator.ge,
}
_ANY = (Field.ID, Field.NAME, Field.WORKER, Field.ARGS, Field.KWARGS, Field.RESULT, Field.EXCEPTION)


class Oracle:
    """All that follows from a set of events."""

    def __init__(self, events: Iterable[AnyEvent]) -> None:
        self.tasks: Mapping[str, Task] = fold(events)
        self.summaries = {id_: summarize(task) for id_, task in self.tasks.items()}

    def matching(self, where: Node) -> set[str]:
        """Ids of the tasks that match."""
        return {id_ for id_ in self.tasks if self._matches(where, id_)}

    def _matches(self, node: Node, id_: str) -> bool:
        if isinstance(node, Not):
            return not self._matches(node.node, id_)
        if isinstance(node, And):
            return all(self._matches(part, id_) for part in node.nodes)
        if isinstance(node, Or):
            return any(self._matches(part, id_) for part in node.nodes)
        if node.field is Field.TEXT and node.op is Op.CONTAINS and _lower(id_).startswith(_lower(str(node.value))):
            return True
        if node.field is Field.TEXT:
            return any(
                self._matches(Compare(field, node.op, node.value), id_) for field in _ANY[node.op is Op.CONTAINS :]
            )
        value = _value(self.tasks[id_], self.summaries[id_], node.field)
        if node.field in NUMBERS:
            return value is not None and _COMPARE[node.op](value, node.value)
        return _text_matches(node.op, str(node.value), value)

    def rollup(self, start: float, end: float, step: int, name: str | None = None) -> list[RollupPoint]:
        points: dict[int, Counter[int]] = {}
        for minute, code, task_name in self._cells():
            at = minute * 60
            if at + 60 > start and at < end and name in (None, task_name):
                points.setdefault(at // step * step, Counter())[code] += 1
        return [_point(at, name or "", points[at]) for at in sorted(points)]

    def rollup_names(self, start: float, end: float) -> list[RollupPoint]:
        points: dict[str, Counter[int]] = {}
        for minute, code, name in self._cells():
            if minute * 60 + 60 > start and minute * 60 < end:
                points.setdefault(name, Counter())[code] += 1
        return [_point(int(start), name, points[name]) for name in sorted(points)]

    def exceptions(self, start: float, end: float) -> list[ExceptionCount]:
        found: Counter[tuple[str, str]] = Counter()
        for id_, task in self.tasks.items():
            what = contribution(task, self.summaries[id_])
            if what.exception and what.exception[0] * 60 + 60 > start and what.exception[0] * 60 < end:
                found[what.exception[1], what.name] += 1
        counts = [ExceptionCount(type_, name, count) for (type_, name), count in found.items()]
        return sorted(counts, key=lambda e: (-e.count, e.exception_type, e.name))

    def _cells(self) -> list[tuple[int, int, str]]:
        whats = [contribution(task, self.summaries[id_]) for id_, task in self.tasks.items()]
        return [(minute, code, what.name) for what in whats for minute, code in what.cells]


def _value(task: Task, summary: Summary, field: Field) -> Any:
    described = task.description
    values = {
        Field.ID: summary.id,
        Field.NAME: summary.name,
        Field.STATE: summary.state.value,
        Field.WORKER: summary.worker,
        Field.QUEUE: summary.queue,
        Field.ARGS: described.args if described else "",
        Field.KWARGS: described.kwargs if described else "",
        Field.RESULT: task.succeeded.result if task.succeeded else "",
        Field.EXCEPTION: summary.exception,
        Field.TRACEBACK: _traceback(task, summary),
        Field.RUN: summary.run_seconds,
        Field.WAIT: summary.wait_seconds,
        Field.RETRIES: summary.retries,
        Field.SENT: summary.sent_at,
        Field.RECEIVED: summary.received_at,
        Field.STARTED: summary.started_at,
        Field.FINISHED: summary.finished_at,
        Field.ROOT: summary.root_id,
        Field.PARENT: summary.parent_id,
    }
    return values[field]


def _traceback(task: Task, summary: Summary) -> str:
    run = {State.FAILURE: task.failed, State.RETRY: task.retried}.get(summary.state)
    return run.traceback if run else ""


def _text_matches(op: Op, wanted: str, text: str) -> bool:
    if op is Op.CONTAINS:
        return _lower(wanted) in _lower(text)
    if op is Op.GLOB:
        return re.fullmatch(".*".join(map(re.escape, wanted.split("*"))), text, re.DOTALL) is not None
    return text == wanted


def _lower(text: str) -> str:
    return "".join(c.lower() if c.isascii() else c for c in text)


def _point(at: int, name: str, cells: Mapping[int, int]) -> RollupPoint:
    point = RollupPoint(at, name, {}, {}, {})
    for code, count in cells.items():
        if code >= RUN:
            point.run = {**point.run, code - RUN: count}
        elif code >= WAIT:
            point.wait = {**point.wait, code - WAIT: count}
        else:
            point.counts = {**point.counts, code: count}  # type: ignore[dict-item]
    return point


def check(reader: StoreReader, events: Sequence[AnyEvent], span: tuple[float, float]) -> None:
    """Everything that a reader says of tasks equals what follows from the events."""
    from tests.conformance.store_rigs import all_records, all_tasks

    oracle = Oracle(events)
    # Small pages where there are few tasks: each costs a query or more.
    limit = 2 if len(oracle.tasks) < 100 else 97
    listed = all_tasks(reader, limit=limit)
    assert len({summary.id for summary in listed}) == len(listed), "a task is listed twice"
    assert {summary.id: summary for summary in listed} == oracle.summaries
    assert dict(reader.records(list(oracle.tasks))) == oracle.tasks
    scanned = all_records(reader, limit)
    assert len({task.id for task in scanned}) == len(scanned), "a record comes twice"
    assert {task.id: task for task in scanned} == oracle.tasks
    assert all(reader.task(id_) == task for id_, task in list(oracle.tasks.items())[:100])
    start, end = span
    for step in (60, 300, 600, 3600, 86400):
        assert list(reader.rollup(start, end, step)) == oracle.rollup(start, end, step)
    for name in {summary.name for summary in listed}:
        assert list(reader.rollup(start, end, 60, name)) == oracle.rollup(start, end, 60, name)
    assert list(reader.rollup_names(start, end)) == oracle.rollup_names(start, end)
    assert list(reader.exceptions(start, end, 1_000)) == oracle.exceptions(start, end)
