"""The parts of `umbel alert`: rounds on one thread, the lead and deliveries on another, pings on a third."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from umbel.alerts.book import AlertBook
from umbel.alerts.config import Config
from umbel.clock import Clock
from umbel.errors import StoreError
from umbel.logs import Limited
from umbel.watch.courier import Courier, Send
from umbel.watch.lead import Lead
from umbel.watch.rounds import Rounds
from umbel.web.alerting import Sight
from umbel.web.readiness import Level, judge

log = logging.getLogger(__name__)
limited = Limited(log)

#: Seconds between two looks at the outbox, and at whether this process leads.
TICK: Final = 2.0
#: Rounds after which the store counts as unable to take one.
MISSED: Final = 3


@dataclass(frozen=True, slots=True)
class Pulse:
    """The dead man's ping: what asks (gives "" or why not), and the seconds between two."""

    ping: Callable[[], str]
    every: float


class Watch:
    """One for each process. What it remembers is in the book; nothing is lost with it."""

    def __init__(
        self,
        config: Config,
        book: AlertBook,
        sight: Sight,
        send: Send,
        who: str,
        *,
        address: str = "",
        pulse: Pulse | None = None,
    ) -> None:
        """`who` tells this process from all others; `address` is where people reach the pages."""
        self._config = config
        self._clock: Clock = sight.clock
        self._sight = sight
        self._pulse = pulse
        self.lead = Lead(book, self._clock, who)
        self.rounds = Rounds(config, book, sight, who, address)
        self.courier = Courier(config, book, send, self._clock, who)
        #: Monotonic seconds of the latest round that was stored.
        self._stored_at = float("-inf")

    def run(self, stop: threading.Event, grace: float) -> None:
        """Until `stop`; then what is under way is waited for, `grace` seconds at most."""
        works = [self._rounds, *([self._pings] if self._pulse is not None else [])]
        threads = [threading.Thread(target=work, args=(stop,), name="umbel-alerts", daemon=True) for work in works]
        self.lead.renew()
        for thread in threads:
            thread.start()
        while not stop.wait(TICK):
            self.lead.renew()
            try:
                self.courier.turn(leading=self.lead.held)
            except StoreError as error:
                limited.warning("outbox", f"the outbox of alerts cannot be read or written: {error}")
        self.courier.close(grace / 2)
        for thread in threads:
            thread.join(grace / 4)
        self.lead.leave()

    def trouble(self) -> str:
        """What keeps it from working, "" while nothing does."""
        if self.lead.held and self._clock.monotonic() - self._stored_at > self._patience():
            return "the rules could not be judged, or what follows not be stored"
        return ""

    def well(self) -> str:
        """Why no ping may be sent, "" where all is well: this process leads, capture lives, the store takes writes."""
        if not self.lead.held:
            return "another process leads"
        if self.trouble():
            return self.trouble()
        pipeline = self._sight.pipeline()
        readiness = judge(pipeline, self._clock.now())
        if readiness.status is Level.DOWN:
            return readiness.trouble[0].detail
        return "the broker does not deliver" if pipeline.connected is False else ""

    def look(self) -> None:
        """One round, where this process leads."""
        if self.lead.held and self.rounds.round():
            self._stored_at = self._clock.monotonic()

    def _patience(self) -> float:
        return MISSED * self._config.every + 10.0

    def _rounds(self, stop: threading.Event) -> None:
        while not stop.is_set():
            began = self._clock.monotonic()
            self._safely("rules could not be judged", self.look)
            pause = self._config.every - (self._clock.monotonic() - began) if self.lead.held else TICK
            stop.wait(max(TICK, pause))

    def _pings(self, stop: threading.Event) -> None:
        pulse = self._pulse
        while pulse is not None and not stop.is_set():
            self._safely("the ping failed", partial(self._beat, pulse))
            stop.wait(pulse.every if self.lead.held else TICK)

    def _beat(self, pulse: Pulse) -> None:
        why = self.well()
        if why:
            log.debug("no ping: %s", why)
        elif why := pulse.ping():
            limited.warning("ping", f"the ping was not taken: {why}")

    @staticmethod
    def _safely(what: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:
            # One that is wrong once must not end the watch: the status says so for as long as it lasts.
            log.exception("%s", what)
