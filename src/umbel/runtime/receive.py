"""`umbel receive`: from Redis into the spool."""

from __future__ import annotations

from umbel.buffer.writer import SpoolWriter
from umbel.clock import SystemClock
from umbel.errors import SettingsError
from umbel.runtime.parts import Part, Report
from umbel.runtime.telemetry import reported_errors
from umbel.runtime.transport import Transport, transport_of
from umbel.settings import Settings
from umbel.sources.redis import RedisReceiver
from umbel.status import PartStatus


def main(settings: Settings) -> int:
    """Capture until SIGTERM or SIGINT; 0 if that went well."""
    if transport_of(settings) is not Transport.REDIS:
        raise SettingsError("umbel receive is for Redis; with this broker `umbel collect` captures by itself")
    clock = SystemClock()
    latest = Report(error="starting")

    def keep(status: PartStatus) -> None:
        latest.values, latest.texts, latest.error = status.values, status.texts, status.error

    with Part("receive", settings, clock, lambda: latest) as part, reported_errors(settings, "receive"):
        spool = SpoolWriter(settings.spool_dir, settings.spool_bytes, clock)
        try:
            RedisReceiver(settings, spool, clock).run(part.stop, keep)
        finally:
            spool.close()
    return 0
