"""Conditions as text of the query language, for links: `search.parse` reads the same conditions from it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from umbel.errors import QueryError
from umbel.model.query import DURATIONS, EVERYTHING, NUMBERS, TIMES, And, Compare, Field, Node, Not, Op, Or
from umbel.model.search import keyword, parse

_KEYWORD: Final = re.compile(r"'([A-Za-z_]\w*)': '(.+)'", re.DOTALL)
#: Every task has an id.
_EVERY: Final = "id:*"


def phrase(node: Node) -> str:
    """The text of a condition; "" for everything.

    Raises `QueryError` for a condition that the language cannot say, such as a pattern with spaces in it.
    """
    return "" if node == EVERYTHING else _phrase(node)


def _phrase(node: Node) -> str:
    if isinstance(node, Compare):
        return _compare(node)
    if isinstance(node, Not):
        inner = _part(node.node, And)
        return f"-({inner})" if isinstance(node.node, Not) else f"-{inner}"
    short = _day(node) if isinstance(node, And) else _pair(node)
    if short:
        return short
    if not node.nodes:
        return _EVERY if isinstance(node, And) else f"-{_EVERY}"
    joint = " " if isinstance(node, And) else " OR "
    return joint.join(_part(part, type(node)) for part in node.nodes)


def _part(node: Node, within: type[And | Or]) -> str:
    """A condition as a piece of a longer one; AND binds tighter than OR."""
    text = _phrase(node)
    if isinstance(node, Compare | Not) or not node.nodes or (isinstance(node, And) and within is Or):
        return text
    short = _day(node) if isinstance(node, And) else _pair(node)
    return text if short else f"({text})"


def _pair(node: Or) -> str:
    """`kwargs:key=value` if that is what the condition says, else ""."""
    first = node.nodes[0] if node.nodes else None
    if not isinstance(first, Compare) or first.field is not Field.KWARGS:
        return ""
    match = _KEYWORD.fullmatch(str(first.value))
    if match is None or node != keyword(match[1], match[2]):
        return ""
    return f"kwargs:{match[1]}={_quote(match[2])}"


def _day(node: And) -> str:
    """`received:2026-11-23` if that is what the condition says, else ""."""
    first = node.nodes[0] if len(node.nodes) == 2 else None
    if not isinstance(first, Compare) or first.field not in TIMES or first.op is not Op.GE:
        return ""
    try:
        text = f"{first.field.value}:{datetime.fromtimestamp(float(first.value), UTC).date().isoformat()}"
    except (ValueError, OverflowError, OSError):
        return ""
    return text if _says(text, node) else ""


def _compare(node: Compare) -> str:
    field, op, value = node.field, node.op, node.value
    if field in NUMBERS:
        candidates = [f"{field.value}:{op.value}{_number(field, float(value))}"]
    else:
        prefix = "" if field is Field.TEXT else f"{field.value}:"
        text, sign = str(value), "=" if op is Op.EQ else ""
        candidates = [f"{prefix}{text}", f"{prefix}{_quote(text)}", f"{prefix}{sign}{_quote(text)}"]
    for candidate in candidates:
        if _says(candidate, node):
            return candidate
    raise QueryError(f"{field.value} {op.value} {value!r} cannot be said in a search", 0)


def _says(text: str, node: Node) -> bool:
    """Whether the text reads as this condition, between others too."""
    try:
        return parse(f"({text})", 0.0) == node
    except QueryError:
        return False


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _number(field: Field, value: float) -> str:
    text = f"{Decimal(repr(value)):f}".removesuffix(".0")
    if field in TIMES:
        return f"@{text}"
    return f"{text}s" if field in DURATIONS else text
