"""From the broker's transport to who can tell its queues' depth, what is wrong with it, and who speaks to workers."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Sequence
from typing import Any, Final, cast

from umbel.brokers.base import Finding, QueueDepths, QueueMessages
from umbel.clock import Clock
from umbel.control.commands import Control
from umbel.control.runs import Runs
from umbel.control.schedules import Plan, ReadPlan
from umbel.runtime.transport import Transport, transport_of
from umbel.settings import Settings

_DEPTHS: Final = {
    Transport.REDIS: ("umbel.brokers.redis", "RedisQueueDepths"),
    Transport.AMQP: ("umbel.brokers.rabbitmq", "RabbitQueueDepths"),
}
_MESSAGES: Final = {
    Transport.REDIS: ("umbel.brokers.redis_messages", "RedisMessages"),
    Transport.AMQP: ("umbel.brokers.rabbitmq_messages", "RabbitMessages"),
}
_DOCTORS: Final = {
    Transport.REDIS: ("umbel.brokers.redis_doctor", "diagnose_redis"),
    Transport.AMQP: ("umbel.brokers.rabbitmq", "diagnose_rabbitmq"),
}


#: Celery is loaded by the first command, so that a web that is only looked at does without it.
_CONTROL: Final = ("umbel.control.client", "CeleryControl")


class LazyControl:
    """Makes the remote control of this broker when it is first asked for; may be called from any thread."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._made: Control | None = None

    def __call__(self) -> Control | None:
        """The one control of this process; None where no broker is set."""
        if not self._settings.broker:
            return None
        with self._lock:
            if self._made is None:
                module, name = _CONTROL
                made: Control = getattr(importlib.import_module(module), name)(self._settings, self._clock)
                self._made = made
            return self._made

    def close(self) -> None:
        """Take the mailbox away from the broker, if there is one."""
        with self._lock:
            if self._made is not None:
                self._made.close()


class LazyRuns:
    """Makes what starts tasks when it is first asked for; may be called from any thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._made: Runs | None = None

    def __call__(self) -> Runs | None:
        """The one of this process; None where no broker is set."""
        if not self._settings.broker:
            return None
        with self._lock:
            if self._made is None:
                load_app = importlib.import_module("umbel.runtime.app").load_app
                home = importlib.import_module("umbel.control.client_runs")
                self._made = cast("Runs", home.CeleryRuns(self._settings, load_app))
            return self._made

    def close(self) -> None:
        """Let go of its connections."""
        with self._lock:
            if self._made is not None:
                self._made.close()


def lazy_plan(settings: Settings) -> ReadPlan | None:
    """Reads what beat should run; Celery is loaded when it is first asked. None where there is nothing to read."""
    if not (settings.app or settings.broker):
        return None

    def read(now: float) -> Plan:
        home = importlib.import_module("umbel.runtime.schedules")
        return cast("Plan", home.BeatPlans(settings)(now))

    return read


def _load(homes: dict[Transport, tuple[str, str]], settings: Settings) -> Any:
    """What the transport has for this, given the settings; None where it has nothing."""
    home = homes.get(transport_of(settings))
    if home is None:
        return None
    module, name = home
    return getattr(importlib.import_module(module), name)(settings)


def queue_depths(settings: Settings) -> QueueDepths | None:
    """Asks this broker for its queues; None where the transport cannot tell."""
    return cast("QueueDepths | None", _load(_DEPTHS, settings))


def queue_messages(settings: Settings) -> QueueMessages | None:
    """Looks into this broker's queues; None where the transport cannot."""
    return cast("QueueMessages | None", _load(_MESSAGES, settings))


def diagnose(settings: Settings) -> Sequence[Finding]:
    """What can be found out about the broker without changing it."""
    return cast("Sequence[Finding] | None", _load(_DOCTORS, settings)) or ()
