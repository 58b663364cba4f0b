"""What may stand at a place in a search: fields, operators, states, kinds of values. Pure; a store knows the values."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from umbel.errors import QueryError
from umbel.model.lexer import OPERATORS, Token, pieces
from umbel.model.phrase import phrase
from umbel.model.query import DURATIONS, TIMES, Compare, Field, Op
from umbel.model.search import SECONDS
from umbel.model.task import State

#: Fields whose values a store can list.
LISTED: Final = frozenset({Field.NAME, Field.WORKER, Field.QUEUE, Field.EXCEPTION})

#: What each field looks at, in the order in which they are offered.
ABOUT: Final = {
    Field.NAME: "task name; * stands for anything, = for the whole name",
    Field.STATE: "SUCCESS, FAILURE, STARTED, …",
    Field.WORKER: "part of the worker's name",
    Field.QUEUE: "part of the queue's name",
    Field.EXCEPTION: "text in the exception",
    Field.RECEIVED: "when a worker received it, such as >-1h",
    Field.RUN: "how long it ran, such as >5s",
    Field.WAIT: "how long it waited, such as >1m",
    Field.ARGS: "text in the positional arguments",
    Field.KWARGS: "text in the keyword arguments, or key=value",
    Field.RESULT: "text in the result",
    Field.TRACEBACK: "text in the traceback",
    Field.RETRIES: "how often it was retried, such as >2",
    Field.STARTED: "when its latest run started",
    Field.FINISHED: "when it ended",
    Field.SENT: "when it was sent",
    Field.ID: "task id; 3f2* by its beginning",
    Field.ROOT: "id of the workflow's first task",
    Field.PARENT: "id of the task that sent it",
    Field.TEXT: "text in any of them",
}
_OPERATORS: Final = {"OR": "either side", "AND": "both sides, as without it", "NOT": "not what follows"}
_DURATIONS: Final = (">100ms", ">1s", ">5s", ">1m", ">10m", "<1s")
_TIMES: Final = (">-5m", ">-15m", ">-1h", ">-1d", ">-7d", "<-1h")
_COUNTS: Final = (">0", ">=2", "0")
_NUMBER: Final = re.compile(r"(?:>=?|<=?|=)?(-?)\d+(?:\.\d+)?", re.ASCII)


class Kind(StrEnum):
    """What a suggestion is."""

    FIELD = "field"
    OPERATOR = "operator"
    VALUE = "value"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A text that may stand there, and a few words about it."""

    text: str
    kind: Kind
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Expected:
    """What may replace `text[start:end]`; offsets count characters from 0."""

    start: int
    end: int
    #: What of it is there before the cursor, without quotes.
    typed: str
    #: What the language itself offers, the best first.
    items: tuple[Suggestion, ...] = ()
    #: The field whose values fit there as well, if a store can list them.
    values_of: Field | None = None


def expected(text: str, cursor: int) -> Expected:
    """What may stand at the cursor; never raises, whatever the text."""
    cursor = max(0, min(cursor, len(text)))
    before = pieces(text[:cursor])
    last = before[-1] if before else None
    if last is None or last.kind in "()-" or (last.end == cursor and text[cursor - 1].isspace() and not last.open):
        return _word(text, cursor, before, None)
    if last.end < cursor:
        return _word(text, cursor, before, None)
    if text[last.position : cursor] == "-":
        return _word(text, cursor, [], None)
    if last.field is None:
        return _word(text, cursor, before[:-1], last)
    return _value(last, _end(text, last), last.field)


def _end(text: str, token: Token) -> int:
    """Where the word ends that the cursor stands in."""
    return next((piece.end for piece in pieces(text) if piece.position == token.position), token.end)


def _word(text: str, cursor: int, before: list[Token], token: Token | None) -> Expected:
    """A new term, or the beginning of one."""
    if token is not None and token.quoted:
        return Expected(token.position, _end(text, token), token.value)
    typed = token.value if token is not None else ""
    start, end = (token.position, _end(text, token)) if token is not None else (cursor, cursor)
    low = typed.lower()
    items = [
        Suggestion(f"{field.value}:", Kind.FIELD, about)
        for field, about in ABOUT.items()
        if field.value.startswith(low)
    ]
    complete = bool(before) and before[-1].kind in ("term", ")")
    fits = [word for word in OPERATORS if (complete or word == "NOT") and word.startswith(typed.upper())]
    operators = [Suggestion(word, Kind.OPERATOR, _OPERATORS[word]) for word in fits]
    # Who types capitals means an operator.
    both = [*operators, *items] if typed and typed.isupper() else [*items, *operators]
    return Expected(start, end, typed, tuple(both))


def _value(token: Token, end: int, field: Field) -> Expected:
    start = token.value_position - len(token.head)
    typed = token.value if token.quoted else token.head + token.value
    return Expected(start, end, typed, tuple(_values(field, typed)), field if field in LISTED else None)


def _values(field: Field, typed: str) -> Iterable[Suggestion]:
    if field is Field.STATE:
        return [Suggestion(s.value, Kind.VALUE) for s in State if s.value.startswith(typed.upper())]
    usual = _DURATIONS if field in DURATIONS else _TIMES if field in TIMES else _COUNTS
    if field not in DURATIONS | TIMES | {Field.RETRIES}:
        return []
    number = _NUMBER.fullmatch(typed)
    # A relative time has a minus, a duration has none.
    if number and field is not Field.RETRIES and bool(number[1]) is (field in TIMES):
        sign = ">" if field in DURATIONS and typed[0].isdigit() else ""
        return [
            Suggestion(f"{sign}{typed}{unit}", Kind.VALUE) for unit in SECONDS if field in DURATIONS or unit != "ms"
        ]
    return [Suggestion(text, Kind.VALUE) for text in usual if text.startswith(typed)]


def matching(values: Iterable[str], what: Expected, limit: int) -> list[Suggestion]:
    """Those of a store's values that fit what was typed: first those that begin with it, then those that hold it."""
    if what.values_of is None:
        return []
    sign = "=" if what.typed.startswith("=") else ""
    typed = what.typed.removeprefix("=").strip("*").casefold()
    fits = [value for value in values if value and typed in value.casefold()]
    fits.sort(key=lambda value: not value.casefold().startswith(typed))
    found = []
    for value in fits[:limit]:
        condition = Compare(what.values_of, Op.EQ if sign else Op.CONTAINS, value)
        try:
            found.append(Suggestion(phrase(condition).removeprefix(f"{what.values_of.value}:"), Kind.VALUE))
        except QueryError:
            continue  # a name with a character that no search may hold
    return found
