"""Delivers what waits in the outbox: each destination in order, tried again with backoff, none lost, none sent twice.

A notice leaves the outbox in the same write that notes it as sent. Only a process that dies between the two (or is cut
off from the store) leaves it there to be sent once more: that once is the price of losing none. It then carries the key
that it had before, by which a receiver that heeds keys takes it as the same.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from typing import Final

from msgspec.structs import replace

from umbel.alerts.book import AlertBook, NotLeading, Row, Shelf
from umbel.alerts.config import Config, Destination
from umbel.alerts.notice import Notice
from umbel.alerts.records import Past, Total, record, row
from umbel.clock import Clock
from umbel.errors import StoreError
from umbel.logs import Limited

log = logging.getLogger(__name__)
limited = Limited(log)

#: Notices sent at once, to as many destinations.
THREADS: Final = 4
#: Seconds before the second try, doubled for each further one, and at most.
BACKOFF: Final = 5.0
BACKOFF_MAX: Final = 300.0
#: Seconds after which a notice that nobody takes is given up.
GIVEN_UP: Final = 86_400.0

#: Sends a notice: "" if it was taken, else why not. The text stays the same however often the same notice is sent.
Send = Callable[[Destination, Notice, str], str]


def _once(found: Row) -> str:
    """What tells a notice from all others, wherever it is sent from."""
    return sha256(f"{found.key} {found.at!r}".encode()).hexdigest()[:32]


class Courier:
    """One thread uses it; sending is done by others."""

    def __init__(self, config: Config, book: AlertBook, send: Send, clock: Clock, who: str) -> None:
        self._destinations = {one.name: one for one in config.destinations}
        self._book = book
        self._send = send
        self._clock = clock
        self._who = who
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="umbel-send")
        #: Under way or done and not noted yet, by destination.
        self._under_way: dict[str, tuple[Row, Notice, Future[str]]] = {}

    def turn(self, *, leading: bool) -> int:
        """Note what was sent and, where this process leads, send what is due; how many wait or are under way.

        Raises `StoreError`; what was sent is then noted by a later turn, and not sent again.
        """
        for name, (found, notice, sent) in list(self._under_way.items()):
            if sent.done():
                self._note(found, notice, sent.result())
                del self._under_way[name]
        if not leading:
            return len(self._under_way)
        waiting = self._book.read(Shelf.OUTBOX)
        now = self._clock.now()
        heads: set[str] = set()
        for found in reversed(waiting):
            notice = record(found, Notice)
            # In order: what is over is never told before that it was.
            if notice.to in heads or notice.to in self._under_way:
                continue
            heads.add(notice.to)
            # A clock that was set back must not hold it for ever.
            if notice.next_at <= now or notice.next_at > now + BACKOFF_MAX:
                self._begin(found, notice)
        return len(waiting)

    def close(self, patience: float) -> None:
        """Wait for what is under way, so many seconds at most, and note it."""
        deadline = self._clock.monotonic() + patience
        for found, notice, sent in self._under_way.values():
            try:
                self._note(found, notice, sent.result(max(0.0, deadline - self._clock.monotonic())))
            except TimeoutError:
                log.warning("a notice to %s was under way and may come twice", notice.to)
            except StoreError as error:
                log.warning("a notice to %s may come twice: %s", notice.to, error)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _begin(self, found: Row, notice: Notice) -> None:
        destination = self._destinations.get(notice.to)
        if destination is None:
            self._ended(found, notice, "this destination is no longer set")
        else:
            self._under_way[notice.to] = (
                found,
                notice,
                self._pool.submit(self._send, destination, notice, _once(found)),
            )

    def _note(self, found: Row, notice: Notice, why: str) -> None:
        now = self._clock.now()
        if not why:
            self._ended(found, notice, "")
            return
        limited.warning(notice.to, f"a notice to {notice.to} was not taken: {why}")
        if now - found.at >= GIVEN_UP:
            self._ended(found, notice, why)
            return
        delay = min(BACKOFF_MAX, BACKOFF * 2 ** min(notice.tries, 10)) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        again = replace(notice, tries=notice.tries + 1, next_at=now + delay, error=why)
        try:
            self._book.write([row(Shelf.OUTBOX, found.key, found.at, again)], leader=self._who)
        except NotLeading:
            log.info("another process leads and tries that notice again")

    def _ended(self, found: Row, notice: Notice, why: str) -> None:
        now = self._clock.now()
        known = {one.key: record(one, Total) for one in self._book.read(Shelf.TOTAL)}
        total = known.get(notice.to, Total())
        total = Total(total.sent, total.failed + 1) if why else Total(total.sent + 1, total.failed)
        past = Past("failed" if why else "sent", notice.title, notice.to, why)
        puts = [row(Shelf.TOTAL, notice.to, now, total), row(Shelf.PAST, f"{now:.6f} {notice.to}", now, past)]
        # Whoever leads by now: it was sent, and must not be sent again.
        self._book.write(puts, [(Shelf.OUTBOX, found.key)])
        log.info("a notice to %s %s: %s", notice.to, "was given up" if why else "was sent", notice.title)
