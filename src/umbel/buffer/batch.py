"""What a read of the spool gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from umbel.buffer.frame import Frame
from umbel.model.event import EventClass
from umbel.model.ledger import LedgerEntry, Reason


@dataclass(slots=True)
class SpoolBatch:
    """What one read gave."""

    #: kombu virtual envelopes, in the order in which they were appended.
    messages: list[bytes] = field(default_factory=list)
    #: What to hand to `commit` once all of this is stored; None where nothing was read.
    position: str | None = None
    #: Wall time at which the first of it was captured.
    captured_at: float = 0.0
    #: Events that were captured and are in no message, by reason and class.
    discarded: dict[tuple[Reason, EventClass], int] = field(default_factory=dict)
    #: Those with their spans, and what the receiver noted.
    ledger: list[LedgerEntry] = field(default_factory=list)
    #: Bytes of the messages.
    bytes: int = 0
    #: Events in the messages, as the receiver counted them (shared out evenly where an append was split).
    events: int = 0
    #: Whether the next append waited and did not fit.
    more: bool = False

    def discard(self, entry: LedgerEntry) -> None:
        """Enter what was lost; it counts as discarded unless it was never captured."""
        self.ledger.append(entry)
        if not entry.estimated and entry.count:
            key = (entry.reason, entry.event_class)
            self.discarded[key] = self.discarded.get(key, 0) + entry.count


class Backlog(NamedTuple):
    """What waits in the spool, read or not, until it is committed."""

    events: int
    bytes: int
    #: Wall time at which the oldest of it was captured; 0 where nothing waits.
    oldest_at: float


class Portion:
    """A frame on its way into batches: what of it was not handed out yet."""

    def __init__(self, frame: Frame, after: int) -> None:
        """Leave out what lies at or before sequence number `after`: it was handed out once."""
        self.frame = frame
        #: Whether the frame's notes are still to be handed out.
        self.fresh = frame.first > after
        self._shared = max(0, frame.events - frame.notes.events)
        self._at = 0
        self.left = frame.messages
        if not self.fresh:
            self._at = sum(frame.seq(index) <= after for index in range(len(frame.messages)))
            self.left = frame.messages[self._at :]
        self.bytes = sum(map(len, self.left))

    def take(self, messages: int, size: int) -> tuple[list[bytes], int]:
        """At least one message, at most `messages` of at most `size` bytes together, and their events."""
        before = self._share()
        if len(self.left) <= messages and self.bytes <= size:
            taken, self.left, self.bytes = self.left, [], 0
        else:
            within = _within(self.left, messages, size)
            taken, self.left = self.left[:within], self.left[within:]
            self.bytes -= sum(map(len, taken))
        self._at += len(taken)
        return taken, self._share() - before

    def position(self) -> tuple[int, int]:
        """The sequence number up to which everything is taken, and the events up to there."""
        frame = self.frame
        if not self.left:
            return frame.last, frame.events_before + frame.events
        return frame.seq(self._at - 1), frame.events_before + frame.notes.events + self._share()

    def _share(self) -> int:
        """Events in the messages taken so far."""
        count = len(self.frame.messages)
        return self._shared * self._at // count if count else self._shared


def _within(messages: list[bytes], count: int, size: int) -> int:
    """How many messages are at most `count` and hold at most `size` bytes; at least one."""
    total = 0
    for index, message in enumerate(messages[:count]):
        total += len(message)
        if total > size and index:
            return index
    return max(1, min(count, len(messages)))
