"""Celery's remote control: the only place where Celery itself is used, and for this alone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from celery import Celery
from kombu import Producer

from umbel.clock import Clock, SystemClock
from umbel.control.client_call import Call
from umbel.control.client_enabler import EventsEnabler
from umbel.control.client_mailbox import Mailbox
from umbel.control.commands import Command, Outcome, Reply
from umbel.errors import ControlError
from umbel.settings import Settings

__all__ = ["CeleryControl", "EventsEnabler"]

log = logging.getLogger(__name__)

#: Seconds to connect within, and to find a broker that hangs.
TIMEOUT: Final = 4.0

Answer = TypeVar("Answer")


class CeleryControl:
    """A `Control` over one connection, made when first needed and made anew when it is found dead."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._closed = False
        self._connection: Any = None
        self._app = make_app(settings)
        self._mailbox = Mailbox(self._app, self._clock)

    def send(self, command: Command) -> None:
        self._publish(command, None)

    def ask(self, command: Command, timeout: float = 1.0) -> Mapping[str, Any]:
        found = self.call(command, timeout)
        return {reply.worker: reply.value for reply in found if reply.outcome in (Outcome.OK, Outcome.REFUSED)}

    def call(self, command: Command, timeout: float = 1.0, expected: Sequence[str] = ()) -> Iterator[Reply]:
        if not command.answered:
            self._publish(command, None)
            yield from (Reply(worker, Outcome.SENT) for worker in command.destination or expected)
            return
        call = Call(self._clock, timeout, command.destination or expected, open_=not command.destination)
        try:
            reply_to = self._mailbox.expect(call)
            self._publish(command, {"ticket": call.ticket, "reply_to": reply_to})
            yield from call
        finally:
            self._mailbox.forget(call)

    def _publish(self, command: Command, reply: Mapping[str, Any] | None) -> None:
        """Send the command as kombu's mailbox would, with the address for replies where they are wanted."""
        message = {
            "method": command.method,
            "arguments": command.arguments(),
            "destination": list(command.destination) or None,
            "pattern": None,
            "matcher": None,
            **(reply or {}),
        }
        exchange = self._app.control.mailbox.exchange

        def publish(_connection: Any, channel: Any) -> None:
            Producer(channel, auto_declare=False).publish(
                message,
                exchange=exchange.name,
                declare=[exchange],
                headers={"clock": self._app.clock.forward(), "expires": 0},
                serializer="json",
            )

        self._with_channel(publish)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._disconnect()
        self._mailbox.close()
        self._app.close()

    def _with_channel(self, use: Callable[[Any, Any], Answer]) -> Answer:
        """Run `use` on a new channel; once more on a new connection if the one at hand has died meanwhile."""
        with self._lock:
            if self._closed:
                raise ControlError("remote control is closed")
            fresh = self._connection is None
            try:
                return self._try(use)
            except Exception as error:
                # Each transport has errors of its own.
                self._disconnect()
                if fresh:
                    raise _failed(error) from error
            try:
                return self._try(use)
            except Exception as error:
                self._disconnect()
                raise _failed(error) from error

    def _try(self, use: Callable[[Any, Any], Answer]) -> Answer:
        if self._connection is None:
            connection = self._app.connection_for_write()
            self._connection = connection
            connection.connect()
        # Opening a channel is a question to the broker: a dead connection shows before anything is sent into it.
        with self._connection.channel() as channel:
            return use(self._connection, channel)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.release()
            except Exception:
                log.debug("closing the control connection failed", exc_info=True)


def make_app(settings: Settings) -> Any:
    """A Celery app that knows the broker and reads JSON alone; it is never the current one."""
    app: Any = Celery("umbel", broker=settings.broker, set_as_current=False, fixups=[])
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        broker_transport_options=_with_timeouts(settings),
        broker_use_ssl=dict(settings.broker_ssl) or False,
        broker_connection_timeout=TIMEOUT,
        broker_heartbeat=0,
        event_exchange=settings.event_exchange,
    )
    return app


def _with_timeouts(settings: Settings) -> dict[str, Any]:
    """The broker's options, with bounds in time where none are set, so that a broker that hangs is noticed."""
    scheme = settings.broker.partition("://")[0]
    usual: dict[str, Any] = {}
    if scheme.startswith(("redis", "sentinel", "unix")):
        usual = {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT}
    elif scheme.startswith(("amqp", "pyamqp")):
        usual = {"read_timeout": TIMEOUT, "write_timeout": TIMEOUT}
    return {**usual, **settings.broker_options}


def _failed(error: Exception) -> ControlError:
    text = (str(error) or repr(error)).splitlines()[0][:300]
    return ControlError(f"the remote control command could not be sent: {text.rstrip('.')}. Is the broker reachable?")
