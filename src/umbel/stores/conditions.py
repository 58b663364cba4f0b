"""Conditions as SQL, as far as engines agree on it: how they nest, and which comparisons make sense."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Final

from umbel.errors import QueryError
from umbel.model.match import text_test
from umbel.model.query import NUMBERS, And, Field, Node, Not, Op, Or
from umbel.model.task import State

_TEXT_OPS: Final = frozenset({Op.EQ, Op.CONTAINS, Op.GLOB})
_NUMBER_OPS: Final = frozenset({Op.EQ, Op.LT, Op.LE, Op.GT, Op.GE})


class Compiler(ABC):
    """Makes SQL of one condition, of comparisons as the engine writes them; `QueryError` for what makes no sense."""

    #: What every task passes, and what none does.
    EVERY: ClassVar[str]
    NONE: ClassVar[str]
    #: States by their stored number.
    STATES: ClassVar[Sequence[State]]

    def node(self, node: Node, *, negated: bool = False) -> str:
        """The SQL of a condition, `negated` where a NOT is around it."""
        if isinstance(node, Not):
            return f"NOT ({self.node(node.node, negated=True)})"
        if isinstance(node, And | Or):
            word, empty = (" AND ", self.EVERY) if isinstance(node, And) else (" OR ", self.NONE)
            parts = [self.node(part, negated=negated) for part in node.nodes]
            return f"({word.join(parts)})" if parts else empty
        sql = self.compare(node.field, node.op, node.value)
        return self.known(node.field, sql) if negated else sql

    def compare(self, field: Field, op: Op, value: str | float) -> str:
        """The SQL of a comparison."""
        if field in NUMBERS:
            if isinstance(value, str) or op not in _NUMBER_OPS:
                raise _senseless(field, op, value)
            return self.number(field, op, float(value))
        if not isinstance(value, str) or op not in _TEXT_OPS:
            raise _senseless(field, op, value)
        if field is Field.TEXT:
            return self.any_text(op, value)
        return self.state(self.states(op, value)) if field is Field.STATE else self.text(field, op, value)

    def states(self, op: Op, value: str) -> list[int]:
        """The numbers of the states that pass a test."""
        passes = text_test(op, value)
        return [number for number, state in enumerate(self.STATES) if passes(state.value)]

    def known(self, field: Field, sql: str) -> str:
        """A comparison that is false where what it compares is absent: under NOT that must not stay unknown."""
        del field
        return sql

    @abstractmethod
    def number(self, field: Field, op: Op, value: float) -> str: ...

    @abstractmethod
    def state(self, numbers: Sequence[int]) -> str: ...

    @abstractmethod
    def text(self, field: Field, op: Op, value: str) -> str: ...

    @abstractmethod
    def any_text(self, op: Op, value: str) -> str:
        """The test of `Field.TEXT`."""


def _senseless(field: Field, op: Op, value: str | float) -> QueryError:
    return QueryError(f"{field.value}: cannot be compared with {op.value} {value}", 0)
