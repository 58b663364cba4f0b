"""Any other broker that kombu can broadcast through, such as `filesystem://`, as a source.

Such a broker keeps nothing for a reader that is away or slow. So what waits does so in memory, within a bound; what is
refused there is counted exactly, and every disconnection is entered in the ledger as a gap.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Any, Final

import kombu
from kombu.exceptions import KombuError
from kombu.transport import TRANSPORT_ALIASES

from umbel.clock import Clock, SystemClock
from umbel.errors import SourceError
from umbel.logs import Limited
from umbel.model.event import EventClass
from umbel.model.ledger import LedgerEntry, Reason
from umbel.settings import Settings
from umbel.sources.backoff import Backoff
from umbel.sources.base import Batch, Limits, SourceStatus
from umbel.sources.kombu_files import FileTransport
from umbel.sources.kombu_inbox import MAX_BYTES, MAX_MESSAGES, BoundedInbox

log = logging.getLogger(__name__)
limited = Limited(log)

#: Seconds that one wait for the broker lasts: how soon `close` is noticed.
WAIT: Final = 0.25
#: Seconds between two looks of a transport that must ask for messages (kombu's own default is one).
POLLING_INTERVAL: Final = 0.1
CLOSE_WAIT: Final = 3.0
#: Where Celery's event exchange is of type fanout; it is a topic everywhere else.
FANOUT_DRIVERS: Final = ("redis", "gcpubsub")
#: Transports that Celery itself sends no events through.
SILENT_DRIVERS: Final = ("sql",)
DEFAULT_CONTENT_TYPE: Final = "application/json"
#: Where kombu's own reading would lose messages.
TRANSPORTS: Final = {"filesystem": FileTransport}
#: kombu is typed in part only; what comes out of it gets its type here.
_kombu: Any = kombu


class KombuSource:
    """A `Source` on a kombu transport that has fanout. It is not durable: `commit` changes nothing at the broker."""

    name = "kombu"

    def __init__(
        self,
        settings: Settings,
        clock: Clock | None = None,
        *,
        max_messages: int = MAX_MESSAGES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._clock = clock or SystemClock()
        self._settings = settings
        self._scheme = settings.broker.partition("://")[0]
        self._inbox = BoundedInbox(self._clock, max_messages, max_bytes)
        self._backoff = Backoff(settings.reconnect_max)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._polled = 0
        self._uncommitted: deque[tuple[str, int]] = deque()
        self._connected = False
        self._since = self._clock.now()
        self._error = ""
        self._connections = 0
        self._last_at = 0.0

    def open(self, position: str | None) -> None:  # noqa: ARG002 (nothing is kept that one could go back to)
        self._check_transport()
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="umbel-kombu", daemon=True)
        self._thread.start()

    def poll(self, limits: Limits) -> Batch:
        taken = self._inbox.take(limits)
        discarded = {(Reason.SPOOL_FULL, event_class): count for event_class, count in taken.refused.items()}
        if discarded:
            limited.warning("kombu-full", "the buffer in memory is full; events are refused", sum(discarded.values()))
        if not taken.messages:
            return Batch(discarded=discarded, ledger=taken.ledger)
        self._polled += len(taken.messages)
        self._uncommitted.append((str(self._polled), len(taken.messages)))
        return Batch(
            bodies=[(message.body, message.content_type) for message in taken.messages],
            position=str(self._polled),
            captured_at=taken.messages[0].at,
            discarded=discarded,
            ledger=taken.ledger,
        )

    def commit(self, position: str) -> None:
        while self._uncommitted and int(self._uncommitted[0][0]) <= int(position):
            self._uncommitted.popleft()

    def finished(self) -> bool:
        return False

    def status(self) -> SourceStatus:
        return SourceStatus(
            connected=self._connected,
            since=self._since,
            error=self._error,
            reconnects=max(0, self._connections - 1),
            backlog_events=len(self._inbox) + sum(count for _, count in self._uncommitted),
            buffer_bytes=self._inbox.held_bytes,
            buffer_limit=self._inbox.max_bytes,
            oldest_at=self._inbox.oldest_at,
        )

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(CLOSE_WAIT)
            if self._thread.is_alive():
                log.warning("the broker does not answer the goodbye; leaving without it")
        self._thread = None
        self._connected = False

    def _connection(self) -> Any:
        options = {"polling_interval": POLLING_INTERVAL, **self._settings.broker_options}
        return _kombu.Connection(
            self._settings.broker,
            transport=TRANSPORTS.get(self._scheme),
            transport_options=options,
            ssl=dict(self._settings.broker_ssl) or None,
            connect_timeout=5,
        )

    def _check_transport(self) -> None:
        """Refuse what cannot broadcast: no waiting mends that."""
        if self._scheme.partition("+")[0] not in TRANSPORT_ALIASES:
            known = ", ".join(sorted(TRANSPORT_ALIASES))
            raise SourceError(f"{self._scheme}:// is no broker that Celery knows; it knows {known}")
        try:
            transport = self._connection().transport
        except (ImportError, KeyError, ValueError) as error:
            raise SourceError(f"{self._scheme}:// cannot be used: {error}. Is its package installed?") from error
        if transport.driver_type in SILENT_DRIVERS or "fanout" not in transport.implements.exchange_type:
            raise SourceError(
                f"{self._scheme}:// cannot broadcast, so Celery sends no events through it; "
                "use a broker that can: Redis or RabbitMQ (or filesystem://, for trials)"
            )

    def _run(self) -> None:
        """Connect and consume, again and again, until told to stop."""
        while not self._stop.is_set():
            before = self._inbox.received
            try:
                with self._connection() as connection:
                    self._consume(connection)
            except (KombuError, OSError, TimeoutError, ConnectionError) as error:
                self._lost(error)
            except Exception as error:
                # Each transport has errors of its own; none may end the capture.
                log.warning("the broker's connection failed in an unforeseen way", exc_info=True)
                self._lost(error)
            if self._inbox.received > before:
                self._backoff.reset()
            if not self._stop.is_set():
                self._stop.wait(self._backoff.delay())

    def _consume(self, connection: Any) -> None:
        connection.connect()
        channel = connection.channel()
        queue = self._queue(connection)(channel)
        with _kombu.Consumer(channel, [queue], on_message=self._received, no_ack=True, auto_declare=True):
            self._opened()
            while not self._stop.is_set():
                try:
                    connection.drain_events(timeout=WAIT)
                except TimeoutError:
                    continue
        # Nobody would read it: files and rows would pile up in it for ever.
        queue.delete()

    def _queue(self, connection: Any) -> Any:
        """A queue of one fixed name, so that one that a crash left behind is found again and emptied."""
        kind = "fanout" if connection.transport.driver_type in FANOUT_DRIVERS else "topic"
        exchange = _kombu.Exchange(self._settings.event_exchange, type=kind)
        return _kombu.Queue(self._settings.queue_name, exchange=exchange, routing_key="#", durable=False)

    def _received(self, message: Any) -> None:
        body = message.body
        raw = body.encode(errors="surrogatepass") if isinstance(body, str) else bytes(body)
        self._last_at = self._clock.now()
        self._inbox.put(raw, message.content_type or DEFAULT_CONTENT_TYPE)

    def _opened(self) -> None:
        now = self._clock.now()
        self._connections += 1
        if self._connections > 1:
            first = self._last_at or self._since
            detail = f"disconnected from {self._scheme}://, which keeps no events for a reader that is away"
            entry = LedgerEntry(
                Reason.DISCONNECTED, EventClass.UNKNOWN, min(first, now), now, 0, estimated=True, detail=detail
            )
            self._inbox.note(entry)
        self._connected, self._since, self._error = True, now, ""

    def _lost(self, error: Exception) -> None:
        if self._connected:
            self._connected, self._since = False, self._clock.now()
        text = (str(error) or repr(error)).splitlines()[0][:300]
        self._error = f"{self._scheme}://: {text}; connecting anew"
        limited.warning("kombu", self._error)
