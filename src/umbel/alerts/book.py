"""What alerting remembers, kept with the store: rows on a few shelves, changed together or not at all.

One of several evaluators leads: whoever holds the lease. What a leader writes is refused once another has taken it, so
what follows from a look is never stored twice. One suite holds all engines to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from umbel.errors import StoreError

#: Characters of a key, and bytes of a row's data.
KEY: Final = 200
BYTES: Final = 2 << 20


class Shelf(StrEnum):
    """What a row is; the value is part of the stored form."""

    #: What is remembered of a rule, by its name.
    STATE = "state"
    #: The latest round: who looked, when, what each rule measured. One row.
    ROUND = "round"
    #: Notices that have yet to be delivered.
    OUTBOX = "outbox"
    #: How many were delivered, and how many were given up, by destination.
    TOTAL = "total"
    SILENCE = "silence"
    #: Kinds of failure that were seen, by fingerprint.
    KNOWN = "known"
    #: Rules that were made on the page, by their names.
    RULE = "rule"
    #: What happened: what fired, was over, was sent.
    PAST = "past"


#: Rows kept on each shelf; the oldest go first.
ROWS: Final = {
    Shelf.STATE: 500,
    Shelf.ROUND: 1,
    Shelf.OUTBOX: 1_000,
    Shelf.TOTAL: 100,
    Shelf.SILENCE: 200,
    Shelf.KNOWN: 10_000,
    # Nobody may make one more than that, so none ever goes.
    Shelf.RULE: 1_000,
    Shelf.PAST: 1_000,
}


class NotLeading(StoreError):
    """Another evaluator of alerts has the lead."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row; `at` is wall time, UTC seconds; `data` is JSON."""

    shelf: Shelf
    key: str
    at: float
    data: str


class AlertBook(Protocol):
    """May be used from any thread; raises `StoreError`, and `StoreBusy` where a later try may succeed."""

    def lead(self, who: str, now: float, seconds: float) -> bool:
        """Take the lead until `now + seconds`, or keep it; False while another has it."""
        ...

    def leave(self, who: str) -> None:
        """Let go of the lead; nothing happens where another has it."""
        ...

    def leader(self) -> tuple[str, float] | None:
        """Who has the lead, and until when (UTC seconds, which may be over); None: nobody ever had."""
        ...

    def read(self, shelf: Shelf, limit: int | None = None) -> Sequence[Row]:
        """The newest first."""
        ...

    def write(self, puts: Sequence[Row], drops: Sequence[tuple[Shelf, str]] = (), leader: str = "") -> None:
        """Put rows in place of those of the same key, and drop others: all or nothing, and the same twice is the same.

        With `leader`, raises `NotLeading` and changes nothing unless that one has the lead.
        """
        ...

    def close(self) -> None: ...


def checked(puts: Sequence[Row]) -> Sequence[Row]:
    """The rows; raises `StoreError` for one that is larger than the bound."""
    for row in puts:
        if len(row.data.encode()) > BYTES or not 0 < len(row.key) <= KEY:
            raise StoreError(f"a row of {row.shelf} may have {BYTES:,} bytes and a key of 1 to {KEY} characters")
    return puts


def trimmed(puts: Sequence[Row]) -> Sequence[Shelf]:
    """The shelves that may have grown beyond their bound."""
    return tuple(dict.fromkeys(row.shelf for row in puts))
