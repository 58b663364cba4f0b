"""How many messages a full queue has dropped: published, less acknowledged, less what it holds.

RabbitMQ counts no drops, and it tells of each of the three at a moment of its own, up to some seconds late. So what is
reckoned here is never more than was dropped, and exact once the queue has been quiet for `LAG` seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Self

from umbel.model.event import EventClass
from umbel.model.ledger import LedgerEntry, Reason
from umbel.sources.amqp_api import Counts

#: Seconds after which the broker has certainly counted what was done.
LAG: Final = 10.0
#: Looks remembered at most.
LOOKS: Final = 16


@dataclass(frozen=True, slots=True)
class Reckoned:
    """What has been entered in the books, kept with the position."""

    #: Wall time of the look.
    at: float
    #: Messages published since the broker counts, to notice that it began anew.
    published: int
    #: Messages that were in the queue before the broker began to count, negative.
    base: int
    #: Messages dropped since then.
    dropped: int

    def text(self) -> str:
        """As a word of the position."""
        return f"!{self.at:.3f},{self.published},{self.base},{self.dropped}"

    @classmethod
    def of(cls, position: str) -> Self | None:
        """What a position holds of it, if anything."""
        words = [word for word in position.split(" ", 2)[:2] if word.startswith("!")]
        try:
            at, published, base, dropped = words[0][1:].split(",")
            return cls(float(at), int(published), int(base), int(dropped))
        except (IndexError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class Dropped:
    """Messages that were dropped between two looks (wall times)."""

    count: int
    first_at: float
    last_at: float


class Drops:
    """Looks at the counts, one after another, in the order of time."""

    def __init__(self, reckoned: Reckoned | None) -> None:
        """Go on from what is in the books already."""
        self.reckoned = reckoned
        self._looks: deque[tuple[float, Counts]] = deque(maxlen=LOOKS)

    def see(self, at: float, counts: Counts) -> Dropped | None:
        """Take a look at wall time `at`; what can be said now to have been dropped since the latest that was said."""
        if self._anew(counts):
            self._looks.clear()
            self.reckoned = None
        self._looks.append((at, counts))
        least = self._least(at)
        if least is None:
            return None
        # Nothing is known of the time before the first look: not even that nothing was dropped in it.
        known = self.reckoned or Reckoned(self._looks[0][0], 0, self._base(), 0)
        dropped = max(known.dropped, least - known.base)
        seen_at = at if dropped > known.dropped else max(known.at, at - LAG)
        self.reckoned = Reckoned(seen_at, counts.published, known.base, dropped)
        return Dropped(dropped - known.dropped, known.at, at) if dropped > known.dropped else None

    def _anew(self, counts: Counts) -> bool:
        """Whether the broker began to count anew since the latest look, or since what is in the books."""
        if not self._looks:
            return self.reckoned is not None and counts.published < self.reckoned.published
        latest = self._looks[-1][1]
        return counts.published < latest.published or counts.acknowledged < latest.acknowledged

    def _base(self) -> int:
        """How many more were in the queue than the broker had counted, negative: a restart had left them there."""
        return min(0, max(counts.published - counts.acknowledged - counts.held for _, counts in self._looks))

    def _least(self, now: float) -> int | None:
        """Dropped at least: published as of a look `LAG` ago, less what was acknowledged and held ever since."""
        old = [(at, counts) for at, counts in self._looks if at <= now - LAG]
        if not old:
            return None
        at, counts = old[-1]
        most_held = max(later.held for when, later in self._looks if when >= at)
        return counts.published - self._looks[-1][1].acknowledged - most_held


class DropBook:
    """Enters drops in the ledger, each once: what is entered stands in the position of the collector that counts."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._drops: Drops | None = None
        self._own: Reckoned | None = None
        self._looked_at = 0.0

    def see(self, look: tuple[float, Counts] | None, positions: Callable[[], Mapping[str, str]]) -> LedgerEntry | None:
        """What is to be entered now; `look` is the latest, None while another collector counts or nobody can.

        Raises what reading the positions raises, and has seen nothing then.
        """
        if look is None:
            self._drops = None
            return None
        if self._drops is None:
            others = [reckoned for text in positions().values() if (reckoned := Reckoned.of(text))]
            known = [*others, *([self._own] if self._own else [])]
            self._drops = Drops(max(known, key=lambda reckoned: reckoned.at, default=None))
        if look[0] == self._looked_at:
            return None
        self._looked_at = look[0]
        dropped = self._drops.see(*look)
        self._own = self._drops.reckoned
        return self._entry(dropped) if dropped is not None else None

    def note(self) -> str:
        """What the books know, as a word of the position; "" while another collector counts."""
        return self._own.text() if self._drops is not None and self._own is not None else ""

    def _entry(self, dropped: Dropped) -> LedgerEntry:
        detail = (
            f"the full queue {self._queue!r} dropped its oldest messages to keep within its bound; one message holds "
            "one event or more"
        )
        span = dropped.first_at, dropped.last_at, dropped.count
        return LedgerEntry(Reason.QUEUE_FULL, EventClass.UNKNOWN, *span, detail=detail)
