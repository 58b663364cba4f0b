"""The mailbox of a process: one queue for the replies to all of its commands, read by one thread.

Made with the first command and kept while commands come; removed from the broker when none has come for a while and
when the process stops, because a reply queue that is left on Redis is a list without an end.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

from kombu import Consumer, Queue

from umbel.clock import Clock
from umbel.control.client_call import Call
from umbel.errors import ControlError
from umbel.logs import Limited

log = logging.getLogger(__name__)

#: Seconds without a command after which the mailbox is taken away.
IDLE: Final = 60.0
#: Seconds within which the mailbox must be there.
READY: Final = 10.0
#: Seconds between two looks at whether to stop; heartbeats are sent and missed at this pace.
LOOK: Final = 0.5
#: Bytes of one reply; a longer one is not decoded.
REPLY_BYTES: Final = 4 * 1024 * 1024
#: Seconds between heartbeats on RabbitMQ.
HEARTBEAT: Final = 10


class Mailbox:
    """Hands each reply to the call that its ticket names. May be used from any thread."""

    def __init__(self, app: Any, clock: Clock) -> None:
        self._app = app
        self._clock = clock
        self._limited = Limited(log, clock)
        self._lock = threading.Condition()
        self._calls: dict[str, Call] = {}
        self._thread: threading.Thread | None = None
        #: Routing key of the queue that is there now; "" while none is.
        self._key = ""
        self._error = ""
        self._used_at = 0.0
        self._closed = False

    def expect(self, call: Call) -> dict[str, str]:
        """Take in replies for the call from now on; where they are to be sent, as `reply_to` says it.

        Raises `ControlError` if the broker does not give us a queue in time.
        """
        with self._lock:
            if self._closed:
                raise ControlError("remote control is closed")
            self._calls[call.ticket] = call
            self._used_at = self._clock.monotonic()
            if self._thread is None:
                self._error = ""
                self._thread = threading.Thread(target=self._run, name="umbel-replies", daemon=True)
                self._thread.start()
            self._lock.wait_for(lambda: self._key or self._error or self._closed, READY)
            if self._key:
                return {"exchange": self._exchange.name, "routing_key": self._key}
            self._calls.pop(call.ticket, None)
            why = self._error or "the broker does not answer"
        raise ControlError(f"no queue for replies could be made: {why.rstrip('.')}. Is the broker reachable?")

    def forget(self, call: Call) -> None:
        """Let go of a call; what comes for it from now on is dropped."""
        with self._lock:
            self._calls.pop(call.ticket, None)
            self._used_at = self._clock.monotonic()

    def close(self) -> None:
        """Take the queue away; replies under way are dropped. Waits a few seconds at most."""
        with self._lock:
            self._closed = True
            thread = self._thread
            self._lock.notify_all()
        if thread is not None:
            thread.join(READY)

    @property
    def _exchange(self) -> Any:
        return self._app.control.mailbox.reply_exchange

    def _wanted(self) -> bool:
        """Whether to go on; if not, the thread counts as ended from this moment."""
        with self._lock:
            idle = not self._calls and self._clock.monotonic() - self._used_at > IDLE
            if not (self._closed or idle):
                return True
            self._key, self._thread = "", None
            return False

    def _run(self) -> None:
        try:
            with self._app.connection_for_read(heartbeat=HEARTBEAT) as connection:
                self._listen(connection)
        except Exception as error:  # noqa: BLE001 - each transport has errors of its own; the next command tries anew
            self._lost(error)

    def _lost(self, error: Exception) -> None:
        text = (str(error) or repr(error)).splitlines()[0][:300]
        with self._lock:
            self._key, self._thread, self._error = "", None, text
            calls = list(self._calls.values())
            self._lock.notify_all()
        for call in calls:
            call.lost(text)
        if calls:
            self._limited.warning("mailbox", f"replies of workers are lost: {text}")

    def _listen(self, connection: Any) -> None:
        connection.connect()
        key = str(uuid4())
        with connection.channel() as channel:
            queue = Queue(
                f"{key}.{self._exchange.name}",
                exchange=self._exchange,
                routing_key=key,
                durable=False,
                exclusive=True,
                auto_delete=True,
                expires=IDLE,
            )(channel)
            consumer = Consumer(channel, [queue], no_ack=True, on_message=self._take)
            consumer.consume()
            with self._lock:
                self._key = key
                self._lock.notify_all()
            try:
                while self._wanted():
                    self._drain(connection)
            finally:
                consumer.cancel()
                queue.delete()

    def _drain(self, connection: Any) -> None:
        try:
            connection.drain_events(timeout=LOOK)
        except TimeoutError:
            if connection.supports_heartbeats and connection.heartbeat:
                connection.heartbeat_check()

    def _take(self, message: Any) -> None:
        ticket = message.headers.get("ticket")
        with self._lock:
            call = self._calls.get(ticket)
        if call is None:
            return
        body = message.body
        if not isinstance(body, str | bytes) or len(body) > REPLY_BYTES:
            call.unreadable(f"a reply of {len(body):,} bytes is more than is taken")
            return
        if message.content_type != "application/json":
            call.unreadable(f"a reply is {message.content_type}, and only JSON is taken; set task_serializer = 'json'")
            return
        try:
            reply = json.loads(body)
        except (ValueError, RecursionError) as error:
            call.unreadable(f"a reply is no JSON: {error}")
            return
        if isinstance(reply, Mapping):
            for worker, value in reply.items():
                call.heard(str(worker), value, len(body))
