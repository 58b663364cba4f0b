"""Which entries of a sealed segment's index of texts a search looks up: as few as tell enough.

Of some entries a third of all tasks have one, of others none, and going through the tasks of an entry is what a search
costs. FTS5 keeps with each page of its index the first entry on it; so the pages that an entry takes are known.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from umbel.model.query import Op
from umbel.stores.sqlite.blocks import SQL

#: Characters of an entry.
GRAM: Final = 3
#: Entries that one search looks up at most, and those that it chooses among.
GRAMS: Final = 24
CHOICE: Final = 64
#: Tasks that stand on a page of an entry. To go through them costs about what it does to look at one task's texts.
ON_PAGE: Final = 4_000
#: Share of the texts with an entry that have the next one too, which has two of its characters, at least.
NEXT: Final = 0.1

#: Before each entry, where FTS5 keeps them.
_MAIN: Final = b"0"


class Grams:
    """The index of texts of one sealed segment, which never changes."""

    def __init__(self, connection: sqlite3.Connection, tasks: int) -> None:
        self._tasks = tasks
        #: Beginnings of pieces of the index that take more than a page, their ends, and how many they take.
        self._starts: list[bytes] = []
        self._ends: list[bytes] = []
        self._pages: list[int] = []
        has_left_out = connection.execute(SQL["has_left_out"]).fetchone()[0]
        rows = connection.execute(SQL["left_out"]) if has_left_out else ()
        #: Entries that it may lack though a text has them, in lower case.
        self._left_out = frozenset(gram for (gram,) in rows)
        before, page = b"", 0
        for term, first in connection.execute(SQL["gram_pages"]):
            if first - page > 1:
                self._starts.append(before)
                self._ends.append(term)
                self._pages.append(first - page)
            before, page = term, first

    def pages(self, gram: str) -> int:
        """The pages that an entry takes at most; of the last one of all it is not known."""
        term = _MAIN + gram.lower().encode(errors="replace")
        at = bisect_right(self._starts, term) - 1
        return self._pages[at] if at >= 0 and term < self._ends[at] else 1

    def choose(self, grams: Sequence[str]) -> list[str]:
        """Of the entries that a text must have, those worth looking up, the rarest first; none where none is."""
        if self._left_out:
            # They are of ASCII, as is what is left out of a text: other letters that FTS5 takes for those do no harm.
            grams = [gram for gram in grams if gram.lower() not in self._left_out]
        if len(grams) > CHOICE:
            grams = [grams[len(grams) * at // CHOICE] for at in range(CHOICE)]
        costs = [self.pages(gram) for gram in grams]
        chosen: list[int] = []
        left = float(self._tasks)
        # The rarest first, of equally rare ones those far from each other, which tell most.
        for at in sorted(_spread(len(grams)), key=costs.__getitem__)[:GRAMS]:
            share = min(1.0, costs[at] * ON_PAGE / self._tasks)
            if any(abs(at - other) < GRAM for other in chosen):
                share = max(share, NEXT)
            if left * (1 - share) <= costs[at]:
                break
            chosen.append(at)
            left *= share
        return [grams[at] for at in chosen]


@lru_cache(CHOICE)
def _spread(count: int) -> tuple[int, ...]:
    """0 to count - 1, so that the first few are far from each other."""
    return tuple(sorted(range(count), key=lambda at: int(f"{at:0{CHOICE.bit_length()}b}"[::-1], 2)))


def grams_of(op: Op, value: str) -> list[str]:
    """Entries of the index that every text that matches has, in their order; none where nothing can be told."""
    pieces = value.split("*") if op is Op.GLOB else [value]
    grams: dict[str, None] = {}
    for piece in (part for text in pieces for part in text.split("\0")):
        grams |= dict.fromkeys(piece[at : at + GRAM] for at in range(len(piece) - GRAM + 1))
    return list(grams)


def match_of(grams: Sequence[str]) -> str:
    """The texts that have all of these entries, as FTS5 wants it."""
    return " AND ".join('"' + gram.replace('"', '""') + '"' for gram in grams)
