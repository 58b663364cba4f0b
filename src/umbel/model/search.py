"""The query language: `state:FAILURE name:shop.* -worker:w1 run:>5s received:>-1h args:"user 42" free text`.

Terms stand beside each other for AND; `OR` binds weaker; parentheses group; `-` or `NOT` negates. A quoted value may
hold spaces; a backslash escapes a quote or a backslash in it. An unknown word before a colon is plain text, as in
Flower's search. docs/query-language.md is the reference; `phrase.py` writes conditions as text again.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from umbel.errors import QueryError
from umbel.model.lexer import Token, tokens
from umbel.model.query import DURATIONS, EVERYTHING, NUMBERS, TIMES, And, Compare, Field, Node, Not, Op, Or
from umbel.model.task import State

#: Characters, terms and levels of parentheses that one search may have.
MAX_LENGTH: Final = 2_048
MAX_TERMS: Final = 128
MAX_DEPTH: Final = 20

STATES: Final = {state.value: state for state in State} | {
    "SUCCEEDED": State.SUCCESS,
    "FAILED": State.FAILURE,
    "RETRIED": State.RETRY,
    "SENT": State.PENDING,
}
#: Fields whose text matches whole, or in part where it has a `*`.
EXACT: Final = frozenset({Field.ID, Field.ROOT, Field.PARENT})
#: Fields whose text matches in part, with a `*` as a pattern, and after a `=` whole.
NAMED: Final = frozenset({Field.NAME, Field.WORKER, Field.QUEUE})
#: Units of durations in seconds.
SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
SIGNS: Final = (">=", "<=", ">", "<", "=")

#: Seconds; a longer duration counts as this (30 million years).
_LONGEST: Final = 999_999_999_999_999.0
_DURATION: Final = re.compile(r"(\d{1,15}(?:\.\d+)?)(ms|s|m|h|d|w)?", re.ASCII)
_EPOCH: Final = re.compile(r"@(-?\d{1,15}(?:\.\d+)?)", re.ASCII)
_COUNT: Final = re.compile(r"\d{1,9}", re.ASCII)
_PAIR: Final = re.compile(r"([A-Za-z_]\w*)=(.+)", re.DOTALL)
_EXAMPLE: Final = {Field.STATE: "FAILURE", Field.NAME: "shop.*", Field.RETRIES: ">2"}


def parse(text: str, now: float) -> Node:
    """The conditions of a search; relative times count from `now` (UTC seconds).

    Raises `QueryError` with the position of what cannot be understood and what is expected there.
    """
    if len(text) > MAX_LENGTH:
        raise QueryError(f"a search of at most {MAX_LENGTH} characters is expected", MAX_LENGTH)
    found = tokens(text)
    terms = [token for token in found if token.kind == "term"]
    if len(terms) > MAX_TERMS:
        raise QueryError(f"at most {MAX_TERMS} terms are expected", terms[MAX_TERMS].position)
    if not found:
        return EVERYTHING
    return _Parser(found, len(text), now).whole()


class _Parser:
    """Recursive descent over the tokens."""

    def __init__(self, found: list[Token], length: int, now: float) -> None:
        self._tokens = found
        self._length = length
        self._now = now
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._or()
        if self._at < len(self._tokens):
            raise QueryError(
                "a closing parenthesis without an opening one; a search term is expected", self._position()
            )
        return node

    def _kind(self) -> str:
        return self._tokens[self._at].kind if self._at < len(self._tokens) else ""

    def _position(self) -> int:
        return self._tokens[self._at].position if self._at < len(self._tokens) else self._length

    def _or(self) -> Node:
        nodes = [self._and()]
        while self._kind() == "OR":
            self._at += 1
            nodes.append(self._and())
        return nodes[0] if len(nodes) == 1 else Or(tuple(nodes))

    def _and(self) -> Node:
        nodes = [self._not()]
        while True:
            if self._kind() == "AND":
                self._at += 1
            elif self._kind() in ("", "OR", ")"):
                break
            nodes.append(self._not())
        return nodes[0] if len(nodes) == 1 else And(tuple(nodes))

    def _not(self) -> Node:
        negated = False
        while self._kind() in ("-", "NOT"):
            negated = not negated
            self._at += 1
        node = self._one()
        return Not(node) if negated else node

    def _one(self) -> Node:
        kind = self._kind()
        if kind == "(":
            return self._group()
        if kind != "term":
            raise QueryError("a search term is expected", self._position())
        token = self._tokens[self._at]
        self._at += 1
        return _condition(token, self._now)

    def _group(self) -> Node:
        opening = self._position()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise QueryError(f"at most {MAX_DEPTH} levels of parentheses are expected", opening)
        self._at += 1
        if self._kind() == ")":
            raise QueryError("nothing between the parentheses; a search term is expected", self._position())
        node = self._or()
        if self._kind() != ")":
            raise QueryError("a closing parenthesis is expected for this one", opening)
        self._at += 1
        self._depth -= 1
        return node


def _condition(token: Token, now: float) -> Node:
    field, value = token.field, token.value
    if field is None:
        if not value:
            raise QueryError("nothing between the quotes; text is expected", token.position)
        return Compare(Field.TEXT, Op.CONTAINS, _contained(token))
    if not value:
        example = _example(field)
        raise QueryError(f"{field.value}: needs a value; one such as {field.value}:{example} is expected", token.end)
    if field is Field.STATE:
        return _state(token)
    if field in NUMBERS:
        return _number(field, token, now)
    if field in NAMED:
        return _named(field, token)
    return _text(field, token)


def _example(field: Field) -> str:
    if field in TIMES:
        return ">-1h"
    return ">5s" if field in DURATIONS else _EXAMPLE.get(field, "text")


def _contained(token: Token) -> str:
    """The text to look for; a `*` at its ends says what is so anyway."""
    whole = token.head + token.value
    return whole if token.quoted else whole.strip("*") or whole


def _text(field: Field, token: Token) -> Node:
    pair = _pair(token) if field is Field.KWARGS else None
    if pair is not None:
        return keyword(*pair)
    if field in EXACT:
        whole = token.head + token.value
        return Compare(field, Op.GLOB if "*" in whole and not token.quoted else Op.EQ, whole)
    return Compare(field, Op.CONTAINS, _contained(token))


def _named(field: Field, token: Token) -> Node:
    whole = token.head + token.value
    if (token.head if token.quoted else whole).startswith("="):
        if len(whole) == 1:
            raise QueryError(f"a whole {field.value} is expected after the =", token.end)
        return Compare(field, Op.EQ, whole[1:])
    if "*" in whole and not token.quoted:
        return Compare(field, Op.GLOB, whole)
    return Compare(field, Op.CONTAINS, whole)


def _pair(token: Token) -> tuple[str, str] | None:
    """The key and the value of `kwargs:key=value`."""
    if token.quoted and not token.head[:-1]:
        return None
    match = _PAIR.fullmatch(token.head + token.value)
    return (match[1], match[2]) if match else None


def keyword(key: str, value: str) -> Node:
    """A keyword argument with this value, as Python and JSON write it: a whole text, a number, True, None, null."""
    texts = [f"'{key}': '{value}'", f"'{key}': \"{value}\"", f'"{key}": "{value}"']
    bare = [f"{quote}{key}{quote}: {value}{end}" for quote in "'\"" for end in ",}"]
    return Or(tuple(Compare(Field.KWARGS, Op.CONTAINS, text) for text in [*texts, *bare]))


def _state(token: Token) -> Node:
    state = STATES.get(token.value.upper())
    if state is None or token.head:
        raise QueryError(
            f"no such state; one of {', '.join(State)} is expected", token.value_position - len(token.head)
        )
    return Compare(Field.STATE, Op.EQ, state.value)


def _number(field: Field, token: Token, now: float) -> Node:
    whole = token.head + token.value
    begin = token.value_position - len(token.head)
    sign = next((sign for sign in SIGNS if whole.startswith(sign)), None)
    rest = whole[len(sign or "") :]
    position = begin + len(sign or "")
    if field in TIMES:
        return _time(field, sign, rest, now, position)
    number = _duration(rest, position) if field in DURATIONS else _count(rest, position)
    if sign is None and field in DURATIONS:
        raise QueryError(f"a comparison such as {field.value}:>{rest} is expected", begin)
    return Compare(field, Op(sign or "="), number)


def _duration(text: str, position: int) -> float:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise QueryError("a duration such as 500ms, 5s, 2m or 1h is expected", position)
    return min(float(match[1]) * SECONDS[match[2] or "s"], _LONGEST)


def _count(text: str, position: int) -> float:
    if not _COUNT.fullmatch(text):
        raise QueryError("a whole number is expected", position)
    return float(text)


def _time(field: Field, sign: str | None, text: str, now: float, position: int) -> Node:
    if text == "now":
        return Compare(field, Op(sign or ">="), now)
    if text.startswith("-"):
        # What is older than the epoch is older than every event.
        return Compare(field, Op(sign or ">="), max(0.0, now - _duration(text[1:], position + 1)))
    epoch = _EPOCH.fullmatch(text)
    if epoch is not None:
        return Compare(field, Op(sign or ">="), float(epoch[1]))
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        start = moment.timestamp()
        day_after = (moment + timedelta(days=1)).timestamp()
    except (ValueError, OverflowError) as error:
        raise QueryError("a time such as -1h, 2026-11-23 or 2026-11-23T10:30 is expected", position) from error
    if sign is None and len(text) <= len("2026-11-23"):
        return And((Compare(field, Op.GE, start), Compare(field, Op.LT, day_after)))
    return Compare(field, Op(sign or ">="), start)
