"""One connection that consumes Umbel's queue: from opening to loss, on a thread of its own.

Everything here runs on that thread but `acknowledge`, `tune` and `stop`, which hand their work over to it.
So heartbeats go on while the polling side is busy with the store.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import pika
from pika import exceptions
from pika.channel import Channel
from pika.spec import Basic, BasicProperties

from umbel.sources.amqp_inbox import Inbox

log = logging.getLogger(__name__)

#: Messages that the broker may have on their way at once: about two batches.
PREFETCH: Final = 10_000
#: Seconds between looks at how much waits in the queue.
LOOK: Final = 5.0
#: Seconds that a goodbye to the broker may take.
GOODBYE: Final = 1.0
#: The prefetch is raised once it could be so many times greater.
RAISE: Final = 4
DEFAULT_CONTENT_TYPE: Final = "application/json"


class Rewound(Exception):
    """The stream begins anew: it was deleted and made again."""


class Consumer:
    """Puts what the queue holds into an inbox; holds the broker back while the inbox is full."""

    def __init__(
        self,
        parameters: pika.ConnectionParameters,
        queue: str,
        inbox: Inbox,
        generation: int,
        *,
        stream: bool,
        on_open: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._inbox = inbox
        #: Number of the connection.
        self.generation = generation
        self._stream = stream
        self._on_open = on_open
        self._channel: Channel | None = None
        self._tag = ""
        self._cancelling = False
        self._reason: BaseException | None = None
        self._prefetch = 0
        #: Messages ready in the queue at the latest look.
        self.ready = 0
        #: Consumers of the queue, this one included, as last told.
        self.readers = 1
        #: The broker certainly has the acknowledgement up to this tag; 0 where none was confirmed.
        self.confirmed = 0
        self._connection = pika.SelectConnection(
            parameters,
            on_open_callback=self._opened,
            on_open_error_callback=self._lost,
            on_close_callback=self._lost,
        )

    def run(self) -> BaseException | None:
        """Consume until the connection is lost or `stop` is called; gives the reason of the loss."""
        try:
            self._connection.ioloop.start()
        finally:
            self._connection.ioloop.close()
        return self._reason

    def acknowledge(self, tag: int) -> None:
        """Tell the broker that everything up to `tag` is stored."""
        self._hand_over(partial(self._acknowledge, tag))

    def tune(self) -> None:
        """After messages were taken from the inbox: let the broker send again, or send more at once."""
        paused = not self._tag and not self._cancelling
        if (paused and self._inbox.low) or self._could_be_faster():
            self._hand_over(self._retune)

    def stop(self) -> None:
        """Say goodbye; `run` returns soon after."""
        self._hand_over(self._goodbye)

    def _hand_over(self, work: Callable[[], None]) -> None:
        self._connection.ioloop.add_callback_threadsafe(work)

    def _could_be_faster(self) -> bool:
        return 0 < self._prefetch * RAISE < self._inbox.prefetch(PREFETCH)

    def _opened(self, connection: pika.SelectConnection) -> None:
        connection.channel(on_open_callback=self._channel_opened)

    def _channel_opened(self, channel: Channel) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._channel_lost)
        channel.add_on_cancel_callback(self._cancelled_by_broker)
        self._on_open()
        if self._inbox.low:
            self._consume()
        self._look()

    def _consume(self) -> None:
        channel = self._open_channel()
        if channel is None or self._tag:
            return
        self._prefetch = self._inbox.prefetch(PREFETCH)
        channel.basic_qos(prefetch_count=self._prefetch, global_qos=False)
        arguments: dict[str, Any] = {}
        if self._stream:
            offset = self._inbox.next_offset
            arguments["x-stream-offset"] = "first" if offset is None else offset
        self._tag = channel.basic_consume(self._queue, self._delivered, arguments=arguments)

    def _delivered(self, _: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        offset = properties.headers.get("x-stream-offset", -1) if self._stream and properties.headers else -1
        content_type = properties.content_type or DEFAULT_CONTENT_TYPE
        if not self._inbox.put(
            self.generation, method.delivery_tag, body, content_type, offset, redelivered=bool(method.redelivered)
        ):
            self._inbox.next_offset = None
            self._fail(Rewound(f"the stream {self._queue!r} was made anew; reading it from its beginning"))
        elif self._inbox.full:
            self._cancel()

    def _cancel(self) -> None:
        """Hold the broker back. What is on its way meanwhile pika rejects, so it is queued again at its place.

        A stream knows no rejection (and is read again from the offset due), so there pika must not reject; it does not
        for consumers without acknowledgement, and has no public way to say so for this one.
        """
        channel = self._open_channel()
        if channel is not None and self._tag and not self._cancelling:
            self._cancelling = True
            if self._stream:
                channel._consumers_with_noack.add(self._tag)  # noqa: SLF001
            channel.basic_cancel(self._tag, callback=self._cancelled)

    def _cancelled(self, _: object) -> None:
        self._tag, self._cancelling = "", False
        if self._inbox.low:
            self._consume()

    def _retune(self) -> None:
        if not self._tag:
            self._consume()
        elif self._could_be_faster():
            self._cancel()

    def _acknowledge(self, tag: int) -> None:
        channel = self._open_channel()
        if channel is not None:
            channel.basic_ack(tag, multiple=True)
            if not self._stream:
                # AMQP confirms no acknowledgement. What is asked after it is answered after it was taken.
                channel.queue_declare(self._queue, passive=True, callback=partial(self._confirmed, tag))

    def _confirmed(self, tag: int, answer: Any) -> None:
        self.confirmed = tag
        self._looked(answer)

    def _open_channel(self) -> Channel | None:
        return self._channel if self._channel is not None and self._channel.is_open else None

    def _look(self) -> None:
        """Ask how much waits; the queue being gone closes the channel, which is what should happen then."""
        channel = self._open_channel()
        if channel is not None:
            channel.queue_declare(self._queue, passive=True, callback=self._looked)
            self._connection.ioloop.call_later(LOOK, self._look)

    def _looked(self, answer: Any) -> None:
        # A stream tells 0, or all that it holds, read or not; neither is what waits.
        self.ready = 0 if self._stream else answer.method.message_count
        # Each reader of a stream has all of it.
        self.readers = 1 if self._stream else answer.method.consumer_count

    def _cancelled_by_broker(self, _: object) -> None:
        self._fail(exceptions.ConsumerCancelled(f"the queue {self._queue!r} was deleted; making it anew"))

    def _channel_lost(self, _: Channel, reason: BaseException) -> None:
        if self._reason is None and not self._connection.is_closing:
            self._fail(reason)

    def _fail(self, reason: BaseException) -> None:
        self._reason = self._reason or reason
        self._goodbye()

    def _goodbye(self) -> None:
        """Close in good order; cut the line if the broker does not answer in time."""
        if self._connection.is_closed or self._connection.is_closing:
            return
        self._connection.ioloop.call_later(GOODBYE, self._cut)
        self._connection.close()

    def _cut(self) -> None:
        if not self._connection.is_closed:
            # pika has no public way to drop a connection whose other end is silent; its heartbeats use this one.
            self._connection._terminate_stream(exceptions.StreamLostError("no goodbye came"))  # noqa: SLF001

    def _lost(self, _: object, reason: BaseException) -> None:
        if not isinstance(reason, exceptions.ConnectionClosedByClient):
            self._reason = self._reason or reason
        self._connection.ioloop.stop()
