"""From the broker's transport to the collector's source; a driver is loaded only when it is used."""

from __future__ import annotations

import importlib
from typing import Any, Final, cast

from umbel.clock import Clock
from umbel.runtime.transport import Transport, transport_of
from umbel.settings import Settings
from umbel.sources.base import Positions, Source
from umbel.sources.spool import SpoolSource

_HOMES: Final = {
    Transport.AMQP: ("umbel.sources.amqp", "AmqpSource"),
    Transport.KOMBU: ("umbel.sources.kombu", "KombuSource"),
}


def open_source(settings: Settings, clock: Clock, positions: Positions) -> Source:
    """The source of the broker's events, not opened yet; `positions` is what the store keeps for sources."""
    transport = transport_of(settings)
    if transport is Transport.REDIS:
        return SpoolSource(settings.spool_dir, settings.spool_bytes, clock)
    module, name = _HOMES[transport]
    make: Any = getattr(importlib.import_module(module), name)
    shared = {"positions": positions} if transport is Transport.AMQP else {}
    return cast("Source", make(settings, clock, **shared))
