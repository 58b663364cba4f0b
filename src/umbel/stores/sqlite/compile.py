"""Conditions as SQL over the tables of a segment; what the user wrote only ever becomes a bound parameter."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from umbel.model.match import ascii_lower, text_test
from umbel.model.query import Field, Node, Op, span_of
from umbel.stores import conditions
from umbel.stores.kinds import STATES
from umbel.stores.sqlite.ids import WITH_ID, to_key


@dataclass(frozen=True, slots=True)
class Condition:
    """A WHERE clause over `task`, and `record` if it looks at `texts`."""

    sql: str
    parameters: tuple[Any, ...]
    texts: bool
    #: Tasks that match have a time in this span (UTC seconds), where that is known.
    since: float | None = None
    until: float | None = None

    @property
    def kept_sql(self) -> str:
        """The same clause over a segment where `kept` tells the texts of records without a row."""
        sql = self.sql
        for field, name in enumerate(("args", "kwargs", "result", "traceback"), start=1):
            later = f"(SELECT r.{name} FROM record AS r WHERE r.n = task.n)"  # noqa: S608 - names of ours
            sql = sql.replace(f"record.{name}", f"coalesce({later}, kept(task.n, {field}))")
        return sql


_NUMBERS: Final = {
    Field.RUN: "task.run",
    Field.WAIT: "task.wait",
    Field.RETRIES: "task.retries",
    Field.SENT: "task.sent_at",
    Field.RECEIVED: "task.received_at",
    Field.STARTED: "task.started_at",
    Field.FINISHED: "task.finished_at",
}
_WORDS: Final = {Field.NAME: "task.name", Field.WORKER: "task.worker", Field.QUEUE: "task.queue"}
_TEXTS: Final = {
    Field.ARGS: "record.args",
    Field.KWARGS: "record.kwargs",
    Field.RESULT: "record.result",
    Field.TRACEBACK: "record.traceback",
    Field.EXCEPTION: "coalesce(task.exception, '')",
}
_IDS: Final = {
    Field.ID: "task.id",
    Field.ROOT: "coalesce(task.root, task.id)",
    Field.PARENT: "coalesce(task.parent, '')",
}
#: What `Field.TEXT` searches, besides ids.
ANY_TEXT: Final = (Field.NAME, Field.WORKER, Field.ARGS, Field.KWARGS, Field.RESULT, Field.EXCEPTION)
#: Ids that are no UUIDs come before all others.
_BEGINS: Final = f"{WITH_ID} < x'' AND substr(lower(id), 1, length(?1)) = ?1"
_BETWEEN: Final = f"{WITH_ID} BETWEEN ? AND ?"
#: Whether a piece of text may stand in a UUID.
_IN_UUID: Final = re.compile(r"[0-9a-f-]*").fullmatch


def compile_node(node: Node) -> Condition:
    """The SQL of a condition; raises `QueryError` for a comparison that makes no sense."""
    compiler = _Compiler()
    sql = compiler.node(node)
    since, until = span_of(node)
    return Condition(sql, tuple(compiler.parameters), compiler.texts, since, until)


class _Compiler(conditions.Compiler):
    """Collects the parameters in the order in which their marks appear."""

    EVERY, NONE, STATES = "1", "0", STATES

    def __init__(self) -> None:
        self.parameters: list[Any] = []
        self.texts = False

    def known(self, field: Field, sql: str) -> str:
        del field
        return f"coalesce({sql}, 0)"

    def any_text(self, op: Op, value: str) -> str:
        tests = [self.text(field, op, value) for field in ANY_TEXT]
        tests.append(self._begins(value) if op is Op.CONTAINS else self.text(Field.ID, op, value))
        return "(" + " OR ".join(f"coalesce({test}, 0)" for test in tests) + ")"

    def number(self, field: Field, op: Op, value: float) -> str:
        return f"{_NUMBERS[field]} {op.value} {self._mark(value)}"

    def state(self, numbers: Sequence[int]) -> str:
        return f"task.state IN ({','.join(map(str, numbers))})"

    def text(self, field: Field, op: Op, value: str) -> str:
        if field in _WORDS:
            return self._word(_WORDS[field], op, value)
        if field in _IDS:
            return self._id(_IDS[field], op, value)
        self.texts = self.texts or field is not Field.EXCEPTION
        if field is Field.EXCEPTION and not text_test(op, value)(""):
            # Few tasks have one; the others are passed over for half of what it takes to look through no text.
            return f"(task.exception IS NOT NULL AND {self._text('task.exception', op, value)})"
        return self._text(_TEXTS[field], op, value)

    def _mark(self, value: Any) -> str:
        self.parameters.append(value)
        return "?"

    def _word(self, column: str, op: Op, value: str) -> str:
        if op is Op.GLOB and "*" not in value:
            op = Op.EQ
        if text_test(op, value)(""):
            # "" is stored as NULL, and a test that "" passes is passed by any text unless it is equality.
            return f"{column} IS NULL" if op is Op.EQ else "1"
        if op is Op.EQ:
            return f"{column} = (SELECT id FROM word WHERE word = {self._mark(value)})"  # noqa: S608 - a mark only
        test = self._text("word", op, value)
        return f"+{column} IN (SELECT id FROM word WHERE typeof(word) = 'text' AND {test})"  # noqa: S608 - marks only

    def _id(self, expression: str, op: Op, value: str) -> str:
        if op is Op.EQ:
            mark = self._mark(to_key(value))
            return f"task.n IN ({WITH_ID} = {mark})" if expression == _IDS[Field.ID] else f"{expression} = {mark}"
        piece = ascii_lower(value) if op is Op.CONTAINS else value.replace("*", "")
        if not _IN_UUID(piece):
            return f"(typeof({expression}) = 'text' AND {self._text(expression, op, value)})"
        return self._text(_id_text(expression), op, value)

    def _begins(self, value: str) -> str:
        """The id begins with a text, ASCII case ignored."""
        lowered = ascii_lower(value)
        length = f"length({self._mark(lowered)})"
        test = f"(task.id < x'' AND substr(lower(task.id), 1, {length}) = {self._mark(lowered)})"
        span = uuid_range(lowered)
        return test if span is None else f"({test} OR task.id BETWEEN {self._mark(span[0])} AND {self._mark(span[1])})"

    def _text(self, expression: str, op: Op, value: str) -> str:
        if op is Op.EQ:
            return f"{expression} = {self._mark(value)}"
        if op is Op.CONTAINS:
            return f"instr(lower({expression}), {self._mark(ascii_lower(value))}) > 0"
        return f"{expression} GLOB {self._mark(glob_pattern(value))}"


def _id_text(expression: str) -> str:
    """An id's text, in SQL."""
    parts = "||'-'||".join(f"substr(hex({expression}), {at}, {size})" for at, size in _UUID_PARTS)
    return f"CASE typeof({expression}) WHEN 'text' THEN {expression} ELSE lower({parts}) END"


#: Where a canonical UUID has dashes.
_DASHES: Final = frozenset({8, 13, 18, 23})
_UUID_PARTS: Final = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))


def glob_pattern(value: str) -> str:
    """A pattern in which only `*` is special, as SQLite's GLOB wants it."""
    return re.sub(r"[?\[]", r"[\g<0>]", value)


def uuid_range(beginning: str) -> tuple[bytes, bytes] | None:
    """The first and last stored form of the canonical UUIDs that begin so; None where none does."""
    if len(beginning) > 36 or not all(
        char == "-" if at in _DASHES else char in "0123456789abcdef" for at, char in enumerate(beginning)
    ):
        return None
    digits = beginning.replace("-", "")
    return bytes.fromhex(digits.ljust(32, "0")), bytes.fromhex(digits.ljust(32, "f"))


def ids_beginning(connection: sqlite3.Connection, value: str) -> list[int]:
    """The order numbers of a segment's tasks whose ids begin with a text, ASCII case ignored."""
    lowered = ascii_lower(value)
    found = connection.execute(_BEGINS, (lowered,)).fetchall()
    span = uuid_range(lowered)
    if span:
        found += connection.execute(_BETWEEN, span).fetchall()
    return [n for (n,) in found]
