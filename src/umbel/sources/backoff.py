"""How long to wait before the next try to reach a broker."""

from __future__ import annotations

import random
from typing import Final

#: Seconds that the first waits last at most.
FIRST: Final = 0.5
#: A wait lasts at most this share of all that was waited before, so an outage of 25 s ends at most 7.5 s late.
SHARE: Final = 0.3


class Backoff:
    """Waits that grow exponentially, with full jitter: any length up to the bound is as likely."""

    def __init__(self, cap: float, rng: random.Random | None = None) -> None:
        self._cap = cap
        self._random = rng or random.Random()  # noqa: S311 (jitter, not a secret)
        self._waited = 0.0

    def bound(self) -> float:
        """Seconds that the next wait lasts at most."""
        return min(self._cap, max(FIRST, SHARE * self._waited))

    def delay(self) -> float:
        """Seconds to wait now; counts as waited."""
        delay = self._random.uniform(0, self.bound())
        self._waited += delay
        return delay

    def reset(self) -> None:
        """A connection has delivered: begin anew."""
        self._waited = 0.0
