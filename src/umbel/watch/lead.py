"""Which of several evaluators leads: the one that holds the lease and renews it."""

from __future__ import annotations

import logging
from typing import Final

from umbel.alerts.book import AlertBook
from umbel.clock import Clock
from umbel.errors import StoreError
from umbel.logs import Limited

log = logging.getLogger(__name__)
limited = Limited(log)

#: Seconds that a lead lasts without being renewed, and between two renewals.
LEASE: Final = 30.0
RENEWED: Final = 5.0


class Lead:
    """`renew` is called by one thread, `held` may be asked by any."""

    def __init__(self, book: AlertBook, clock: Clock, who: str) -> None:
        self.who = who
        self._book = book
        self._clock = clock
        #: Monotonic seconds: until when it is ours, and when it is asked for again.
        self._until = 0.0
        self._next = float("-inf")

    @property
    def held(self) -> bool:
        """Whether this process may act just now."""
        return self._clock.monotonic() < self._until

    def renew(self) -> bool:
        """Take the lead or keep it, where it is time to; whether it is ours."""
        asked = self._clock.monotonic()
        if asked >= self._next:
            self._next = asked + RENEWED
            before = self.held
            try:
                ours = self._book.lead(self.who, self._clock.now(), LEASE)
            except StoreError as error:
                limited.warning("lead", f"the lead of alerts can neither be taken nor kept: {error}")
            else:
                self._until = asked + LEASE if ours else 0.0
                if ours is not before:
                    log.info("this process %s alerts", "now judges and delivers" if ours else "stands by for")
        return self.held

    def leave(self) -> None:
        """Let another take it at once."""
        self._until = 0.0
        try:
            self._book.leave(self.who)
        except StoreError as error:
            log.warning("the lead of alerts is let go only in %.0f s: %s", LEASE, error)
