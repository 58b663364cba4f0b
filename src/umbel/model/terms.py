"""Changes to a search as text: a term more or less, what else was written stays as it was written. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from umbel.model.lexer import tokens
from umbel.model.phrase import phrase
from umbel.model.query import TIMES, Compare, Field, Node, Not
from umbel.model.search import parse


@dataclass(frozen=True, slots=True)
class _Factor:
    """One of the things that must all match."""

    text: str
    node: Node


def has(text: str, condition: Compare) -> bool:
    """Whether a search asks for the condition on its own, beside whatever else; raises `QueryError`."""
    return any(factor.node == condition for factor in _factors(text))


def toggle(text: str, condition: Compare) -> str:
    """The search without the condition where it asks for it, else with it; raises `QueryError`."""
    factors = list(_factors(text))
    kept = [factor.text for factor in factors if factor.node != condition]
    return _joined(kept if len(kept) < len(factors) else [*kept, phrase(condition)])


def within(text: str, field: Field, start: str, end: str) -> str:
    """The search with a span of `field` in place of all its times; a bound that is "" is open. Raises `QueryError`."""
    kept = [factor.text for factor in _factors(text) if not _all_of(factor.node, TIMES)]
    bounds = [f"{field.value}:{sign}{_word(bound)}" for sign, bound in ((">=", start), ("<", end)) if bound]
    return _joined([*kept, *bounds])


def apart(text: str, field: Field) -> tuple[str, Sequence[Node]]:
    """The search without the conditions that look at nothing but `field`, and these; raises `QueryError`."""
    factors = list(_factors(text))
    about = [factor.node for factor in factors if _all_of(factor.node, {field})]
    return _joined([factor.text for factor in factors if factor.node not in about]), about


def _word(bound: str) -> str:
    """A time that people wrote: without the spaces that would make two terms of it."""
    return "T".join(bound.split())


def _factors(text: str) -> Iterator[_Factor]:
    """The parts that stand beside each other for AND; an OR at the top makes one part of the whole."""
    found = tokens(text)
    pieces: list[tuple[int, int]] = []
    depth, start = 0, None
    for token in found:
        if depth == 0 and token.kind == "OR":
            pieces = [(found[0].position, found[-1].end)]
            break
        if depth == 0 and token.kind == "AND":
            continue
        start = token.position if start is None else start
        depth += {"(": 1, ")": -1}.get(token.kind, 0)
        if depth == 0 and token.kind in ("term", ")"):
            pieces.append((start, token.end))
            start = None
    for first, last in pieces:
        piece = text[first:last]
        yield _Factor(piece, parse(piece, 0.0))


def _joined(parts: list[str]) -> str:
    if len(parts) < 2:
        return "".join(parts)
    return " ".join(f"({part})" if _is_or(part) else part for part in parts)


def _is_or(text: str) -> bool:
    """Whether an OR would take its neighbours with it."""
    depth = 0
    for token in tokens(text):
        depth += {"(": 1, ")": -1}.get(token.kind, 0)
        if depth == 0 and token.kind == "OR":
            return True
    return False


def _all_of(node: Node, fields: Collection[Field]) -> bool:
    """Whether a condition looks at nothing but these fields."""
    if isinstance(node, Compare):
        return node.field in fields
    if isinstance(node, Not):
        return _all_of(node.node, fields)
    return bool(node.nodes) and all(_all_of(part, fields) for part in node.nodes)
