"""`umbel alert`: judges the rules and tells whom they name; of several processes on one store, one does."""

from __future__ import annotations

import logging
import os
import socket
import sys
from dataclasses import dataclass
from functools import partial

from umbel import logs
from umbel.alerts.config import Config
from umbel.brokers.base import QueueDepths
from umbel.clock import Clock, SystemClock
from umbel.control.schedules import ReadPlan
from umbel.errors import SettingsError
from umbel.notify.ping import ping
from umbel.runtime.alerting import open_sender, read_config
from umbel.runtime.brokers import lazy_plan, queue_depths
from umbel.runtime.heartbeat import Sightings
from umbel.runtime.parts import Part, Report
from umbel.runtime.stores import open_alert_book, open_journal, open_reader
from umbel.runtime.telemetry import reported_errors
from umbel.runtime.transport import parts_of
from umbel.settings import Settings
from umbel.stores.base import StoreReader
from umbel.watch.watch import Pulse, Watch
from umbel.web.pipeline import Pipeline, PipelineWatch

log = logging.getLogger(__name__)

#: Added to the process's niceness: pages come first.
NICER = 5


@dataclass(frozen=True, slots=True)
class Sight:
    """`umbel.watch.sight.Sight` of this process."""

    reader: StoreReader
    clock: Clock
    queues: QueueDepths | None
    plan: ReadPlan | None
    watch: PipelineWatch

    def pipeline(self) -> Pipeline:
        return self.watch.view()


def main(settings: Settings) -> int:
    """Watch until SIGTERM or SIGINT; 0 if that went well."""
    logs.setup(settings.log_level, settings.log_format)
    config = read_config(settings)
    if not config.destinations and not settings.ping_url:
        nobody = "nobody is to be told: give --alert-to, a destination in the file of --alerts, or a --ping-url"
        if not config.rules:
            raise SettingsError(nobody)
        log.warning("the pages show what fires, and %s", nobody)
    send, clock = open_sender(config.destinations), SystemClock()
    opening = Report(error="opening")
    with Part("alert", settings, clock, lambda: opening) as part, reported_errors(settings, "alert"):
        os.nice(NICER)
        reader, book = open_reader(settings, clock), open_alert_book(settings, clock)
        journal = open_journal(settings, clock)
        queues = queue_depths(settings) if settings.broker else None
        sight = Sight(
            reader,
            clock,
            queues,
            lazy_plan(settings),
            PipelineWatch(reader, Sightings(settings, journal, clock).read, clock, _parts(settings)),
        )
        who = f"{socket.gethostname()} {os.getpid()} {clock.now():.3f}"
        watch = Watch(config, book, sight, send, who, address=settings.public_url, pulse=_pulse(settings))
        part.reports(lambda: Report({"leading": float(watch.lead.held)}, {}, watch.trouble()))
        try:
            watch.run(part.stop, settings.grace)
        finally:
            reader.close()
            book.close()
            journal.close()
            if queues is not None:
                queues.close()
    return 0


def _parts(settings: Settings) -> list[str]:
    """Whose absence is worth an alert."""
    return [part for part in parts_of(settings) if part != "alert"] if settings.broker else []


def _pulse(settings: Settings) -> Pulse | None:
    if not settings.ping_url:
        return None
    return Pulse(partial(ping, settings.ping_url, settings.ping_method), settings.ping_every)


def check(settings: Settings) -> int:
    """Print what would be watched, and who would be told; raises `SettingsError` for what cannot be used."""
    config: Config = read_config(settings)
    open_sender(config.destinations)
    for destination in config.destinations:
        sys.stdout.write(f"destination {destination.name}: {destination.scheme}\n")
    for rule in config.rules:
        receivers = ", ".join(one.name for one in config.receivers(rule)) or "nobody"
        sys.stdout.write(f"rule {rule.name!r}: {rule.on}, {rule.severity}, told to {receivers}\n")
    return 0
