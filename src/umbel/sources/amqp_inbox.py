"""Messages between the thread that talks to RabbitMQ and the thread that polls; bounded in count and bytes."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final, NamedTuple

from umbel.clock import Clock
from umbel.sources.base import Limits

#: Weight of one message in the running mean of their sizes.
WEIGHT: Final = 1 / 256
#: Bytes that a message is taken to have before any came.
USUAL: Final = 1_024.0


class Delivery(NamedTuple):
    """One message as it came."""

    body: bytes
    content_type: str
    #: Which connection brought it; acknowledgements of another one mean nothing to the broker.
    generation: int
    tag: int
    #: Wall time of its coming.
    at: float
    #: Place in the stream; -1 where the queue is none.
    offset: int = -1
    #: Messages that the stream dropped just before this one, at most (less one for each segment but the last).
    gap: int = 0
    #: Whether the broker sent it before, to us or to another.
    redelivered: bool = False


class Inbox:
    """First in, first out. The putting side asks `full` and then holds the broker back; nothing is refused here."""

    def __init__(self, clock: Clock, max_messages: int, max_bytes: int) -> None:
        self._clock = clock
        self._max_messages = max_messages
        self.max_bytes = max_bytes
        self._filled = threading.Condition()
        self._deliveries: deque[Delivery] = deque()
        self._bytes = 0
        self._mean = USUAL
        #: Messages put in since the beginning.
        self.received = 0
        #: The offset that the stream's next message should have; None where any will do.
        self.next_offset: int | None = None

    def put(
        self, generation: int, tag: int, body: bytes, content_type: str, offset: int, *, redelivered: bool = False
    ) -> bool:
        """Add a message; False for one that a stream should not send now: an offset that was seen already."""
        gap = 0
        if offset >= 0:
            expected = offset if self.next_offset is None else self.next_offset
            if offset < expected:
                return False
            # A stream's every segment begins with an entry of the broker's own, so one offset missing is no message.
            gap = max(0, offset - expected - 1)
            self.next_offset = offset + 1
        delivery = Delivery(body, content_type, generation, tag, self._clock.now(), offset, gap, redelivered)
        with self._filled:
            self._deliveries.append(delivery)
            self._bytes += len(body)
            self._filled.notify()
        self._mean += (len(body) - self._mean) * WEIGHT
        self.received += 1
        return True

    def take(self, limits: Limits) -> list[Delivery]:
        """The oldest messages within the limits, at least one if there is any; waits `limits.wait` seconds for it."""
        taken: list[Delivery] = []
        size = 0
        with self._filled:
            if not self._deliveries and limits.wait > 0:
                self._filled.wait(limits.wait)
            while self._deliveries and len(taken) < limits.messages:
                size += len(self._deliveries[0].body)
                if taken and size > limits.bytes:
                    break
                taken.append(self._deliveries.popleft())
            self._bytes -= sum(len(delivery.body) for delivery in taken)
        return taken

    def clear(self) -> None:
        """Forget everything: the broker is going to deliver it again."""
        with self._filled:
            self._deliveries.clear()
            self._bytes = 0

    def __len__(self) -> int:
        return len(self._deliveries)

    @property
    def held_bytes(self) -> int:
        """Bytes of the bodies held."""
        return self._bytes

    @property
    def full(self) -> bool:
        """Whether the broker must be held back."""
        return self._bytes >= self.max_bytes or len(self._deliveries) >= self._max_messages

    @property
    def low(self) -> bool:
        """Whether the broker, once held back, may send again."""
        return self._bytes <= self.max_bytes // 2 and len(self._deliveries) <= self._max_messages // 2

    @property
    def oldest_at(self) -> float:
        """Wall time at which the oldest message came; 0 where there is none."""
        with self._filled:
            return self._deliveries[0].at if self._deliveries else 0.0

    def prefetch(self, at_most: int) -> int:
        """How many messages of the size usual now the broker may have on their way at once."""
        return max(1, min(at_most, int(self.max_bytes / max(self._mean, 1.0))))
