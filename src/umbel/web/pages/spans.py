"""The span of time that a page looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Span:
    """A length of time with the width of the columns it is drawn in; both in seconds."""

    #: As it stands in the address and in a search: `1h`.
    name: str
    #: "the last hour".
    title: str
    length: int
    step: int
    #: Seconds after which its figures are worth computing again.
    every: float

    def start(self, now: float) -> int:
        """Where the first column begins, UTC seconds; columns begin at multiples of their width."""
        return int(now // self.step + 1) * self.step - self.length


#: From the address's `range`.
SPANS: Final = {
    span.name: span
    for span in (
        Span("15m", "the last 15 minutes", 900, 60, 1.0),
        Span("1h", "the last hour", 3_600, 60, 1.0),
        Span("6h", "the last 6 hours", 21_600, 300, 3.0),
        Span("24h", "the last 24 hours", 86_400, 900, 5.0),
    )
}
DEFAULT: Final = SPANS["1h"]


def span_of(name: str) -> Span:
    """The span of an address; an unknown name gives the default."""
    return SPANS.get(name, DEFAULT)
