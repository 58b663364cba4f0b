"""What a consumer cannot see of RabbitMQ: alarms that hold publishers back, and what our full queue dropped.

A thread and a connection of its own: the broker tells of an alarm only those who publish, and stops reading what they
send, acknowledgements too. Of the collectors on one queue, one counts its drops: who holds the queue `NAME.watch`.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

import pika
from pika import exceptions
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from umbel.clock import Clock
from umbel.errors import BrokerError
from umbel.settings import Settings
from umbel.sources.amqp_api import OFF, Counts, ManagementApi
from umbel.sources.amqp_topology import Queue
from umbel.sources.amqp_url import FAILURES
from umbel.sources.backoff import Backoff

log = logging.getLogger(__name__)

#: Seconds between two looks, and between two answers to the broker's heartbeats.
LOOK: Final = 2.5
BEAT: Final = 0.5
#: RESOURCE_LOCKED: another connection's own queue.
LOCKED: Final = 405


class Watch:
    """Looks every few seconds from `start` to `stop`; what it saw is read by the thread that polls."""

    def __init__(
        self, settings: Settings, queue: Queue, brokers: list[pika.ConnectionParameters], clock: Clock
    ) -> None:
        self._settings = settings
        self._queue = queue
        self._brokers = brokers
        self._clock = clock
        self._stop = threading.Event()
        self._backoff = Backoff(settings.reconnect_max)
        self._may_publish = True
        #: What keeps the broker from taking events, in one line; "" while nothing does.
        self.alarm = ""
        #: Whether this collector is the one that counts drops.
        self.counting = False
        #: The latest look and its wall time; None before the first.
        self.look: tuple[float, Counts] | None = None
        #: Why nothing is counted, in one line; "" while it is, or another counts.
        self.uncounted = ""

    def start(self) -> None:
        self._stop = threading.Event()
        threading.Thread(target=self._run, args=(self._stop,), name="umbel-amqp-watch", daemon=True).start()

    def stop(self) -> None:
        """End soon. Nothing waits for it: while publishers are held back, the broker does not even hear a goodbye."""
        self._stop.set()

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            for broker in self._brokers:
                if not stop.is_set():
                    self._try(broker, stop)
            stop.wait(self._backoff.delay())

    def _try(self, broker: pika.ConnectionParameters, stop: threading.Event) -> None:
        try:
            connection = BlockingConnection(broker)
            try:
                self._watch(connection, broker, stop)
            finally:
                if connection.is_open:
                    connection.close()
        except FAILURES as error:
            # The consumer meets the same and says so.
            log.debug("the watching connection was lost: %r", error)
        finally:
            self.alarm, self.counting, self.look = "", False, None

    def _watch(self, connection: BlockingConnection, broker: pika.ConnectionParameters, stop: threading.Event) -> None:
        connection.add_on_connection_blocked_callback(self._blocked)
        connection.add_on_connection_unblocked_callback(self._unblocked)
        api = (
            None if self._queue.is_stream or self._settings.broker_api == OFF else ManagementApi(self._settings, broker)
        )
        channel = connection.channel()
        due = self._clock.monotonic()
        while not stop.is_set():
            if self._clock.monotonic() >= due:
                due = self._clock.monotonic() + LOOK
                if api is not None and not self.alarm and (self.counting or self._take_over(connection)):
                    self._count(api)
                if not self.alarm:
                    self._probe(channel)
                self._backoff.reset()
            stop.wait(BEAT)
            connection.process_data_events(time_limit=0)

    def _blocked(self, _: object, frame: pika.frame.Method[pika.spec.Connection.Blocked]) -> None:
        reason = frame.method.reason
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        self.alarm = f"RabbitMQ has an alarm ({text}) and takes nothing from publishers: events wait in the workers"
        log.warning("%s", self.alarm)

    def _unblocked(self, *_: object) -> None:
        log.info("RabbitMQ takes from publishers again")
        self.alarm = ""

    def _probe(self, channel: BlockingChannel) -> None:
        """Publish a message that goes nowhere: only then does the broker tell of an alarm.

        Nothing may be asked right after it: a broker with an alarm would not answer, and pika would wait for ever.
        """
        if not self._may_publish:
            return
        try:
            channel.basic_publish("", f"{self._queue.name}.nowhere", b"")
        except exceptions.ChannelClosedByBroker as error:
            self._may_publish = False
            log.info("alarms of RabbitMQ will not be seen: %s", error.reply_text)

    def _take_over(self, connection: BlockingConnection) -> bool:
        """Become the collector that counts, unless another is."""
        channel: BlockingChannel = connection.channel()
        try:
            channel.queue_declare(f"{self._queue.name}.watch", exclusive=True, auto_delete=True)
        except exceptions.ChannelClosedByBroker as error:
            if error.reply_code != LOCKED:
                self._cannot(error.reply_text)
            return False
        channel.close()
        self.counting = True
        return True

    def _count(self, api: ManagementApi) -> None:
        try:
            counts = api.counts(self._queue.name)
        except BrokerError as error:
            self._cannot(str(error))
            return
        self.uncounted = ""
        if counts is not None:
            self.look = (self._clock.now(), counts)

    def _cannot(self, why: str) -> None:
        if why != self.uncounted:
            log.warning("what a full queue drops is not counted: %s", why)
        self.uncounted = why
