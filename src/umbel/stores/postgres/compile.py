"""Conditions as SQL over `task`; what the user wrote only ever becomes a bound parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from umbel.errors import QueryError
from umbel.model.match import ascii_lower, text_test
from umbel.model.query import NUMBERS, And, Compare, Field, Node, Not, Op, Or, span_of
from umbel.stores.postgres.rows import STATES
from umbel.stores.postgres.text import escaped, like_pattern, sought


@dataclass(frozen=True, slots=True)
class Condition:
    """A WHERE clause over `task`."""

    sql: str
    parameters: tuple[Any, ...]
    #: Tasks that match have a time in this span (UTC seconds), where that is known.
    since: float | None = None
    until: float | None = None
    #: A test by the index of texts that every match passes, with its parameters; "" where there is none.
    hint: str = ""
    hint_parameters: tuple[str, ...] = ()


#: Characters of a text in an index; see the migrations.
INDEXED: Final = 200
_NUMBERS: Final = {
    Field.RUN: "run",
    Field.WAIT: "wait",
    Field.RETRIES: "retries",
    Field.SENT: "sent_at",
    Field.RECEIVED: "received_at",
    Field.STARTED: "started_at",
    Field.FINISHED: "finished_at",
}
_TEXTS: Final = {
    Field.ID: "id",
    Field.NAME: "name",
    Field.WORKER: "worker",
    Field.QUEUE: "queue",
    Field.ARGS: "args",
    Field.KWARGS: "kwargs",
    Field.RESULT: "result",
    Field.EXCEPTION: "exception",
    Field.TRACEBACK: "traceback",
    Field.ROOT: "root",
    Field.PARENT: "parent",
}
#: What `Field.TEXT` searches, besides ids.
_ANY: Final = (Field.NAME, Field.WORKER, Field.ARGS, Field.KWARGS, Field.RESULT, Field.EXCEPTION)
#: What the index of texts is of; a text that a search finds in one of these fields stands in it.
ALL_TEXTS: Final = "lower(" + " || E'\\n' || ".join(("id", *(_TEXTS[field] for field in _ANY))) + ")"
_INDEXED: Final = frozenset({*_ANY, Field.TEXT})
#: Characters of an entry of that index.
GRAM: Final = 3
_COMPARISONS: Final = frozenset({Op.EQ, Op.LT, Op.LE, Op.GT, Op.GE})


def compile_node(node: Node) -> Condition:
    """The SQL of a condition; raises `QueryError` for a comparison that makes no sense."""
    compiler = _Compiler()
    sql = compiler.node(node, negated=False)
    since, until = span_of(node)
    hints = [pattern for part in (node.nodes if isinstance(node, And) else (node,)) if (pattern := _pattern(part))]
    hint = " AND ".join([f"{ALL_TEXTS} LIKE %s"] * len(hints))
    return Condition(sql, tuple(compiler.parameters), since, until, hint, tuple(hints))


def _pattern(node: Node) -> str | None:
    """What all texts of a task that matches are like; None where nothing can be told that an index could use."""
    if not isinstance(node, Compare) or node.field not in _INDEXED or not isinstance(node.value, str):
        return None
    pieces = node.value.split("*") if node.op is Op.GLOB else [node.value]
    if max(map(len, pieces)) < GRAM:
        return None
    return f"%{'%'.join(ascii_lower(escaped(piece)) for piece in pieces)}%"


class _Compiler:
    """Collects the parameters in the order in which their marks appear."""

    def __init__(self) -> None:
        self.parameters: list[Any] = []

    def node(self, node: Node, *, negated: bool) -> str:
        if isinstance(node, Not):
            return f"NOT ({self.node(node.node, negated=True)})"
        if isinstance(node, And | Or):
            word, empty = (" AND ", "true") if isinstance(node, And) else (" OR ", "false")
            parts = [self.node(part, negated=negated) for part in node.nodes]
            return f"({word.join(parts)})" if parts else empty
        sql = self._compare(node.field, node.op, node.value)
        # What is absent compares as false; under NOT that must not stay unknown.
        return f"coalesce({sql}, false)" if negated and node.field in NUMBERS else sql

    def _compare(self, field: Field, op: Op, value: str | float) -> str:
        if field is Field.TEXT:
            tests = [self._compare(part, op, value) for part in _ANY]
            return f"({' OR '.join(tests)} OR {self._any_id(op, value)})"
        if field in NUMBERS:
            return self._number(field, op, value)
        if not isinstance(value, str) or op not in (Op.EQ, Op.CONTAINS, Op.GLOB):
            raise QueryError(f"{field.value}: cannot be compared with {op.value} {value}", 0)
        if field is Field.STATE:
            return self._state(op, value)
        return self._text(_TEXTS[field], op, value)

    def _any_id(self, op: Op, value: str | float) -> str:
        """The test of an id in a search of all texts: it is to begin with what it is to contain."""
        if op is Op.CONTAINS and isinstance(value, str):
            return f"starts_with(lower(id), {self._mark(ascii_lower(sought(value)))})"
        return self._compare(Field.ID, op, value)

    def _mark(self, value: Any) -> str:
        self.parameters.append(value)
        return "%s"

    def _number(self, field: Field, op: Op, value: str | float) -> str:
        if isinstance(value, str) or op not in _COMPARISONS:
            raise QueryError(f"{field.value}: cannot be compared with {op.value} {value}", 0)
        return f"{_NUMBERS[field]} {op.value} {self._mark(float(value))}::double precision"

    def _state(self, op: Op, value: str) -> str:
        matches = text_test(op, value)
        numbers = [number for number, state in enumerate(STATES) if matches(state.value)]
        return f"state = ANY({self._mark(numbers)}::smallint[])"

    def _text(self, column: str, op: Op, value: str) -> str:
        if op is Op.GLOB and "*" not in value:
            op = Op.EQ
        if op is Op.EQ:
            return self._equal(column, sought(value))
        if op is Op.CONTAINS:
            return f"strpos(lower({column}), {self._mark(ascii_lower(sought(value)))}) > 0"
        return f"{column} LIKE {self._mark(like_pattern(value))} ESCAPE '\\'"

    def _equal(self, column: str, value: str) -> str:
        whole = f"{column} = {self._mark(value)}"
        if column not in ("name", "parent") or not value:
            return whole
        return f"({whole} AND left({column}, {INDEXED}) = {self._mark(value[:INDEXED])})"
