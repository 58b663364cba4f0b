"""RabbitMQ as a source: Umbel's own durable queue holds the events until they are stored.

The thread that polls never waits for the broker, and the broker's thread never for the store. Classic and quorum queues
remember what was acknowledged, and the position what was stored lately, for it may come again; a stream's position is
the offset of its latest stored message.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

import pika
from pika.adapters.blocking_connection import BlockingConnection

from umbel.clock import Clock, SystemClock
from umbel.errors import SourceError, StoreError
from umbel.logs import Limited
from umbel.model.event import EventClass
from umbel.model.ledger import LedgerEntry, Reason
from umbel.settings import MIB, Settings
from umbel.sources.amqp_consumer import PREFETCH, Consumer, Rewound
from umbel.sources.amqp_drops import DropBook
from umbel.sources.amqp_inbox import Delivery, Inbox
from umbel.sources.amqp_repeats import Repeats
from umbel.sources.amqp_topology import Declared, Queue, declare, stream_ends_before
from umbel.sources.amqp_url import FAILURES, address, explain, parameters, was_down
from umbel.sources.amqp_watch import Watch
from umbel.sources.backoff import Backoff
from umbel.sources.base import Batch, Limits, Positions, SourceStatus

log = logging.getLogger(__name__)
limited = Limited(log)

#: Bytes of messages that wait between the broker and the collector.
INBOX_BYTES: Final = 32 * MIB
#: Seconds for which a queue counts as shared after another reader was last seen: what that one took may still come.
SHARED: Final = 60.0
#: Connection and tag of a batch that only tells of losses.
NOTHING: Final = -1
#: Seconds that `close` waits for the broker's thread; it ends by itself where the broker is silent for longer.
CLOSE_WAIT: Final = 3.0


class _Polled(NamedTuple):
    """What was handed out and not committed yet; or, without a position, was stored already and left out after that."""

    position: str
    generation: int
    tag: int


class AmqpSource:
    """A `Source` on RabbitMQ. Several may share a classic or quorum queue; a stream gives each all it has."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock | None = None,
        *,
        positions: Positions | None = None,
        inbox_bytes: int = INBOX_BYTES,
    ) -> None:
        self._clock = clock or SystemClock()
        self._queue = Queue.of(settings)
        self.name = f"amqp:{self._queue.name}"
        prefix = f"{self.name}#"
        if not self._queue.is_stream:
            # A name for each run: no two collectors of one queue may overwrite what the other has stored.
            self.name = prefix + secrets.token_hex(4)
        self._repeats = Repeats(prefix, self.name, self._clock, positions)
        self._brokers: Sequence[pika.ConnectionParameters] = parameters(settings)
        if not self._brokers:
            raise SourceError("no broker is named; give --broker amqp://user:password@host:port/vhost")
        self._watch = Watch(settings, self._queue, parameters(settings, "umbel collect: watch"), self._clock)
        self._drops = DropBook(self._queue.name)
        self._backoff = Backoff(settings.reconnect_max)
        # Twice the prefetch: what an earlier connection brought may be kept beside what this one brings.
        self._inbox = Inbox(self._clock, 2 * PREFETCH, inbox_bytes)
        self._polled: deque[_Polled] = deque()
        #: Taken from the inbox while the store could not tell whether it has them.
        self._held: list[Delivery] = []
        self._losses: deque[LedgerEntry] = deque(maxlen=1_000)
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._consumer: Consumer | None = None
        self._generation = 0
        self._connected = False
        self._since = self._clock.now()
        self._error = ""
        self._drift = ""
        self._ready = 0
        self._shared_until = 0.0
        self._broker_was_down = False

    def open(self, position: str | None) -> None:
        offsets = [text for text in (position, *self._repeats.others().values()) if text and text.isdigit()]
        if offsets:
            self._inbox.next_offset = max(map(int, offsets)) + 1
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="umbel-amqp", daemon=True)
        self._thread.start()
        self._watch.start()

    def poll(self, limits: Limits) -> Batch:
        taken = self._held or self._inbox.take(limits)
        self._held = []
        consumer = self._consumer
        if consumer is not None:
            consumer.tune()
            self._repeats.confirmed(consumer.generation, consumer.confirmed)
        ledger = self._collect_losses(taken)
        try:
            fresh = self._repeats.sift(taken)
            dropped = self._drops.see(self._watch.look, self._repeats.others)
        except StoreError as error:
            self._held = taken
            limited.warning("amqp-repeats", f"the store does not tell what it has, so a batch waits: {error}")
            self._clock.sleep(limits.wait)
            return Batch(ledger=ledger)
        if dropped is not None:
            ledger.append(dropped)
        if not fresh:
            self._leave_out(taken)
            return self._without_messages(ledger, dropped.count) if dropped is not None else Batch(ledger=ledger)
        lost = sum(delivery.gap for delivery in fresh) + (dropped.count if dropped else 0)
        return self._batch(fresh, taken[-1], ledger, lost)

    def _batch(self, fresh: Sequence[Delivery], last: Delivery, ledger: Sequence[LedgerEntry], lost: int) -> Batch:
        if last.offset >= 0:
            position = str(last.offset)
        else:
            position = self._repeats.add(last.generation, last.tag, fresh, self._drops.note())
        with self._guard:
            self._polled.append(_Polled(position, last.generation, last.tag))
        return Batch(
            bodies=[(delivery.body, delivery.content_type) for delivery in fresh],
            position=position,
            captured_at=fresh[0].at,
            discarded={(Reason.QUEUE_FULL, EventClass.UNKNOWN): lost} if lost else {},
            ledger=ledger,
            shared=self._is_shared(),
        )

    def _is_shared(self) -> bool:
        """Whether another collector reads the queue, or did so lately and may have events that this one missed."""
        now = self._clock.monotonic()
        if self._consumer is not None and self._consumer.readers > 1:
            self._shared_until = now + SHARED
        return now < self._shared_until

    def _without_messages(self, ledger: Sequence[LedgerEntry], lost: int) -> Batch:
        """A batch that only tells of losses, so that they are counted with a position."""
        position = self._repeats.add(NOTHING, NOTHING, (), self._drops.note())
        with self._guard:
            self._polled.append(_Polled(position, NOTHING, NOTHING))
        return Batch(position=position, discarded={(Reason.QUEUE_FULL, EventClass.UNKNOWN): lost}, ledger=ledger)

    def _leave_out(self, taken: Sequence[Delivery]) -> None:
        """Acknowledge what is stored already, after whatever was handed out before it."""
        if taken:
            with self._guard:
                self._polled.append(_Polled("", taken[-1].generation, taken[-1].tag))
                if len(self._polled) == 1:
                    self._acknowledge(self._polled.popleft())

    def commit(self, position: str) -> None:
        self._repeats.committed(position)
        with self._guard:
            if not any(polled.position == position for polled in self._polled):
                return
            done = [self._polled.popleft()]
            while done[-1].position != position:
                done.append(self._polled.popleft())
            while self._polled and not self._polled[0].position:
                done.append(self._polled.popleft())
            for polled in [polled for polled in done if polled.tag != NOTHING][-1:]:
                self._acknowledge(polled)

    def _acknowledge(self, polled: _Polled) -> None:
        # What another connection brought, the broker has put back long ago; it comes again and is left out.
        if self._consumer is not None and polled.generation == self._consumer.generation:
            self._consumer.acknowledge(polled.tag)

    def finished(self) -> bool:
        return False

    def status(self) -> SourceStatus:
        consumer = self._consumer
        ready = consumer.ready if consumer is not None else self._ready
        return SourceStatus(
            connected=self._connected,
            since=self._since,
            error=self._error or self._drift,
            reconnects=max(0, self._generation - 1),
            backlog_events=len(self._inbox) + ready,
            oldest_at=self._inbox.oldest_at,
            alarm=self._watch.alarm,
        )

    def close(self) -> None:
        self._stop.set()
        self._watch.stop()
        consumer, thread = self._consumer, self._thread
        if consumer is not None:
            consumer.stop()
        if thread is not None:
            thread.join(CLOSE_WAIT)
            if thread.is_alive():
                log.warning("the broker does not answer the goodbye; leaving without it")
        self._thread = None
        self._inbox.clear()
        self._held = []
        self._polled.clear()
        self._repeats.clear()
        self._connected = False

    def _run(self) -> None:
        """Connect and consume, again and again, until told to stop."""
        while not self._stop.is_set():
            before = self._inbox.received
            for broker in self._brokers:
                if self._stop.is_set() or self._session(broker):
                    break
            if self._inbox.received > before:
                self._backoff.reset()
            if not self._stop.is_set():
                self._stop.wait(self._backoff.delay())

    def _session(self, broker: pika.ConnectionParameters) -> bool:
        """One connection, from its opening to its loss; False if it never came to be."""
        generation = self._generation
        reason: BaseException | None
        try:
            reason = self._consume(broker)
        except FAILURES as error:
            reason = error
        except Exception as error:
            # A driver's own fault must not end the capture.
            log.warning("the broker's connection failed in an unforeseen way", exc_info=True)
            reason = error
        self._lost(broker, reason)
        return self._generation > generation

    def _consume(self, broker: pika.ConnectionParameters) -> BaseException | None:
        connection = BlockingConnection(broker)
        try:
            declared = declare(connection, self._queue)
            if declared.type == "stream":
                self._check_position(connection)
        finally:
            if connection.is_open:
                connection.close()
        if self._stop.is_set():
            return None
        self._settle(declared)
        consumer = Consumer(
            broker,
            self._queue.name,
            self._inbox,
            self._generation + 1,
            stream=declared.type == "stream",
            on_open=lambda: self._opened(broker),
        )
        with self._guard:
            self._consumer = consumer
        if self._stop.is_set():
            consumer.stop()
        return consumer.run()

    def _check_position(self, connection: BlockingConnection) -> None:
        offset = self._inbox.next_offset
        if offset and stream_ends_before(connection, self._queue.name, offset):
            log.warning("stream %r was made anew; reading it from its beginning", self._queue.name)
            self._inbox.next_offset = None

    def _settle(self, declared: Declared) -> None:
        """Decide what becomes of messages that an earlier connection brought and nobody polled."""
        if declared.drift and declared.drift != self._drift:
            log.warning("%s", declared.drift)
        self._drift = declared.drift
        stream = declared.type == "stream"
        # Other readers, our half-open connection among them, hold what is not ready: unless it came back empty.
        with_others = declared.consumers > 0 and (declared.type == "quorum" or not self._broker_was_down)
        if not stream and (with_others or declared.ready >= len(self._inbox)):
            # The broker has put them back and delivers them again.
            self._inbox.clear()
        if self._broker_was_down and declared.type == "classic" and declared.ready < self._ready:
            self._note_lost(self._ready - declared.ready)
        self._broker_was_down = False
        self._ready = declared.ready

    def _note_lost(self, count: int) -> None:
        detail = (
            "the broker restarted and its classic queue came back without these messages: events are transient; "
            "--queue-type quorum keeps them"
        )
        entry = LedgerEntry(
            Reason.DISCONNECTED,
            EventClass.UNKNOWN,
            self._since,
            self._clock.now(),
            count,
            estimated=True,
            detail=detail,
        )
        self._losses.append(entry)

    def _opened(self, broker: pika.ConnectionParameters) -> None:
        self._generation += 1
        self._connected, self._since, self._error = True, self._clock.now(), ""
        log.info("consuming %s at %s", self._queue.name, address(broker))

    def _lost(self, broker: pika.ConnectionParameters, reason: BaseException | None) -> None:
        with self._guard:
            if self._consumer is not None:
                self._ready = max(self._ready, self._consumer.ready)
            self._consumer = None
        if self._connected:
            self._connected, self._since = False, self._clock.now()
        if reason is None:
            return
        self._error = str(reason) if isinstance(reason, Rewound) else explain(reason, broker)
        self._broker_was_down |= was_down(reason)
        limited.warning("amqp", self._error)

    def _collect_losses(self, taken: list[Delivery]) -> list[LedgerEntry]:
        entries = []
        while self._losses:
            entries.append(self._losses.popleft())
        entries += [self._gap(delivery) for delivery in taken if delivery.gap]
        return entries

    def _gap(self, delivery: Delivery) -> LedgerEntry:
        detail = (
            f"stream {self._queue.name!r} dropped {delivery.gap:,} messages before offset {delivery.offset} unread, "
            "to keep within its bound; one message holds one event or more"
        )
        return LedgerEntry(Reason.QUEUE_FULL, EventClass.UNKNOWN, delivery.at, delivery.at, delivery.gap, detail=detail)
