"""Arguments and results as workers write them, taken apart where they are literals or JSON. Nothing is evaluated."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pprint import PrettyPrinter
from typing import Any, Final

#: Characters that are taken apart, and items of one value that are laid out.
LONGEST: Final = 20_000
ITEMS: Final = 200
_WIDTH: Final = 88


@dataclass(frozen=True, slots=True)
class Item:
    """One argument, or one part of a result: its name or number, and its value on lines of a readable width."""

    key: str
    value: str


def items(text: str) -> list[Item] | None:
    """The parts of a tuple, list or dict; None for anything else, for what is cut, and for what is too long."""
    value = parsed(text)
    if isinstance(value, Mapping):
        pairs = [(key if isinstance(key, str) else repr(key), part) for key, part in value.items()]
    elif isinstance(value, list | tuple):
        pairs = [(str(n), part) for n, part in enumerate(value)]
    else:
        return None
    return [Item(key, pretty(part)) for key, part in pairs] if len(pairs) <= ITEMS else None


def parsed(text: str) -> Any:
    """The value of a literal or of JSON; None where it is neither."""
    if len(text) > LONGEST:
        return None
    for read in (ast.literal_eval, json.loads):
        try:
            return read(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue  # most often an object's repr: it is shown as it stands
    return None


def pretty(value: Any) -> str:
    """A value on as many lines as it needs."""
    return _PRINTER.pformat(value)


class _Printer(PrettyPrinter):
    """Shows what workers left out as they write it: `...` and `{...}` are literals, Ellipsis and a set of it."""

    def format(
        self,
        object: object,  # noqa: A002 - the name of the signature of pprint
        context: dict[int, int],
        maxlevels: int,
        level: int,
    ) -> tuple[str, bool, bool]:
        if object is Ellipsis:
            return "...", True, False
        if object == {Ellipsis}:
            return "{...}", True, False
        return super().format(object, context, maxlevels, level)


_PRINTER: Final = _Printer(width=_WIDTH, sort_dicts=False)
