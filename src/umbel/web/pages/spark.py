"""Drawings so small that they stand in a line of text or a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

#: Size of the box they are drawn in; it is stretched to its place.
WIDTH: Final = 100.0
HEIGHT: Final = 20.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One column; `part` of its height is drawn in the colour of failures."""

    x: float
    width: float
    height: float
    part: float

    @property
    def y(self) -> float:
        return HEIGHT - self.height


def bars(whole: Sequence[float], part: Sequence[float] = ()) -> list[Bar]:
    """A column for each value that is not 0, the greatest as high as the box; `part` is how much of each failed."""
    top = max(whole, default=0.0)
    if top <= 0:
        return []
    wide = WIDTH / len(whole)
    parts = [*part, *[0.0] * (len(whole) - len(part))]
    return [
        Bar(round(n * wide, 2), round(wide * 0.8, 2), round(value / top * HEIGHT, 2), round(failed / top * HEIGHT, 2))
        for n, (value, failed) in enumerate(zip(whole, parts, strict=True))
        if value > 0
    ]


def columns(times: Iterable[float], start: float, end: float, count: int) -> list[float]:
    """How many of the times (UTC seconds) fall into each of `count` equal parts of [start, end)."""
    found = [0.0] * count
    for at in times:
        if start <= at < end:
            found[min(count - 1, int((at - start) / (end - start) * count))] += 1
    return found
