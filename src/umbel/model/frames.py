"""A traceback in pieces: the application's own frames, and those of installed code that lie between. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from umbel.model.fingerprint import FRAME, INSTALLED


@dataclass(frozen=True, slots=True)
class Piece:
    """Lines that stand together."""

    text: str
    #: Frames of installed code in it; 0: it is shown as it stands.
    folded: int


def pieces(traceback: str) -> list[Piece]:
    """The traceback, whole: frames of installed code apart. Where all frames are installed code nothing is folded."""
    lines = traceback.splitlines(keepends=True)
    marked: list[tuple[bool, str]] = []
    own = frames = 0
    installed = False
    for line in lines:
        match = FRAME.match(line)
        if match is not None:
            installed = bool(INSTALLED.search(match["file"]))
            own, frames = own + (not installed), frames + 1
        elif not line.startswith((" ", "\t")):
            installed = False
        marked.append((installed, line))
    if not own or own == frames:
        return [Piece(traceback, 0)]
    found = []
    for folded, group in groupby(marked, key=lambda item: item[0]):
        text = "".join(line for _, line in group)
        found.append(Piece(text, len(FRAME.findall(text)) if folded else 0))
    return found
