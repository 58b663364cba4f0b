"""Conditions as SQL over `task`; what the user wrote only ever becomes a bound parameter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from umbel.model.match import ascii_lower
from umbel.model.query import DURATIONS, NUMBERS, And, Compare, Field, Node, Op, span_of
from umbel.stores import conditions
from umbel.stores.kinds import STATES
from umbel.stores.postgres.facets import INDEXED, bucket, bucket_of
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
#: Texts of which the beginning is indexed, in all parts or in those that are over.
_BEGINNINGS: Final = frozenset({"name", "parent", "worker", "queue"})
#: How the bucket of a duration compares where the duration does.
_BUCKETS: Final = {Op.EQ: "=", Op.LT: "<=", Op.LE: "<=", Op.GT: ">=", Op.GE: ">="}


def compile_node(node: Node) -> Condition:
    """The SQL of a condition; raises `QueryError` for a comparison that makes no sense."""
    compiler = _Compiler()
    sql = compiler.node(node)
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


class _Compiler(conditions.Compiler):
    """Collects the parameters in the order in which their marks appear."""

    EVERY, NONE, STATES = "true", "false", STATES

    def __init__(self) -> None:
        self.parameters: list[Any] = []

    def known(self, field: Field, sql: str) -> str:
        return f"coalesce({sql}, false)" if field in NUMBERS else sql

    def any_text(self, op: Op, value: str) -> str:
        tests = [self.text(field, op, value) for field in _ANY]
        # Of an id a search of all texts asks that it begins with what the others are to contain.
        if op is Op.CONTAINS:
            tests.append(f"starts_with(lower(id), {self._mark(ascii_lower(sought(value)))})")
        else:
            tests.append(self.text(Field.ID, op, value))
        return f"({' OR '.join(tests)})"

    def _mark(self, value: Any) -> str:
        self.parameters.append(value)
        return "%s"

    def number(self, field: Field, op: Op, value: float) -> str:
        column = _NUMBERS[field]
        exact = f"{column} {op.value} {self._mark(value)}::double precision"
        if field not in DURATIONS:
            return exact
        return f"({exact} AND {bucket(column)} {_BUCKETS[op]} {self._mark(bucket_of(value))}::integer)"

    def state(self, numbers: Sequence[int]) -> str:
        return f"state = ANY({self._mark(numbers)}::smallint[])"

    def text(self, field: Field, op: Op, value: str) -> str:
        column = _TEXTS[field]
        if op is Op.EQ or (op is Op.GLOB and "*" not in value):
            return self._equal(column, sought(value))
        if op is Op.CONTAINS:
            return f"strpos(lower({column}), {self._mark(ascii_lower(sought(value)))}) > 0"
        return f"{column} LIKE {self._mark(like_pattern(value))} ESCAPE '\\'"

    def _equal(self, column: str, value: str) -> str:
        whole = f"{column} = {self._mark(value)}"
        if column not in _BEGINNINGS or not value:
            return whole
        return f"({whole} AND left({column}, {INDEXED}) = {self._mark(value[:INDEXED])})"
