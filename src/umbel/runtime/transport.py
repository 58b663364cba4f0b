"""Which processes and which source a broker needs, told by its URL's scheme."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from umbel.errors import SettingsError
from umbel.runtime.telemetry import traces_tasks
from umbel.settings import Settings


class Transport(StrEnum):
    """How events leave the broker."""

    #: PUB/SUB: a receiver process and a spool.
    REDIS = "redis"
    #: A durable queue of ours; the broker is the spool.
    AMQP = "amqp"
    #: Whatever kombu makes of it.
    KOMBU = "kombu"


_SCHEMES: Final = {
    "redis": Transport.REDIS,
    "rediss": Transport.REDIS,
    "redis+socket": Transport.REDIS,
    "unix": Transport.REDIS,
    "sentinel": Transport.REDIS,
    "sentinels": Transport.REDIS,
    "amqp": Transport.AMQP,
    "amqps": Transport.AMQP,
    "pyamqp": Transport.AMQP,
    "rabbitmq": Transport.AMQP,
}


def transport_of(settings: Settings) -> Transport:
    """The transport of the broker; raises `SettingsError` when no broker is set."""
    if not settings.broker:
        raise SettingsError(
            "no broker is set. Give the one your workers use, --broker redis://localhost:6379/0 for example,"
            " or the app they run, -A proj; or try `umbel demo`"
        )
    scheme, separator, _ = settings.broker.partition("://")
    if not separator:
        raise SettingsError(f"--broker: {settings.broker!r} is no URL; one such as redis://host:6379/0 is expected")
    return _SCHEMES.get(scheme.lower(), Transport.KOMBU)


def parts_of(settings: Settings) -> tuple[str, ...]:
    """The processes of `umbel up`, in the order of their start and stop."""
    capture = ("receive", "collect") if transport_of(settings) is Transport.REDIS else ("collect",)
    alerts = ("alert",) if settings.alerting else ()
    traces = ("trace",) if traces_tasks(settings) else ()
    return (*capture, "web", *alerts, *traces)
