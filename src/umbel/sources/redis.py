"""The receiver for Redis: PUB/SUB messages go from the socket to the spool as they are, and nothing else is done here.

Redis cuts off a subscriber that reads too slowly and throws away what it held for it, so nothing may delay the reading.
Whatever time passes without a subscription is entered as a gap; how much was missed is reckoned elsewhere.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from umbel.buffer.writer import SpoolWriter
from umbel.clock import Clock
from umbel.errors import BrokerError, SpoolError
from umbel.logs import Limited
from umbel.model.event import EventClass
from umbel.model.ledger import LedgerEntry, Reason
from umbel.settings import Settings
from umbel.sources.backoff import Backoff
from umbel.sources.redis_client import ERRORS, explain, locate
from umbel.sources.redis_count import count_events
from umbel.sources.redis_session import ServerFacts, Session
from umbel.sources.redis_url import RedisOptions
from umbel.status import (
    BROKER_BUFFER,
    BUFFER,
    BUFFER_LIMIT,
    CAPTURED,
    CONNECTED,
    OLDEST,
    READ_AHEAD,
    RECONNECTS,
    SINCE,
    PartStatus,
)

log = logging.getLogger(__name__)

#: Seconds that one read waits at most: how soon a stop is noticed.
READ_WAIT: Final = 0.25
#: Seconds between two statuses, two syncs of the spool, two looks at our output buffer; between two at the Sentinels.
STATUS_EVERY: Final = 1.0
WATCH_EVERY: Final = 1.0
SENTINEL_EVERY: Final = 5.0
#: Seconds that a stop may spend on what was read and is not in the spool yet.
LEAVE_WITHIN: Final = 0.5
#: Seconds of standing still after which the reading loop is reported as stuck.
STUCK_AFTER: Final = 3.0
#: Messages remembered to drop the second copy of one that was published on two channels.
TWICE_REMEMBERED: Final = 10_000

_NOT_RUNNING: Final = "umbel receive was not running"
_NOT_CONNECTED: Final = "umbel receive could not connect"


class RedisReceiver:
    """The whole of `umbel receive` for a Redis broker; raises `SettingsError` for settings that cannot be used."""

    def __init__(self, settings: Settings, spool: SpoolWriter, clock: Clock, backoff: Backoff | None = None) -> None:
        self._options = RedisOptions.from_settings(settings)
        self._exchange = settings.event_exchange
        self._spool = spool
        self._clock = clock
        self._backoff = backoff or Backoff(settings.reconnect_max)
        self._limited = Limited(log, clock)
        self._started_at = self._since = clock.now()
        self._turned = clock.monotonic()
        self._session: Session | None = None
        self._facts = ServerFacts()
        self._error = "connecting"
        self._captured = 0
        self._sessions = 0
        self._turn = 0
        self._output_buffer = 0
        self._delivered_at = 0.0
        #: The server had given us up while we still read what was on its way.
        self._given_up = False
        self._moved = ""
        #: Since when (wall time) and why messages may have passed unseen; 0: there is no such time.
        self._lost_at = spool.previous_captured_at
        self._lost_why = _NOT_RUNNING
        self._copies = SecondCopies() if self._options.channels(self._exchange).twice else None

    def run(self, stop: threading.Event, on_status: Callable[[PartStatus], None]) -> None:
        """Capture until `stop` is set, then return within a second.

        `on_status` is called about once a second, from another thread. The caller closes the spool afterwards.
        """
        done = threading.Event()
        helpers = [
            threading.Thread(target=self._sync_spool, args=(done,), name="umbel-sync", daemon=True),
            threading.Thread(target=self._report, args=(done, on_status), name="umbel-status", daemon=True),
            threading.Thread(target=self._watch, args=(done,), name="umbel-watch", daemon=True),
        ]
        for helper in helpers:
            helper.start()
        try:
            while not stop.is_set():
                self._live(stop)
        finally:
            done.set()
            for helper in helpers:
                helper.join(timeout=0.2)

    def _live(self, stop: threading.Event) -> None:
        """One connection, from the try to its end, and the wait before the next."""
        session: Session | None = None
        try:
            session = self._connect(stop)
            if session is not None:
                self._begin(session)
                self._capture(session, stop)
        except ERRORS as error:
            self._lose(session, error)
            stop.wait(self._backoff.delay())
        finally:
            self._session = None
            if session is not None:
                self._part(session)

    def _part(self, session: Session) -> None:
        try:
            session.close()
        except Exception as error:  # noqa: BLE001 - whatever it is, what was captured must still be saved
            self._limited.warning("redis-close", f"the connection to Redis could not be closed: {error!r}")

    def _connect(self, stop: threading.Event) -> Session | None:
        """Connect in a thread of its own, as a name server or a silent host would hold up the stop; None: stopped."""
        result: queue.SimpleQueue[Session | Exception] = queue.SimpleQueue()
        unwanted = threading.Event()
        self._turn += 1

        def attempt(turn: int) -> None:
            try:
                session = Session(self._options, self._exchange, self._clock, turn)
            except Exception as error:  # noqa: BLE001 (raised again by the thread that waits for it)
                result.put(error)
                return
            if unwanted.is_set():
                session.close()
            else:
                result.put(session)

        threading.Thread(target=attempt, args=(self._turn - 1,), name="umbel-connect", daemon=True).start()
        while not stop.is_set():
            self._turned = self._clock.monotonic()
            try:
                got = result.get(timeout=READ_WAIT / 2)
            except queue.Empty:
                continue
            if isinstance(got, Exception):
                raise got
            return got
        unwanted.set()
        return None

    def _begin(self, session: Session) -> None:
        """The subscription stands: enter the gap before it."""
        before, self._facts = self._facts, session.facts
        if self._lost_at:
            slow = self._given_up or too_much_held(before, session.facts, self._output_buffer)
            self._note_gap(session, why_cut(self._lost_why, before, session.facts, slow=slow))
        self._lost_at = 0.0
        self._error, self._moved, self._output_buffer, self._given_up = "", "", 0, False
        self._since = session.subscribed_at
        self._sessions += 1
        self._session = session
        log.info("subscribed to the events of %s", self._options.shown)

    def _note_gap(self, session: Session, why: str) -> None:
        until = session.subscribed_at
        entry = LedgerEntry(
            Reason.DISCONNECTED,
            EventClass.UNKNOWN,
            first_at=min(self._lost_at, until),
            last_at=until,
            count=0,
            estimated=True,
            detail=f"{self._options.shown}: {why}",
        )
        self._spool.note(entry)
        self._limited.warning("gap", f"nothing was captured for {until - entry.first_at:.1f} s: {why}")

    def _capture(self, session: Session, stop: threading.Event) -> None:
        delivered = False
        while not stop.is_set():
            moved = self._move(session, READ_WAIT)
            if moved and not delivered:
                delivered = True
                self._backoff.reset()
            elif self._moved and not session.held:
                raise BrokerError(self._moved)
        # What was taken off the wire already is captured, as far as a second allows.
        deadline = self._clock.monotonic() + LEAVE_WITHIN
        while session.held and self._clock.monotonic() < deadline:
            self._move(session, 0.0)

    def _move(self, session: Session, wait: float) -> int:
        """One read goes to the spool in one append; gives the number of messages."""
        messages = session.read(wait)
        self._turned = self._clock.monotonic()
        if self._copies is not None:
            messages = self._copies.drop(messages)
        if messages:
            events = sum(map(count_events, messages))
            self._delivered_at = self._clock.now()
            self._spool.append(messages, events, self._delivered_at)
            self._captured += events
        return len(messages)

    def _lose(self, session: Session | None, error: BaseException) -> None:
        self._error = explain(error, self._options)
        if session is not None:
            now = self._clock.now()
            # A master that was deposed may still answer: only what it delivered shows that events came to it.
            heard_at = self._delivered_at if self._moved else now - session.silent_for
            self._lost_at = max(session.subscribed_at, heard_at)
            self._lost_why = " ".join(str(error).split()) or type(error).__name__
            self._since = now
        elif not self._lost_at:
            self._lost_at, self._lost_why = self._started_at, _NOT_CONNECTED
        self._limited.warning("redis-connection", self._error)

    # The rest runs in threads of its own, so that no disk and no second connection delays the reading.

    def _sync_spool(self, done: threading.Event) -> None:
        while not done.wait(STATUS_EVERY):
            try:
                self._spool.sync()
            except (SpoolError, OSError) as error:
                self._limited.warning("spool-sync", f"the spool cannot be made safe on disk: {error}")

    def _report(self, done: threading.Event, on_status: Callable[[PartStatus], None]) -> None:
        while True:
            try:
                on_status(self.status())
            except OSError as error:
                self._limited.warning("status", f"the status cannot be written: {error}")
            if done.wait(STATUS_EVERY):
                return

    def status(self) -> PartStatus:
        """How it fares now; may be called from any thread."""
        spool = self._spool.state()
        session = self._session
        connected = session is not None
        error = self._error
        standing = self._clock.monotonic() - self._turned
        if standing > STUCK_AFTER and connected:
            error = f"nothing was read for {standing:.0f} s: writing to the spool hangs. Is its disk well?"
        elif spool.error:
            error = error or f"the spool cannot be written: {spool.error}. Make room on its disk"
        elif spool.level:
            error = error or "the spool fills faster than the collector empties it: the least events are dropped"
        return PartStatus(
            part="receive",
            pid=os.getpid(),
            started_at=self._started_at,
            at=self._clock.now(),
            error=error,
            values={
                CONNECTED: float(connected),
                SINCE: self._since,
                RECONNECTS: float(max(0, self._sessions - 1)),
                CAPTURED: float(self._captured),
                BUFFER: float(spool.bytes),
                BUFFER_LIMIT: float(spool.limit),
                OLDEST: spool.oldest_at,
                BROKER_BUFFER: float(self._output_buffer),
                READ_AHEAD: float(session.held) if session is not None else 0.0,
            },
            texts={"broker": self._options.shown},
        )

    def _watch(self, done: threading.Event) -> None:
        """Look at what Redis holds for us, and whether the Sentinels have made another server the master."""
        asked = self._clock.monotonic()
        while not done.wait(WATCH_EVERY):
            session = self._session
            if session is None:
                continue
            try:
                held = session.output_buffer()
                if self._session is session:
                    self._given_up = held is None
                    self._output_buffer = held or 0
                if self._options.master_name and self._clock.monotonic() - asked > SENTINEL_EVERY:
                    asked = self._clock.monotonic()
                    self._ask_sentinels(session)
            except ERRORS as error:
                # The reading connection finds out by itself whether the server is gone.
                log.debug("the server does not answer the watch: %s", error)

    def _ask_sentinels(self, session: Session) -> None:
        master = locate(self._options)
        if (master.host, master.port) != session.address and self._session is session:
            self._moved = f"the Sentinels made {master} the master"


class SecondCopies:
    """Drops the second copy of what is published on two channels; remembers a bounded number of first ones."""

    def __init__(self, remembered: int = TWICE_REMEMBERED) -> None:
        self._remembered = remembered
        self._marks: OrderedDict[int, None] = OrderedDict()

    def drop(self, messages: list[bytes]) -> list[bytes]:
        """The messages that are no second copies; kombu tags each, so equal bytes are one message."""
        return [message for message in messages if self._is_first(hash(message))]

    def _is_first(self, mark: int) -> bool:
        if mark in self._marks:
            del self._marks[mark]
            return False
        self._marks[mark] = None
        if len(self._marks) > self._remembered:
            self._marks.popitem(last=False)
        return True


def too_much_held(before: ServerFacts, after: ServerFacts, output_buffer: int) -> bool:
    """Whether what the server held for us, or for its slowest client, had reached a limit of subscribers."""
    if after.cut_off is not None and before.cut_off is not None and after.cut_off > before.cut_off:
        return True
    limit = min((bound for bound in (after.hard_limit, after.soft_limit) if bound), default=0)
    return bool(limit) and max(output_buffer, after.peak_output) >= limit


def why_cut(said: str, before: ServerFacts, after: ServerFacts, *, slow: bool) -> str:
    """Why the last connection ended, in plain words, from its error and what the server tells before and after it."""
    if before.run_id and after.run_id and before.run_id != after.run_id:
        return f"{said} (the server was restarted, or another one took over)"
    # Without a server's name it may have been another: then nothing is concluded.
    if slow and before.run_id == after.run_id:
        return (
            f"{said} (it seems that Redis cut us off, as its output buffer for us passed client-output-buffer-limit "
            "pubsub: raise that limit, or give umbel receive more of a CPU)"
        )
    return said
