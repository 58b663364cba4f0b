"""What RabbitMQ's management API alone tells: messages that workers hold unacknowledged, and what a stream keeps."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from umbel.clock import Clock, SystemClock
from umbel.errors import BrokerError
from umbel.settings import Settings
from umbel.sources.amqp_api import ManagementApi
from umbel.sources.amqp_url import parameters

log = logging.getLogger(__name__)

#: Seconds for which an answer is believed: RabbitMQ counts anew every five. One that failed is not asked for longer.
AGE: Final = 5.0
PAUSE: Final = 60.0


class _Queue(msgspec.Struct, frozen=True):
    name: str
    type: str = "classic"
    #: None where they were not counted yet.
    messages: int | None = None
    messages_unacknowledged: int | None = None


class Held(NamedTuple):
    """Of one queue; None where it is not told."""

    unacked: int | None
    #: All messages that a stream keeps, read or not; None for what is no stream.
    kept: int | None


class HeldMessages:
    """Asks for all queues of the virtual host at once; may be used from any thread."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._until = 0.0
        self._known: Mapping[str, Held] = {}

    def read(self) -> Mapping[str, Held]:
        """By queue; empty where the API does not tell, and the log says why."""
        with self._lock:
            if self._clock.monotonic() < self._until:
                return self._known
            # The others go on with what is known while this thread asks.
            self._until = self._clock.monotonic() + PAUSE
        known, age = self._ask()
        with self._lock:
            self._known, self._until = known, self._clock.monotonic() + age
        return known

    def _ask(self) -> tuple[Mapping[str, Held], float]:
        try:
            api = ManagementApi(self._settings, parameters(self._settings)[0])
            raw = api.get("queues/{vhost}?columns=name,type,messages,messages_unacknowledged")
            queues = msgspec.json.decode(raw or b"[]", type=list[_Queue])
        except (BrokerError, msgspec.MsgspecError) as error:
            log.info("how many messages workers hold is not known: %s", error)
            return {}, PAUSE
        return {queue.name: _held(queue) for queue in queues}, AGE


def _held(queue: _Queue) -> Held:
    # Who reads a stream holds a position, not messages.
    return Held(None, queue.messages) if queue.type == "stream" else Held(queue.messages_unacknowledged, None)
