"""Flower's search language as a query of ours: the same terms match, the same mistakes get the same words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from umbel.model.query import EVERYTHING, And, Compare, Field, Node, Op, Or
from umbel.model.search import keyword
from umbel.model.task import State

LENGTH: Final = 2_048
TOKENS: Final = 128
DEPTH: Final = 5
SHORTEST: Final = 3
_FIELDS: Final = {
    "name": Field.NAME,
    "state": Field.STATE,
    "worker": Field.WORKER,
    "args": Field.ARGS,
    "kwargs": Field.KWARGS,
    "result": Field.RESULT,
}
#: What a term without a field looks through, besides the states.
_ANY: Final = (Field.ID, Field.NAME, Field.WORKER, Field.ARGS, Field.KWARGS, Field.RESULT)
#: One token: a parenthesis, or anything up to white space or a parenthesis, where quotes hold both.
_TOKEN: Final = re.compile(r'\s*(?:([()])|((?:\\["\\]|"(?:\\["\\]|[^"])*(?:"|$)|[^\s()"])+))')
#: Within a token: an escaped quote or backslash, a quoted piece, or one character.
_PIECE: Final = re.compile(r'\\(["\\])|"((?:\\["\\]|[^"])*)("|$)|(.)', re.DOTALL)


class Mistake(ValueError):
    """A search that Flower would refuse, in its words."""

    def __init__(self, what: str, position: int | None = None) -> None:
        super().__init__(f"{what}." if position is None else f"{what} at position {position}.")


@dataclass(frozen=True, slots=True)
class _Token:
    """`kind` is one of ( ) AND OR term."""

    kind: str
    text: str
    at: int


def parse(text: str) -> Node:
    """The condition of a search; raises `Mistake`."""
    text = text.strip()
    if len(text) > LENGTH:
        raise Mistake(f"Query exceeds {LENGTH} characters")
    tokens = _tokens(text)
    if not tokens:
        return EVERYTHING
    node, rest = _either(tokens, 0, 0, len(text))
    if rest < len(tokens):
        raise Mistake(f"Unexpected {tokens[rest].text!r}", tokens[rest].at)
    return node


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while match := _TOKEN.match(text, at):
        found.append(_token(match))
        at = match.end()
        if len(found) > TOKENS:
            raise Mistake(f"Query exceeds {TOKENS} tokens")
    return found


def _token(match: re.Match[str]) -> _Token:
    if match[1]:
        return _Token(match[1], match[1], match.start(1))
    raw, at = match[2], match.start(2)
    value, quoted = _unquoted(raw, at)
    if not value:
        raise Mistake("Empty search term", at)
    if not quoted and value == "NOT":
        raise Mistake("NOT is not supported", at)
    return _Token(value if not quoted and value in ("AND", "OR") else "term", value, at)


def _unquoted(raw: str, at: int) -> tuple[str, bool]:
    pieces, quoted = [], False
    for escaped, inside, end, plain in _PIECE.findall(raw):
        if escaped or plain:
            pieces.append(escaped or plain)
            continue
        quoted = True
        if not end:
            raise Mistake("Unterminated quoted phrase", at)
        pieces.append(re.sub(r'\\(["\\])', r"\1", inside))
    return "".join(pieces), quoted


def _kind(tokens: Sequence[_Token], at: int) -> str:
    return tokens[at].kind if at < len(tokens) else ""


def _either(tokens: Sequence[_Token], at: int, depth: int, end: int) -> tuple[Node, int]:
    """Terms joined by OR, from token `at` on, and where they end."""
    node, at = _all(tokens, at, depth, end)
    nodes = [node]
    while _kind(tokens, at) == "OR":
        if _kind(tokens, at + 1) not in ("term", "("):
            raise Mistake("OR must be followed by a search term", tokens[at].at)
        node, at = _all(tokens, at + 1, depth, end)
        nodes.append(node)
    return (nodes[0] if len(nodes) == 1 else Or(tuple(nodes))), at


def _all(tokens: Sequence[_Token], at: int, depth: int, end: int) -> tuple[Node, int]:
    """Terms joined by AND, or by nothing."""
    node, at = _one(tokens, at, depth, end)
    nodes = [node]
    while (kind := _kind(tokens, at)) not in ("", ")", "OR"):
        if kind == "AND":
            if _kind(tokens, at + 1) not in ("term", "("):
                raise Mistake("AND must be followed by a search term", tokens[at].at)
            at += 1
        node, at = _one(tokens, at, depth, end)
        nodes.append(node)
    return (nodes[0] if len(nodes) == 1 else And(tuple(nodes))), at


def _one(tokens: Sequence[_Token], at: int, depth: int, end: int) -> tuple[Node, int]:
    kind = _kind(tokens, at)
    if kind == "term":
        return _term(tokens[at]), at + 1
    if kind != "(":
        raise Mistake("Expected a search term", tokens[at].at if kind else end)
    opening = tokens[at].at
    if depth >= DEPTH:
        raise Mistake(f"Query nesting exceeds {DEPTH} levels", opening)
    if _kind(tokens, at + 1) == ")":
        raise Mistake("Empty group", opening)
    node, at = _either(tokens, at + 1, depth + 1, end)
    if _kind(tokens, at) != ")":
        raise Mistake("Missing closing parenthesis", opening)
    return node, at + 1


def _term(token: _Token) -> Node:
    head, colon, rest = token.text.partition(":")
    field = _FIELDS.get(head.casefold()) if colon else None
    value = rest if field else token.text
    if field is None and value.startswith("-"):
        raise Mistake("Negation with '-' is not supported", token.at)
    if not value:
        raise Mistake("Search qualifier requires a value", token.at)
    if field is Field.STATE:
        return _state(value)
    if field is Field.KWARGS and "=" in value:
        key, _, wanted = value.partition("=")
        return keyword(key.strip(), wanted.strip())
    if len(value.strip()) < SHORTEST:
        raise Mistake(f"Substring search terms must contain at least {SHORTEST} characters", token.at)
    if field is not None:
        return Compare(field, Op.CONTAINS, value)
    states = [Compare(Field.STATE, Op.EQ, state.value) for state in State if value.upper() in state.value]
    return Or((*(Compare(field, Op.CONTAINS, value) for field in _ANY), *states))


def _state(value: str) -> Node:
    """One of the states; a word that is none matches nothing."""
    known = [state for state in State if state.value == value.upper()]
    return Compare(Field.STATE, Op.EQ, known[0].value) if known else Or(())
