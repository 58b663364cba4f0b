"""`umbel collect`: from the spool or the broker into the store."""

from __future__ import annotations

import gc
import logging
import os

from umbel import status
from umbel.clock import Clock, SystemClock
from umbel.control.client import CeleryControl, EventsEnabler
from umbel.endings import EndingsWriter
from umbel.ingest import Collector
from umbel.model.decode import Decoder
from umbel.model.redact import Redactor
from umbel.runtime.heartbeat import Herald, shared
from umbel.runtime.parts import Part, Report, source_values
from umbel.runtime.sources import open_source
from umbel.runtime.stores import open_journal, open_writer, retention_of
from umbel.runtime.telemetry import own_work, reported_errors, traces_tasks
from umbel.settings import Settings
from umbel.sources.base import Source
from umbel.telemetry.outlet import Outlet

log = logging.getLogger(__name__)

#: Added to the process's niceness, so that pages stay quick while events pour in.
NICER = 5
#: Allocations between two rounds of the cycle collector: events make no cycles, so rounds over them find nothing.
GC_THRESHOLD = 100_000


def main(settings: Settings) -> int:
    """Collect until SIGTERM or SIGINT; 0 if that went well."""
    clock = SystemClock()
    with (
        Part("collect", settings, clock, lambda: Report(error="opening")) as part,
        reported_errors(settings, "collect"),
        own_work(settings) as tracer,
    ):
        os.nice(NICER)
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD, 50, 50)
        store = open_writer(settings, clock)
        source = open_source(settings, clock, store)
        enabler, journal = _enabler(settings, clock), open_journal(settings, clock)
        herald = Herald(settings, journal, clock) if shared(settings) else None
        if herald is not None:
            herald.start()
        try:
            collector = Collector(
                source,
                store,
                clock,
                decoder=Decoder(settings.text_bytes),
                retention=retention_of(settings),
                sightings=enabler,
                redactor=Redactor.of(settings.redact_keys, settings.redact_patterns),
                journal=journal,
                endings=EndingsWriter(settings.endings_dir) if traces_tasks(settings) else None,
                tracer=tracer,
                grace=settings.grace,
            )
            part.reports(lambda: report(collector, source, clock, tracer))
            collector.run(part.stop)
        finally:
            if herald is not None:
                herald.stop()
            journal.close()
            if enabler is not None:
                _stop(enabler)
    return 0


def _stop(enabler: EventsEnabler) -> None:
    try:
        enabler.stop()
    except Exception:
        # Everything is stored by now; the process ends anyway.
        log.exception("stopping the control commands failed")


def _enabler(settings: Settings, clock: Clock) -> EventsEnabler | None:
    if not settings.enable_events:
        log.info("workers that send no task events stay silent, as --no-enable-events says")
        return None
    return EventsEnabler(CeleryControl(settings, clock), clock=clock)


def report(collector: Collector, source: Source, clock: Clock, tracer: Outlet | None = None) -> Report:
    """The collector's status; while a commit hangs, what it holds counts as waiting."""
    seen, progress = source.status(), collector.progress
    values = source_values(seen) | {
        status.COMMIT_SECONDS: progress.commit_seconds,
        status.COMMITTED_AT: progress.committed_at,
        status.COMMIT_EVENTS: progress.commit_events,
        status.CAPTURED: progress.events + progress.in_hand,
        status.IN_HAND: progress.in_hand,
        status.BATCH_LIMIT: progress.batch_limit,
        status.UNTRACED: collector.endings.refused if collector.endings is not None else 0,
        status.SPANS_DROPPED: tracer.dropped if tracer is not None else 0,
        status.REDACTED: collector.redactor.count if collector.redactor is not None else 0,
    }
    if progress.oldest_at and (not values[status.OLDEST] or progress.oldest_at < values[status.OLDEST]):
        values[status.OLDEST] = progress.oldest_at
    error = progress.error or seen.alarm
    if progress.writing_since and clock.now() - progress.writing_since > status.STALE:
        error = error or f"the store has not taken a batch for {clock.now() - progress.writing_since:.0f} s"
    texts = {"source": source.name, "broker_error": seen.error, status.SET_ASIDE: " ".join(seen.set_aside)}
    return Report(values, texts, error)
