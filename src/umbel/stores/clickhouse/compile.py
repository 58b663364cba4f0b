"""Conditions as SQL over the facts of a task; what the user wrote only ever becomes a bound parameter.

A merged register is the register of one of the rows merged, so where a task matches, one of its rows does: that is a
*hint*, a cheap test of single rows that leaves few tasks to be merged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from umbel.model.match import ascii_lower, text_test
from umbel.model.query import And, Compare, Field, Node, Op, Or, span_of
from umbel.stores import conditions
from umbel.stores.clickhouse.facts import EXPRESSIONS
from umbel.stores.clickhouse.rows import STATES


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition over facts, the hints that it implies, and the parameters of both."""

    sql: str
    hints: tuple[str, ...]
    parameters: Mapping[str, Any]
    #: Tasks that match have a time in this span (UTC seconds), where that is known.
    since: float | None = None
    until: float | None = None


#: Columns of single rows that hold what a field is taken from.
_TEXT_COLUMNS: Final = {
    Field.ID: ("id",),
    Field.NAME: ("description.name",),
    Field.WORKER: ("top.worker", "custom.worker"),
    Field.ARGS: ("description.args",),
    Field.KWARGS: ("description.kwargs",),
    Field.RESULT: ("succeeded.result",),
    Field.EXCEPTION: ("failed.exception", "retried.exception"),
    Field.TRACEBACK: ("failed.traceback", "retried.traceback"),
    Field.ROOT: ("description.root_id",),
    Field.PARENT: ("description.parent_id",),
}
#: As before, with the comparisons that a maximum or minimum passes on to the row that it comes from.
_NUMBER_COLUMNS: Final = {
    Field.SENT: ("sent.at", (Op.GT, Op.GE, Op.EQ)),
    Field.STARTED: ("started", (Op.GT, Op.GE, Op.EQ)),
    Field.FINISHED: ("top.at", (Op.GT, Op.GE, Op.EQ)),
    Field.RECEIVED: ("received_first", (Op.LT, Op.LE, Op.EQ)),
    Field.RETRIES: ("retries", (Op.GT, Op.GE)),
}
#: What `Field.TEXT` searches.
_ANY: Final = (Field.ID, Field.NAME, Field.WORKER, Field.ARGS, Field.KWARGS, Field.RESULT, Field.EXCEPTION)


def compile_node(node: Node) -> Condition:
    """The SQL of a condition; raises `QueryError` for a comparison that makes no sense."""
    compiler = _Compiler()
    sql = compiler.node(node)
    parts = node.nodes if isinstance(node, And) else (node,)
    hints = tuple(hint for part in parts if (hint := compiler.hint(part)))
    since, until = span_of(node)
    return Condition(sql, hints, compiler.parameters, since, until)


class _Compiler(conditions.Compiler):
    """Collects the parameters; equal values share one."""

    EVERY, NONE, STATES = "1", "0", STATES

    def __init__(self) -> None:
        self.parameters: dict[str, Any] = {}
        self._names: dict[tuple[str, Any], str] = {}

    def number(self, field: Field, op: Op, value: float) -> str:
        # What is absent compares as false, under NOT as well.
        return f"ifNull({EXPRESSIONS[field]} {op.value} {self._mark(value, 'Float64')}, 0)"

    def state(self, numbers: Sequence[int]) -> str:
        return f"f_top.3 IN ({_ranks(numbers)})"

    def text(self, field: Field, op: Op, value: str) -> str:
        return self._text(EXPRESSIONS[field], op, value)

    def any_text(self, op: Op, value: str) -> str:
        return "(" + " OR ".join(self._any(field, op, value) for field in _ANY) + ")"

    def _any(self, field: Field, op: Op, value: str) -> str:
        """The test of one field in a search of all texts: an id is to begin with what it is to contain."""
        if field is Field.ID and op is Op.CONTAINS:
            return f"startsWith(lower({EXPRESSIONS[field]}), {self._mark(ascii_lower(value), 'String')})"
        return self.text(field, op, value)

    def hint(self, node: Node) -> str | None:
        """A test that one row at least passes of each task that matches; None if any row might."""
        if isinstance(node, Or):
            parts = [self.hint(part) for part in node.nodes]
            return "(" + " OR ".join(part for part in parts if part) + ")" if parts and all(parts) else None
        if not isinstance(node, Compare):
            return None
        field, op, value = node.field, node.op, node.value
        if field in _NUMBER_COLUMNS:
            column, ops = _NUMBER_COLUMNS[field]
            return f"{column} {op.value} {self._mark(float(value), 'Float64')}" if op in ops else None
        if field is Field.STATE:
            return f"top.rank IN ({_ranks(self.states(op, str(value)))})"
        fields = _ANY if field is Field.TEXT else (field,)
        if not isinstance(value, str) or text_test(op, value)("") or any(f not in _TEXT_COLUMNS for f in fields):
            return None
        columns = [column for f in fields for column in _TEXT_COLUMNS[f]]
        return "(" + " OR ".join(self._text(column, op, value) for column in columns) + ")"

    def _mark(self, value: Any, type_: str) -> str:
        name = self._names.get((type_, value))
        if name is None:
            name = self._names[type_, value] = f"p{len(self._names)}"
            self.parameters[name] = value
        return f"{{{name}:{type_}}}"

    def _text(self, expression: str, op: Op, value: str) -> str:
        if op is Op.EQ:
            return f"{expression} = {self._mark(value, 'String')}"
        if op is Op.CONTAINS:
            return f"position(lower({expression}), {self._mark(ascii_lower(value), 'String')}) > 0"
        return f"{expression} LIKE {self._mark(like_pattern(value), 'String')}"


def _ranks(numbers: Sequence[int]) -> str:
    return ",".join(map(str, [99, *numbers]))


def like_pattern(value: str) -> str:
    """A pattern in which only `*` is special, as LIKE wants it."""
    return re.sub(r"[\\%_]", r"\\\g<0>", value).replace("*", "%")
