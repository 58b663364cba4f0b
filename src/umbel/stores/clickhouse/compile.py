"""Conditions as SQL over the facts of a task; what the user wrote only ever becomes a bound parameter.

A merged register is the register of one of the rows merged, so where a task matches, one of its rows does: that is a
*hint*, a cheap test of single rows that leaves few tasks to be merged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from umbel.errors import QueryError
from umbel.model.match import ascii_lower, text_test
from umbel.model.query import NUMBERS, And, Compare, Field, Node, Not, Op, Or, span_of
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
_TEXT_OPS: Final = (Op.EQ, Op.CONTAINS, Op.GLOB)
_ORDER_OPS: Final = (Op.EQ, Op.LT, Op.LE, Op.GT, Op.GE)


def compile_node(node: Node) -> Condition:
    """The SQL of a condition; raises `QueryError` for a comparison that makes no sense."""
    compiler = _Compiler()
    sql = compiler.node(node)
    parts = node.nodes if isinstance(node, And) else (node,)
    hints = tuple(hint for part in parts if (hint := compiler.hint(part)))
    since, until = span_of(node)
    return Condition(sql, hints, compiler.parameters, since, until)


class _Compiler:
    """Collects the parameters; equal values share one."""

    def __init__(self) -> None:
        self.parameters: dict[str, Any] = {}
        self._names: dict[tuple[str, Any], str] = {}

    def node(self, node: Node) -> str:
        if isinstance(node, Not):
            return f"NOT ({self.node(node.node)})"
        if isinstance(node, And | Or):
            word, empty = (" AND ", "1") if isinstance(node, And) else (" OR ", "0")
            return "(" + word.join(self.node(part) for part in node.nodes) + ")" if node.nodes else empty
        return self._compare(node.field, node.op, node.value)

    def _compare(self, field: Field, op: Op, value: str | float) -> str:
        if field is Field.TEXT:
            return "(" + " OR ".join(self._any(part, op, value) for part in _ANY) + ")"
        if field in NUMBERS:
            if isinstance(value, str) or op not in _ORDER_OPS:
                raise QueryError(f"{field.value}: cannot be compared with {op.value} {value}", 0)
            # What is absent compares as false, under NOT as well.
            return f"ifNull({EXPRESSIONS[field]} {op.value} {self._mark(float(value), 'Float64')}, 0)"
        if not isinstance(value, str) or op not in _TEXT_OPS:
            raise QueryError(f"{field.value}: cannot be compared with {op.value} {value}", 0)
        if field is Field.STATE:
            return f"f_top.3 IN ({_ranks(op, value)})"
        return self._text(EXPRESSIONS[field], op, value)

    def _any(self, field: Field, op: Op, value: str | float) -> str:
        """The test of one field in a search of all texts: an id is to begin with what it is to contain."""
        if field is Field.ID and op is Op.CONTAINS and isinstance(value, str):
            return f"startsWith(lower({EXPRESSIONS[field]}), {self._mark(ascii_lower(value), 'String')})"
        return self._compare(field, op, value)

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
            return f"top.rank IN ({_ranks(op, str(value))})"
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


def _ranks(op: Op, value: str) -> str:
    matches = text_test(op, value)
    return ",".join(["99", *(str(rank) for rank, state in enumerate(STATES) if matches(state.value))])


def like_pattern(value: str) -> str:
    """A pattern in which only `*` is special, as LIKE wants it."""
    return re.sub(r"[\\%_]", r"\\\g<0>", value).replace("*", "%")
