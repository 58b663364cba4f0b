"""Queue depths of a Redis broker: the lists of each queue's priority steps, and what workers hold unacknowledged."""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import redis

from umbel.brokers.base import QueueDepth
from umbel.errors import BrokerError
from umbel.settings import Settings
from umbel.sources.redis_client import ERRORS, connect, explain
from umbel.sources.redis_url import RedisOptions

log = logging.getLogger(__name__)

#: Seconds for each step of an answer.
TIMEOUT: Final = 1.5
#: Unacknowledged messages, and bytes of them, that are read to tell which queue each came from.
UNACKED_SCAN: Final = 500
UNACKED_BYTES: Final = 4 * 1024 * 1024


class RedisQueueDepths:
    """Asks Redis with a few small commands; see `umbel.brokers.base.QueueDepths`. Raises `SettingsError` when made."""

    delayed: Sequence[str] = ()

    def __init__(self, settings: Settings) -> None:
        options = RedisOptions.from_settings(settings)
        self._options = replace(
            options, connect_timeout=min(TIMEOUT, options.connect_timeout), timeout=min(TIMEOUT, options.timeout)
        )
        self._client: redis.Redis | None = None
        self._lock = threading.Lock()
        self._turn = 0

    def depths(self, names: Sequence[str]) -> Sequence[QueueDepth]:
        """One answer for each name: an empty queue and one that does not exist look the same to Redis.

        `unacked` is told by queue only while there are few of them in the whole database, else None.
        """
        with self._lock:
            try:
                if self._client is None:
                    self._turn += 1
                    self._client = connect(self._options, "umbel-queues", self._turn - 1)
                return self._ask(self._client, names)
            except ERRORS as error:
                self._drop()
                raise BrokerError(explain(error, self._options)) from error

    def _ask(self, client: redis.Redis, names: Sequence[str]) -> list[QueueDepth]:
        keys = [(name, step, key) for name in names for step, key in self._options.queue_keys(name)]
        pipeline = client.pipeline(transaction=False)
        for _, _, key in keys:
            pipeline.llen(key)
        pipeline.hlen(self._options.key(self._options.unacked_key))
        # A key of another type is somebody else's: unknown, not an error.
        *lengths, held = pipeline.execute(raise_on_error=False)
        steps: dict[str, list[tuple[int, int | None]]] = {name: [] for name in names}
        for (name, step, _), length in zip(keys, lengths, strict=True):
            steps[name].append((step, length if isinstance(length, int) else None))
        unacked = self._unacked(client, held)
        return [_depth(name, steps[name], None if unacked is None else unacked[name]) for name in names]

    def _unacked(self, client: redis.Redis, held: Any) -> Counter[str] | None:
        """Unacknowledged messages by queue; None where there are too many to look at."""
        if not isinstance(held, int) or held > UNACKED_SCAN:
            return None
        found: Counter[str] = Counter()
        size = 0
        if held:
            for _, raw in client.hscan_iter(self._options.key(self._options.unacked_key), count=50):
                size += len(raw)
                if size > UNACKED_BYTES:
                    return None
                found[_queue_of(raw)] += 1
        return found

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def close(self) -> None:
        """Let go of the connection; any number of times."""
        with self._lock:
            self._drop()


def _depth(name: str, steps: list[tuple[int, int | None]], unacked: int | None) -> QueueDepth:
    known = tuple((step, length) for step, length in steps if length is not None)
    ready = sum(length for _, length in known) if len(known) == len(steps) else None
    return QueueDepth(name, ready=ready, unacked=unacked, by_priority=known)


def _queue_of(raw: bytes) -> str:
    """The queue of an entry of kombu's `unacked`: [message, exchange, routing key]; "" where it is not one."""
    try:
        _, _, routing_key = json.loads(raw)
    except (ValueError, TypeError) as error:
        log.debug("an entry of the unacked messages is not kombu's: %s", error)
        return ""
    return str(routing_key)
