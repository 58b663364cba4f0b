"""The messages that wait in RabbitMQ's queues: taken, looked at and given back; thrown away; dead letters put back."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import pika
from pika import exceptions
from pika.adapters.blocking_connection import BlockingChannel

from umbel.brokers.base import DeadLetters, Message, Moved
from umbel.brokers.rabbitmq import close, connect
from umbel.brokers.rabbitmq_letters import dead_letters
from umbel.errors import BrokerError
from umbel.settings import Settings
from umbel.sources.amqp_api import ManagementApi
from umbel.sources.amqp_topology import NOT_FOUND
from umbel.sources.amqp_url import FAILURES, explain, parameters

#: Bytes taken for one look, and of a body that are kept.
LOOK_BYTES: Final = 64 * 1024 * 1024
BODY: Final = 8 * 1024 * 1024
#: Seconds after which no further message is moved.
MOVING: Final = 30.0
#: What a broker adds to a dead letter: sent with it once more, a second death could be taken for a circle.
_DEATH: Final = ("x-death", "x-first-death-", "x-last-death-")

Answer = TypeVar("Answer")


class RabbitMessages:
    """`umbel.brokers.base.QueueMessages`; each call has a connection of its own, so any thread may call.

    What is looked at is given back as the channel closes, whatever happens to this process; the broker puts it where it
    was and marks it as redelivered. On a quorum queue that counts as a delivery.
    """

    marks = True

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def peek(self, queue: str, limit: int) -> Sequence[Message]:
        return self._do("umbel peek", lambda channel: list(_taken(channel, queue, limit)))

    def find(self, queue: str, task_id: str, limit: int) -> Message | None:
        def look(channel: BlockingChannel) -> Message | None:
            found = _taken(channel, queue, limit)
            return next((message for message in found if message.headers.get("id") == task_id), None)

        return self._do("umbel peek", look)

    def purge(self, queue: str) -> int:
        return self._do("umbel purge", lambda channel: int(channel.queue_purge(queue).method.message_count))

    def dead_letters(self) -> Sequence[DeadLetters] | None:
        return dead_letters(ManagementApi(self._settings, parameters(self._settings)[0]))

    def put_back(self, queue: str, limit: int, into: str = "") -> Moved:
        return self._do("umbel dead letters", lambda channel: _put_back(channel, queue, limit, into))

    def close(self) -> None:
        """Nothing is kept open."""

    def _do(self, purpose: str, use: Callable[[BlockingChannel], Answer]) -> Answer:
        connection = connect(self._settings, purpose)
        try:
            return use(connection.channel())
        except exceptions.ChannelClosedByBroker as error:
            if error.reply_code == NOT_FOUND:
                raise BrokerError(f"the broker has no such queue: {error.reply_text}") from error
            raise BrokerError(f"the broker refuses: {error.reply_text}") from error
        except FAILURES as error:
            raise BrokerError(explain(error, parameters(self._settings)[0])) from error
        finally:
            # Whatever was taken and not acknowledged goes back into its place.
            close(connection)


def _taken(channel: BlockingChannel, queue: str, limit: int) -> Iterator[Message]:
    """The next messages, taken and not acknowledged."""
    size = 0
    for _ in range(limit):
        method, properties, body = channel.basic_get(queue)
        if method is None:
            return
        size += len(body)
        yield Message(
            headers=properties.headers or {},
            body=body[:BODY],
            size=len(body),
            content_type=properties.content_type or "",
            exchange=method.exchange,
            routing_key=method.routing_key,
            priority=properties.priority,
            redelivered=bool(method.redelivered),
        )
        if size > LOOK_BYTES:
            return


def _put_back(channel: BlockingChannel, queue: str, limit: int, into: str) -> Moved:
    """Move what is in the queue now; what is not moved is given back as the channel closes."""
    waiting = channel.queue_declare(queue, passive=True).method.message_count
    channel.confirm_delivery()
    moved: Counter[str] = Counter()
    left, why = 0, ""
    end = time.monotonic() + MOVING
    for _ in range(min(limit, waiting)):
        if time.monotonic() > end:
            return Moved(moved, left + 1, f"{MOVING:g} s are over; the rest is still there")
        method, properties, body = channel.basic_get(queue)
        if method is None:
            break
        target = into or _origin(properties)
        problem = "it does not say which queue it came from" if not target else ""
        problem = problem or ("it came from this very queue" if target == queue else "")
        problem = problem or _sent(channel, target, properties, body)
        if problem:
            left, why = left + 1, why or problem
            continue
        channel.basic_ack(method.delivery_tag)
        moved[target] += 1
    return Moved(moved, left, why)


def _sent(channel: BlockingChannel, queue: str, properties: pika.BasicProperties, body: bytes) -> str:
    """Publish it into the queue; why the broker did not take it, "" once it has confirmed that it did."""
    headers = {name: value for name, value in (properties.headers or {}).items() if not name.startswith(_DEATH)}
    properties.headers = headers
    try:
        channel.basic_publish("", queue, body, properties, mandatory=True)
    except exceptions.UnroutableError:
        return f"there is no queue {queue!r}"
    except exceptions.NackError:
        return f"the queue {queue!r} takes no more"
    return ""


def _origin(properties: pika.BasicProperties) -> str:
    """The queue in which a message died first; "" where the broker did not note it."""
    headers: dict[str, Any] = properties.headers or {}
    first = headers.get("x-first-death-queue")
    if isinstance(first, str):
        return first
    deaths = headers.get("x-death")
    last = deaths[-1] if isinstance(deaths, list) and deaths else None
    return str(last.get("queue") or "") if isinstance(last, dict) else ""
