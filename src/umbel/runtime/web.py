"""`umbel web`: pages, API and metrics over the store."""

from __future__ import annotations

from umbel import logs
from umbel.brokers.base import QueueDepths, QueueMessages
from umbel.clock import SystemClock
from umbel.metrics.prometheus import render
from umbel.runtime.access import open_login
from umbel.runtime.alerting import open_alerts
from umbel.runtime.brokers import LazyControl, LazyRuns, lazy_plan, queue_depths, queue_messages
from umbel.runtime.exports import formats, sheet
from umbel.runtime.parts import Part
from umbel.runtime.stores import open_audit, open_journal, open_reader
from umbel.runtime.transport import parts_of
from umbel.settings import Settings
from umbel.status import StatusBoard
from umbel.web.app import create_app
from umbel.web.deps import Deps
from umbel.web.security import guarded
from umbel.web.server import serve


def main(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; 0 if that went well."""
    logs.setup(settings.log_level)
    settings = guarded(settings)
    clock = SystemClock()
    login = open_login(settings, clock)
    reader = open_reader(settings, clock)
    queues: QueueDepths | None = queue_depths(settings) if settings.broker else None
    messages: QueueMessages | None = queue_messages(settings) if settings.broker else None
    control, runs, audit = LazyControl(settings, clock), LazyRuns(settings), open_audit(settings, clock)
    journal = open_journal(settings, clock)
    alerts = open_alerts(settings, clock)
    deps = Deps(
        reader=reader,
        statuses=StatusBoard(settings.status_dir).read,
        settings=settings,
        clock=clock,
        render_metrics=render,
        queues=queues,
        messages=messages,
        parts=[part for part in parts_of(settings) if part != "web"] if settings.broker else [],
        control=control,
        runs=runs,
        audit=audit,
        journal=journal,
        plan=lazy_plan(settings),
        alerts=alerts,
        login=login,
        sheet=sheet,
        formats=formats(),
    )
    with Part("web", settings.status_dir, settings.log_level, clock) as part:
        try:
            return serve(create_app(deps), settings, part.stop)
        finally:
            reader.close()
            audit.close()
            journal.close()
            if alerts is not None:
                alerts.book.close()
            if login is not None:
                login.close()
            control.close()
            runs.close()
            for adapter in (queues, messages):
                if adapter is not None:
                    adapter.close()
