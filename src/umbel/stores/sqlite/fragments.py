"""Pieces that most texts of a segment share (keys of arguments, fixed phrases): the index of texts leaves them out.

An entry that most tasks have takes a byte for each of them and tells next to nothing. So of each occurrence of such a
piece only its first and its last two characters are indexed, with which the entries that reach beyond it begin and end.
The entries within it may then be missing from the index, and a search does not ask for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from umbel.stores.sqlite.grams import GRAM

#: Texts that are looked at to find the pieces.
SAMPLE: Final = 1_000
#: Share of them that has each entry within a piece, at least, and the share that has the whole piece between others.
COMMON: Final = 0.6
WHOLE: Final = 0.1
#: Characters of a piece, at least: leaving one out adds three entries around the gap.
LEAST: Final = 8
#: Pieces at most: each text is searched for each of them.
MOST: Final = 64
#: Characters that are kept at either end, and what stands between these.
KEPT: Final = GRAM - 1
_GAP: Final = "\n"


def fragments_of(texts: Sequence[str]) -> list[str]:
    """The pieces that most of some texts share, the longest first."""
    counts = Counter(gram for text in texts for gram in set(_grams(text)))
    common = {gram for gram, count in counts.items() if count >= COMMON * len(texts) and gram.isascii()}
    runs = Counter(run for text in texts for run in set(_runs(text, common)))
    worth = {run: count * (len(run) - LEAST + 1) for run, count in runs.items() if count >= WHOLE * len(texts)}
    return sorted(sorted(worth, key=worth.__getitem__, reverse=True)[:MOST], key=len, reverse=True)


def _grams(text: str) -> Iterator[str]:
    return (text[at : at + GRAM] for at in range(len(text) - GRAM + 1))


def _runs(text: str, common: set[str]) -> Iterator[str]:
    """The longest pieces of a text all entries of which are common."""
    start = 0
    for at, gram in enumerate([*_grams(text), ""]):
        if gram not in common:
            # The entries from `start` to the one before this are.
            if at + KEPT - start >= LEAST:
                yield text[start : at + KEPT]
            start = at + 1


class Fragments:
    """Leaves pieces out of texts."""

    def __init__(self, pieces: Iterable[str]) -> None:
        self._pieces = [(piece, piece[:KEPT] + _GAP + piece[-KEPT:]) for piece in pieces]

    @property
    def grams(self) -> set[str]:
        """The entries that texts may lack without them, in lower case as the index has them."""
        return {gram.lower() for piece, _ in self._pieces for gram in _grams(piece)}

    def without(self, text: str) -> str:
        """What is indexed of a text."""
        for piece, rest in self._pieces:
            text = text.replace(piece, rest)
        return text
