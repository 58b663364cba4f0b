"""A bounded buffer in memory for events that no broker keeps: once it is full the newest are refused, and counted."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from umbel.clock import Clock
from umbel.model.decode import Decoder
from umbel.model.event import AnyEvent, CustomEvent, EventClass, class_of_type
from umbel.model.ledger import LedgerEntry, Reason
from umbel.settings import MIB
from umbel.sources.base import Limits

MAX_MESSAGES: Final = 200_000
MAX_BYTES: Final = 64 * MIB


class Message(NamedTuple):
    """One message as it came."""

    body: bytes
    content_type: str
    #: Wall time of its coming.
    at: float


@dataclass(slots=True)
class Taken:
    """What one poll got."""

    messages: list[Message] = field(default_factory=list)
    #: Refused since the poll before, by class.
    refused: dict[EventClass, int] = field(default_factory=dict)
    ledger: list[LedgerEntry] = field(default_factory=list)


class BoundedInbox:
    """First in, first out, between a thread that reads the broker and one that polls."""

    def __init__(self, clock: Clock, max_messages: int = MAX_MESSAGES, max_bytes: int = MAX_BYTES) -> None:
        self._clock = clock
        self._decoder = Decoder()
        self.max_messages = max_messages
        self.max_bytes = max_bytes
        self._filled = threading.Condition()
        self._messages: deque[Message] = deque()
        self._bytes = 0
        self._refused: Counter[EventClass] = Counter()
        self._refused_from = 0.0
        self._refused_to = 0.0
        self._notes: deque[LedgerEntry] = deque(maxlen=1_000)
        #: Messages that came, refused ones included.
        self.received = 0

    def put(self, body: bytes, content_type: str) -> bool:
        """Add a message; False if there was no room: its events are counted and come with the next poll."""
        now = self._clock.now()
        with self._filled:
            self.received += 1
            if len(self._messages) >= self.max_messages or self._bytes + len(body) > self.max_bytes:
                self._refuse(body, content_type, now)
                return False
            self._messages.append(Message(body, content_type, now))
            self._bytes += len(body)
            self._filled.notify()
        return True

    def note(self, entry: LedgerEntry) -> None:
        """Add an entry for the ledger to what the next poll gets."""
        with self._filled:
            self._notes.append(entry)
            self._filled.notify()

    def take(self, limits: Limits) -> Taken:
        """The oldest messages within the limits, at least one if there is any; waits `limits.wait` seconds for it."""
        taken = Taken()
        size = 0
        with self._filled:
            if not (self._messages or self._notes or self._refused) and limits.wait > 0:
                self._filled.wait(limits.wait)
            while self._messages and len(taken.messages) < limits.messages:
                size += len(self._messages[0].body)
                if taken.messages and size > limits.bytes:
                    break
                taken.messages.append(self._messages.popleft())
            self._bytes -= sum(len(message.body) for message in taken.messages)
            taken.ledger = [*self._notes, *self._refusals()]
            taken.refused = dict(self._refused)
            self._notes.clear()
            self._refused.clear()
        return taken

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def held_bytes(self) -> int:
        """Bytes of the bodies held."""
        return self._bytes

    @property
    def oldest_at(self) -> float:
        """Wall time at which the oldest message came; 0 where there is none."""
        with self._filled:
            return self._messages[0].at if self._messages else 0.0

    def _refuse(self, body: bytes, content_type: str, now: float) -> None:
        decoded = self._decoder.bodies([(body, content_type)])
        if not self._refused:
            self._refused_from = now
        self._refused_to = now
        self._refused.update(_class(event) for event in decoded.events)
        self._refused.update(refused.event_class for refused in decoded.refused)

    def _refusals(self) -> list[LedgerEntry]:
        first, last = self._refused_from, self._refused_to
        detail = "the buffer in memory was full: this broker keeps no events for a reader that falls behind"
        return [
            LedgerEntry(Reason.SPOOL_FULL, event_class, first, last, count, detail=detail)
            for event_class, count in self._refused.items()
        ]


def _class(event: AnyEvent) -> EventClass:
    return class_of_type(event.type if isinstance(event, CustomEvent) else str(event.__struct_config__.tag))
