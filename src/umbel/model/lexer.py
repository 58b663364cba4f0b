"""The words of a search: terms with their fields and values, parentheses, operators; each knows where it stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from umbel.errors import QueryError
from umbel.model.query import Field

#: Other names of fields.
ALIASES: Final = {"uuid": Field.ID, "runtime": Field.RUN, "task": Field.NAME}
FIELDS: Final = {field.value: field for field in Field} | ALIASES
OPERATORS: Final = ("AND", "OR", "NOT")

_QUALIFIER: Final = re.compile(r"([A-Za-z_]+):")
#: The `key=` of a keyword argument, or the `=` of an exact value: a quoted value may follow.
_BEFORE_QUOTE: Final = re.compile(r'([A-Za-z_]\w*)?=(?=")')
#: In no text that Umbel stores: what JSON and UTF-8 cannot carry, and NUL, which PostgreSQL cannot.
_IMPOSSIBLE: Final = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Token:
    """One word; offsets count characters from 0."""

    #: One of ( ) - AND OR NOT, or "term".
    kind: str
    position: int
    end: int
    field: Field | None = None
    #: Without the quotes; what stands before them (`key=`, `=`) is in `head`.
    value: str = ""
    #: Where the value begins.
    value_position: int = 0
    quoted: bool = False
    head: str = ""
    #: A closing quote is missing.
    open: bool = False


def tokens(text: str) -> list[Token]:
    """The words of a search; raises `QueryError` for a quote that is not closed and for what is no character."""
    impossible = _IMPOSSIBLE.search(text)
    if impossible:
        raise QueryError("no text holds this character; another one is expected", impossible.start())
    found = pieces(text)
    if found and found[-1].open:
        last = found[-1]
        raise QueryError("a closing quote is expected for this one", last.value_position)
    return found


def pieces(text: str) -> list[Token]:
    """The words of a text that may be unfinished: the last one may lack its closing quote."""
    found: list[Token] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        if text[at] in "()" or (text[at] == "-" and at + 1 < len(text) and not text[at + 1].isspace()):
            found.append(Token(text[at], at, at + 1))
        else:
            found.append(_term(text, at))
        at = found[-1].end
    return found


def _term(text: str, start: int) -> Token:
    field, at = _qualifier(text, start)
    before = _BEFORE_QUOTE.match(text, at) if field is not None else None
    head = before[0] if before else ""
    at += len(head)
    if at < len(text) and text[at] == '"':
        value, end, closed = _quoted(text, at)
        return Token("term", start, end, field, value, at, quoted=True, head=head, open=not closed)
    end = at
    while end < len(text) and not text[end].isspace() and text[end] not in "()":
        end += 1
    value = text[at:end]
    if field is None and value in OPERATORS:
        return Token(value, start, end)
    return Token("term", start, end, field, value, at)


def _qualifier(text: str, start: int) -> tuple[Field | None, int]:
    match = _QUALIFIER.match(text, start)
    field = FIELDS.get(match[1].lower()) if match else None
    if match is None or field is None:
        return None, start
    return field, match.end()


def _quoted(text: str, start: int) -> tuple[str, int, bool]:
    """The value, where it ends, and whether its closing quote is there."""
    value: list[str] = []
    at = start + 1
    while at < len(text):
        char = text[at]
        if char == '"':
            return "".join(value), at + 1, True
        if char == "\\" and at + 1 < len(text) and text[at + 1] in '"\\':
            at += 1
            char = text[at]
        value.append(char)
        at += 1
    return "".join(value), at, False
