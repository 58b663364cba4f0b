"""The choice of states beside the list of tasks: by the address's list, and by what the search itself says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from umbel.model import terms
from umbel.model.query import And, Compare, Field, Node, Not
from umbel.model.task import State


@dataclass(frozen=True, slots=True)
class Chips:
    """What the chips show, and where they lead."""

    #: States that are looked for; none of them and not `some`: all.
    marked: frozenset[State]
    #: Whether states are chosen at all.
    some: bool
    #: The search without its own conditions on the state, which every chip takes over into the address's list.
    q: str
    #: The address's list with each state toggled.
    toggled: Mapping[State, str]


def chips(q: str, chosen: frozenset[State]) -> Chips:
    """Chips for a search and the states that the address lists; raises `QueryError`."""
    rest, conditions = terms.apart(q, Field.STATE)
    marked = chosen
    if conditions:
        marked = frozenset(state for state in chosen or State if all(_admits(one, state) for one in conditions))
    return Chips(
        marked=marked,
        some=bool(chosen or conditions),
        q=rest,
        toggled={one: ",".join(sorted(marked ^ {one})) for one in State},
    )


def _admits(node: Node, state: State) -> bool:
    """Whether a condition that looks at the state alone lets it pass."""
    if isinstance(node, Compare):
        return node.value == state.value
    if isinstance(node, Not):
        return not _admits(node.node, state)
    return (all if isinstance(node, And) else any)(_admits(part, state) for part in node.nodes)
