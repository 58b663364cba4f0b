"""What goes to a terminal: a table, a line of progress, a mark under a character."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final

from umbel.clock import Clock
from umbel.errors import QueryError
from umbel.export.columns import Column, Kind

#: Characters of a column in a table, and of any other.
WIDTHS: Final = {"id": 36, "name": 32, "worker": 24, "exception": 60}
WIDTH: Final = 24
#: Rows that decide how wide the columns are.
MEASURED: Final = 500
#: Seconds between two lines of progress.
PAUSE: Final = 0.2


def table(columns: Sequence[Column], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The lines of a table; values are those of the JSON formats."""
    texts = ([_cell(column, row[column.name]) for column in columns] for row in rows)
    first = [[column.name for column in columns], *islice(texts, MEASURED)]
    widths = [max(len(row[n]) for row in first) for n in range(len(columns))]
    for row in chain(first, texts):
        yield "  ".join(text[:width].ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() + "\n"


def _cell(column: Column, value: Any) -> str:
    if value is None:
        return ""
    if column.kind is Kind.TIME:
        return f"{str(value)[:23]}Z"
    if column.kind is Kind.DURATION:
        return f"{value:.3f}"
    return printable(str(value))[: WIDTHS.get(column.name, WIDTH)]


def printable(text: str) -> str:
    """The text on one line, without anything that a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in text)


def marked(query: str, error: QueryError) -> str:
    """A mistake in a search, with a mark under its character."""
    shown = printable(query)
    before = sum(_width(char) for char in shown[: error.position])
    return f"umbel: {error}\n  {shown}\n  {' ' * before}^\n"


def _width(char: str) -> int:
    """Places that a character takes on a terminal."""
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


class Progress:
    """A line on the terminal's standard error that tells how far it is; silent where that is no terminal."""

    def __init__(self, clock: Clock) -> None:
        # Not where the output itself goes to the terminal: it is progress enough.
        self._shown = sys.stderr.isatty() and not sys.stdout.isatty()
        self._clock = clock
        self._at = clock.monotonic()
        #: Characters of the longest line so far.
        self._length = 0

    def tell(self, text: str) -> None:
        """Replace the line, at most five times a second."""
        now = self._clock.monotonic()
        if self._shown and now - self._at >= PAUSE:
            self._at = now
            sys.stderr.write(f"\r{text.ljust(self._length)}")
            sys.stderr.flush()
            self._length = max(self._length, len(text))

    def end(self) -> None:
        """Clear the line."""
        if self._length:
            sys.stderr.write(f"\r{' ' * self._length}\r")
            sys.stderr.flush()
