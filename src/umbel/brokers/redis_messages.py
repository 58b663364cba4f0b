"""The messages that wait in a Redis broker's queues: kombu's lists, read from their ends and never taken out."""

from __future__ import annotations

import binascii
import json
import logging
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import redis

from umbel.brokers.base import DeadLetters, Message, Moved
from umbel.errors import BrokerError
from umbel.settings import Settings
from umbel.sources.redis_client import ERRORS, connect, explain
from umbel.sources.redis_url import RedisOptions

log = logging.getLogger(__name__)

#: Messages read at once, bytes read in all for one look, and bytes of a body that are kept.
CHUNK: Final = 20
LOOK_BYTES: Final = 64 * 1024 * 1024
BODY: Final = 8 * 1024 * 1024

Answer = TypeVar("Answer")


class RedisMessages:
    """`umbel.brokers.base.QueueMessages` by LRANGE: a look changes nothing. Raises `SettingsError` when made."""

    marks = False

    def __init__(self, settings: Settings) -> None:
        self._options = RedisOptions.from_settings(settings)
        self._client: redis.Redis | None = None
        self._lock = threading.Lock()
        self._turn = 0

    def peek(self, queue: str, limit: int) -> Sequence[Message]:
        return self._do(lambda client: [message_of(raw) for raw in self._next(client, queue, limit)])

    def find(self, queue: str, task_id: str, limit: int) -> Message | None:
        def look(client: redis.Redis) -> Message | None:
            wanted = json.dumps(task_id).encode()
            # Only what holds the id somewhere is worth decoding.
            likely = (message_of(raw) for raw in self._next(client, queue, limit) if wanted in raw)
            return next((message for message in likely if message.headers.get("id") == task_id), None)

        return self._do(look)

    def _next(self, client: redis.Redis, queue: str, limit: int) -> Iterator[bytes]:
        """Messages in the order in which workers get them: the steps by priority, each list from its tail."""
        size = 0
        for _, key in self._options.queue_keys(queue):
            start = 0
            while limit > 0:
                take = min(CHUNK, limit)
                found: Any = client.lrange(key, -start - take, -start - 1)
                for raw in reversed(found):
                    size += len(raw)
                    if size > LOOK_BYTES:
                        return
                    yield raw
                limit, start = limit - len(found), start + take
                if len(found) < take:
                    break

    def purge(self, queue: str) -> int:
        def remove(client: redis.Redis) -> int:
            keys = [key for _, key in self._options.queue_keys(queue)]
            # In one transaction: what is counted is what goes.
            pipeline = client.pipeline(transaction=True)
            for key in keys:
                pipeline.llen(key)
            pipeline.unlink(*keys)
            return sum(int(length) for length in pipeline.execute()[:-1])

        return self._do(remove)

    def dead_letters(self) -> Sequence[DeadLetters] | None:
        return None

    def put_back(self, queue: str, limit: int, into: str = "") -> Moved:  # noqa: ARG002 - there is nothing to move
        raise BrokerError("Redis has no dead letters: what Celery gives up there is gone")

    def close(self) -> None:
        """Let go of the connection; any number of times."""
        with self._lock:
            self._drop()

    def _do(self, use: Callable[[redis.Redis], Answer]) -> Answer:
        with self._lock:
            try:
                if self._client is None:
                    self._turn += 1
                    self._client = connect(self._options, "umbel-messages", self._turn - 1)
                return use(self._client)
            except ERRORS as error:
                self._drop()
                raise BrokerError(explain(error, self._options)) from error

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def message_of(raw: bytes) -> Message:
    """A message from kombu's envelope; one that has none is shown as it is."""
    try:
        envelope = json.loads(raw)
        properties = _mapping(envelope.get("properties"))
        body = str(envelope["body"])
        whole = b64decode(body) if properties.get("body_encoding") == "base64" else body.encode()
    except (ValueError, KeyError, AttributeError, RecursionError, binascii.Error) as error:
        log.debug("a message is not in kombu's envelope: %s", error)
        return Message({}, raw[:BODY], len(raw))
    where = _mapping(properties.get("delivery_info"))
    headers = _mapping(envelope.get("headers"))
    priority = properties.get("priority")
    return Message(
        headers=headers,
        body=whole[:BODY],
        size=len(whole),
        content_type=str(envelope.get("content-type") or ""),
        exchange=str(where.get("exchange") or ""),
        routing_key=str(where.get("routing_key") or ""),
        priority=priority if isinstance(priority, int) else None,
        redelivered=bool(headers.get("redelivered")),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
