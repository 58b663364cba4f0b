"""Which messages that the broker delivers again are stored already.

What was committed but not acknowledged when a collector died comes again, to it or to another. So each position holds
fingerprints of the messages that may come again, and whoever receives a message again looks into all positions.
"""

from __future__ import annotations

import binascii
import logging
import math
from array import array
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from zlib import adler32, crc32

from umbel.clock import Clock
from umbel.sources.amqp_inbox import Delivery
from umbel.sources.base import Positions

log = logging.getLogger(__name__)

#: Messages whose fingerprints are kept at most; the broker never has more of ours unacknowledged (see PREFETCH).
MOST: Final = 40_000
#: Seconds for which they are kept after the broker has confirmed the acknowledgement: it may die and forget that.
CONFIRMED: Final = 2.0
#: And after the connection that brought them was lost: a half-open one is noticed by the broker within 30 s.
LOST: Final = 60.0
#: Positions kept of one queue; every collector that starts begins a new one.
POSITIONS: Final = 32


def fingerprints(bodies: Iterable[bytes]) -> array[int]:
    """64 bits for each message body; two checksums are several times cheaper than any digest."""
    return array("Q", [crc32(body) << 32 | adler32(body) for body in bodies])


@dataclass(slots=True)
class _Batch:
    """A batch that was handed out, until its messages can no longer come again."""

    serial: int
    generation: int
    tag: int
    prints: array[int]
    #: The prints as the position holds them.
    text: str
    committed: bool = False
    #: Monotonic time from which on nobody needs it.
    until: float = math.inf


class Repeats:
    """Knows the batches of this collector, in memory, and those of others on the same queue, by their positions."""

    def __init__(self, prefix: str, name: str, clock: Clock, positions: Positions | None) -> None:
        """`name` is under which this collector's position is kept, `prefix` what all names of the queue begin with."""
        self._prefix = prefix
        self._name = name
        self._clock = clock
        self._positions = positions
        self._batches: deque[_Batch] = deque()
        self._serial = 0
        #: Of the other positions: the text read latest, and what it means.
        self._others: dict[str, tuple[str, frozenset[int]]] = {}

    def others(self) -> dict[str, str]:
        """The positions of all others on the queue; the oldest beyond the bound are forgotten. Raises `StoreError`."""
        if self._positions is None:
            return {}
        found = {name: text for name, text in self._positions.positions(self._prefix).items() if name != self._name}
        if len(found) <= POSITIONS:
            return found
        newest = sorted(found, key=lambda name: _written_at(found[name]), reverse=True)
        for name in newest[POSITIONS:]:
            self._positions.forget(name)
            del found[name]
        return found

    def sift(self, taken: Sequence[Delivery]) -> Sequence[Delivery]:
        """Those that are not stored yet; raises `StoreError` while the store does not tell."""
        doubtful = [delivery for delivery in taken if delivery.redelivered and delivery.offset < 0]
        if not doubtful:
            return taken
        stored = [set(batch.prints) for batch in self._batches if batch.committed]
        known = frozenset().union(*stored, *self._read())
        prints = zip(doubtful, fingerprints(delivery.body for delivery in doubtful), strict=True)
        repeated = {id(delivery) for delivery, print_ in prints if print_ in known}
        if repeated:
            log.info("the broker sent %d messages again that are stored already; they are left out", len(repeated))
        return [delivery for delivery in taken if id(delivery) not in repeated]

    def _read(self) -> list[frozenset[int]]:
        """What the positions of others tell, decoded anew only where one has changed."""
        fresh: dict[str, tuple[str, frozenset[int]]] = {}
        for name, text in self.others().items():
            known = self._others.get(name)
            fresh[name] = known if known is not None and known[0] == text else (text, _decode(text))
        self._others = fresh
        return [prints for _, prints in fresh.values()]

    def add(self, generation: int, tag: int, fresh: Sequence[Delivery], note: str = "") -> str:
        """Remember a batch that is handed out up to `tag`; gives its position, with a word of note in it."""
        self._expire()
        self._serial += 1
        prints = fingerprints(delivery.body for delivery in fresh)
        text = binascii.b2a_base64(prints.tobytes(), newline=False).decode()
        self._batches.append(_Batch(self._serial, generation, tag, prints, text))
        words = (f"{self._serial}@{self._clock.now():.0f}", note, *(batch.text for batch in self._batches))
        return " ".join(filter(None, words))

    def committed(self, position: str) -> None:
        """Everything handed out up to `position` is stored."""
        serial = position.partition("@")[0]
        if serial.isdigit():
            for batch in self._batches:
                batch.committed |= batch.serial <= int(serial)

    def confirmed(self, generation: int, tag: int) -> None:
        """The broker of connection `generation`, the latest, says that it has the acknowledgement up to `tag`."""
        now = self._clock.monotonic()
        for batch in self._batches:
            if batch.generation < generation:
                batch.until = min(batch.until, now + LOST)
            elif batch.tag <= tag:
                batch.until = min(batch.until, now + CONFIRMED)

    def _expire(self) -> None:
        now = self._clock.monotonic()
        self._batches = deque(batch for batch in self._batches if batch.until > now)
        held = sum(len(batch.prints) for batch in self._batches)
        while held > MOST:
            held -= len(self._batches.popleft().prints)

    def clear(self) -> None:
        """Forget what was handed out and not committed: it comes again."""
        self._batches = deque(batch for batch in self._batches if batch.committed)


def _written_at(text: str) -> float:
    """When a position was made; 0 for one that does not say."""
    try:
        return float(text.split(" ", 1)[0].partition("@")[2])
    except ValueError:
        return 0.0


def _decode(text: str) -> frozenset[int]:
    """The fingerprints in a position; none in one of a stream or of an earlier version."""
    prints = array("Q")
    try:
        for part in text.split(" ")[1:]:
            if not part.startswith("!"):
                prints.frombytes(binascii.a2b_base64(part))
    except ValueError as error:
        log.warning("a position of another collector cannot be read, what it stored may be counted twice: %s", error)
    return frozenset(prints)
