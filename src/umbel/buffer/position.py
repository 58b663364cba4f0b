"""How far the spool has been read, as the store keeps it."""

from __future__ import annotations

from dataclasses import dataclass

from umbel.errors import SpoolError


@dataclass(frozen=True, slots=True)
class SpoolPosition:
    """Everything up to `seq` was read; `events` is how many events that was since the spool was made."""

    #: Tells this spool from one that was made anew in its place.
    spool: int
    seq: int
    events: int

    def __str__(self) -> str:
        return f"{self.spool:x}-{self.seq}-{self.events}"

    @classmethod
    def parse(cls, text: str) -> SpoolPosition:
        """The position that a text stands for; raises `SpoolError`."""
        try:
            spool, seq, events = text.split("-")
            return cls(int(spool, 16), int(seq), int(events))
        except ValueError as error:
            raise SpoolError(
                f"{text[:100]!r} is not a position in the spool; was the store made by another?"
            ) from error
