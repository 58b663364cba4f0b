"""Which searches the rollups can answer: those for task names, ended states and a span of time. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from umbel.model.query import TIMES, And, Compare, Field, Node, Op, Or
from umbel.model.rollup import Series
from umbel.model.task import State

#: What is counted of tasks in these states, by when they came to it.
SERIES: Final = {
    State.SUCCESS: Series.SUCCEEDED,
    State.FAILURE: Series.FAILED,
    State.RETRY: Series.RETRIED,
    State.REVOKED: Series.REVOKED,
    State.REJECTED: Series.REJECTED,
}


@dataclass(frozen=True, slots=True)
class Scope:
    """What a search asks for, in the terms of rollups."""

    #: All must match; none: every name.
    names: Sequence[Compare] = ()
    #: None: all.
    states: frozenset[State] | None = None

    def those(self, known: Iterable[str]) -> list[str]:
        """Of the names that are known, those asked for."""
        return [name for name in known if all(_fits(condition, name) for condition in self.names)]


def scope_of(node: Node) -> Scope | None:
    """The scope of a search; None where rollups cannot answer it. Its span of time is `query.span_of`'s."""
    names: list[Compare] = []
    states: frozenset[State] | None = None
    for part in _parts(node):
        if isinstance(part, Compare) and part.field is Field.NAME:
            names.append(part)
        elif isinstance(part, Compare) and part.field in TIMES:
            continue
        else:
            these = _states(part)
            if these is None:
                return None
            states = these if states is None else states & these
    return Scope(names, states)


def _parts(node: Node) -> Iterable[Node]:
    if isinstance(node, And):
        for part in node.nodes:
            yield from _parts(part)
    else:
        yield node


def _states(node: Node) -> frozenset[State] | None:
    """The states that a condition asks for, if it asks for nothing else and all of them are counted."""
    nodes = node.nodes if isinstance(node, Or) else (node,)
    found = set()
    for one in nodes:
        if not isinstance(one, Compare) or one.field is not Field.STATE or State(str(one.value)) not in SERIES:
            return None
        found.add(State(str(one.value)))
    return frozenset(found)


def _fits(condition: Compare, name: str) -> bool:
    value = str(condition.value)
    if condition.op is Op.EQ:
        return name == value
    if condition.op is Op.GLOB:
        return fnmatchcase(name, value.replace("[", "[[]").replace("?", "[?]"))
    return value.lower() in name.lower()
