"""Umbel's own queue at RabbitMQ: declared, bound to the events' exchange, and compared with what it should be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import pika
from pika import exceptions
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from umbel.settings import MIB, Settings

#: Routing key of a binding: every event; and, at a consistent-hash exchange, the queue's weight.
EVERYTHING: Final = "#"
SHARE: Final = "1"
NOT_FOUND: Final = 404
PRECONDITION_FAILED: Final = 406
#: A quorum queue of RabbitMQ 4 drops a message after 20 deliveries; a store that is down for long must not cost any.
DELIVERY_LIMIT: Final = 1_000_000_000
#: A stream drops whole segments: an eighth of the queue at most, so that the bound is kept roughly.
SEGMENT_SHARE: Final = 8
SEGMENT_BYTES: Final = (MIB, 500_000_000)
PROBE_PREFETCH: Final = 100
#: Seconds without a message after which a stream's last chunk counts as read.
PROBE_QUIET: Final = 2.0


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue as it should be."""

    name: str
    exchange: str
    #: classic, quorum or stream.
    type: str
    #: Bytes it may hold before the broker drops the oldest messages.
    bytes: int
    #: A consistent-hash exchange between the events' exchange and this queue, "" for none.
    spread: str = ""

    @classmethod
    def of(cls, settings: Settings) -> Queue:
        """As the settings want it."""
        return cls(
            settings.queue_name,
            settings.event_exchange,
            settings.queue_type,
            settings.queue_bytes,
            settings.queue_spread,
        )

    @property
    def is_stream(self) -> bool:
        """Whether messages stay after they are read, each under its offset."""
        return self.type == "stream"

    def arguments(self) -> dict[str, Any]:
        """What to declare it with; immutable for the queue's life."""
        arguments: dict[str, Any] = {"x-queue-type": self.type, "x-max-length-bytes": self.bytes}
        if self.is_stream:
            low, high = SEGMENT_BYTES
            arguments["x-stream-max-segment-size-bytes"] = min(high, max(low, self.bytes // SEGMENT_SHARE))
        else:
            arguments["x-overflow"] = "drop-head"
        if self.type == "quorum":
            arguments["x-delivery-limit"] = DELIVERY_LIMIT
        return arguments


@dataclass(frozen=True, slots=True)
class Declared:
    """The queue as it is."""

    #: Messages that wait in it; means nothing for a stream.
    ready: int
    #: classic, quorum or stream: what it really is.
    type: str
    #: Who reads it, this connection aside.
    consumers: int = 0
    #: How it differs from what the settings want, in one line; "" where it does not.
    drift: str = ""


def declare(connection: BlockingConnection, queue: Queue) -> Declared:
    """Make exchange, queue and binding unless they are there; raises pika's `AMQPError`.

    A refused declaration closes its channel, so each has a channel of its own.
    """
    _declare_exchange(connection, queue.exchange)
    declared = _declare_queue(connection, queue)
    with connection.channel() as channel:
        if queue.spread:
            _bind_to_spread(channel, queue)
        else:
            channel.queue_bind(queue.name, queue.exchange, routing_key=EVERYTHING)
    return declared


def _bind_to_spread(channel: BlockingChannel, queue: Queue) -> None:
    """Take a share of the events: all of a worker's go to one queue, whose collector can then reckon what it lost."""
    channel.exchange_declare(queue.spread, "x-consistent-hash", durable=True, arguments={"hash-header": "hostname"})
    channel.exchange_bind(queue.spread, queue.exchange, routing_key=EVERYTHING)
    channel.queue_bind(queue.name, queue.spread, routing_key=SHARE)
    # What it took before it was spread would come twice.
    channel.queue_unbind(queue.name, queue.exchange, routing_key=EVERYTHING)


def _declare_exchange(connection: BlockingConnection, name: str) -> None:
    """Leave an exchange that is there as it is, whatever its properties: workers publish to it already."""
    if exchange_exists(connection, name):
        return
    with connection.channel() as channel:
        channel.exchange_declare(name, "topic", durable=True, auto_delete=False)


def exchange_exists(connection: BlockingConnection, name: str) -> bool:
    """Whether the broker has the exchange; raises pika's `AMQPError` for anything but yes or no."""
    channel = connection.channel()
    try:
        channel.exchange_declare(name, passive=True)
    except exceptions.ChannelClosedByBroker as error:
        if error.reply_code != NOT_FOUND:
            raise
        return False
    channel.close()
    return True


def _declare_queue(connection: BlockingConnection, queue: Queue) -> Declared:
    channel = connection.channel()
    try:
        answer = channel.queue_declare(queue.name, durable=True, arguments=queue.arguments())
    except exceptions.ChannelClosedByBroker as error:
        if error.reply_code != PRECONDITION_FAILED:
            raise
        text = error.reply_text
        answer = _as_it_is(connection, queue.name)
        return Declared(answer.message_count, _real_type(queue, text), answer.consumer_count, drift(queue, text))
    channel.close()
    return Declared(answer.method.message_count, queue.type, answer.method.consumer_count)


def stream_ends_before(connection: BlockingConnection, name: str, offset: int) -> bool:
    """Whether the stream has no message just before `offset`: it was deleted and made anew since that was read.

    The broker would wait until the new stream has grown that far. Reads the stream's last chunk to find out; afterwards
    the connection is good for nothing but being closed.
    """
    channel = connection.channel()
    try:
        channel.basic_qos(prefetch_count=PROBE_PREFETCH)
        latest = -1
        for method, properties, _ in channel.consume(
            name, arguments={"x-stream-offset": "last"}, inactivity_timeout=PROBE_QUIET
        ):
            if method is None:
                return latest < offset - 1
            latest = properties.headers["x-stream-offset"]
            if latest >= offset - 1:
                return False
            channel.basic_ack(method.delivery_tag)
    finally:
        if channel.is_open:
            # BlockingChannel.close would reject what is on its way, which no stream understands: go beneath it.
            channel._impl.close()  # noqa: SLF001
    return True


def _as_it_is(connection: BlockingConnection, name: str) -> pika.spec.Queue.DeclareOk:
    """A queue that must be there already; raises pika's `AMQPError`."""
    with connection.channel() as channel:
        return channel.queue_declare(name, passive=True).method


def _real_type(queue: Queue, reply: str) -> str:
    found = re.search(r"'x-queue-type'.*current is[^']*'(\w+)'", reply, re.DOTALL)
    return found[1] if found else queue.type


def drift(queue: Queue, reply: str) -> str:
    """RabbitMQ's reply without its preamble, and what can be done."""
    found = re.search(r"inequivalent arg '([^']+)'.*?(received .*)", reply, re.DOTALL)
    what = f"{found[1]} differs: {found[2]}" if found else reply
    return (
        f"queue {queue.name!r} exists with other properties ({what.strip()}); it is used as it is. "
        f"To change it, stop Umbel, let the queue be drained, and delete it"
    )
