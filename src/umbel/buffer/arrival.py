"""One append on its way into a spool that is filling up."""

from __future__ import annotations

from umbel.buffer.notes import Notes
from umbel.buffer.sieve import Heartbeats, Sieve


class Arrival:
    """Messages that came together, what of them is still to be kept, and the count of what is not."""

    def __init__(self, messages: list[bytes], events: int, at: float) -> None:
        """`events` in `messages`, captured at `at`."""
        self.messages = messages
        self.events = events
        self.at = at
        self.notes = Notes()
        #: Events of up to this rank were taken out.
        self.level = 0
        #: Whether it is in the spool.
        self.taken = False

    @property
    def bytes(self) -> int:
        """Bytes of the messages that are left, with their lengths."""
        return sum(map(len, self.messages)) + 4 * len(self.messages)

    def sift(self, sieve: Sieve, level: int, heartbeats: Heartbeats) -> None:
        """Take out the events of rank `level` or less."""
        left = sieve.messages(self.messages, level, self.at, heartbeats, self.notes)
        self.messages = list(left.values())
        self.level = level

    def drop(self, sieve: Sieve) -> None:
        """Take out all that is left."""
        for message in self.messages:
            for event_class, count in sieve.count(message).items():
                self.notes.add(event_class, count, self.at)
        self.messages = []
