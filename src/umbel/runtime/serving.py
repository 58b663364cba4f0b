"""Everything that the web reads and changes, opened from the settings and closed again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from umbel.brokers.base import QueueDepths, QueueMessages
from umbel.clock import Clock
from umbel.metrics.prometheus import render
from umbel.runtime.alerting import open_alerts
from umbel.runtime.brokers import LazyControl, LazyRuns, lazy_plan, queue_depths, queue_messages
from umbel.runtime.exports import formats, sheet
from umbel.runtime.heartbeat import Sightings
from umbel.runtime.stores import open_audit, open_journal, open_reader
from umbel.runtime.transport import parts_of
from umbel.settings import Settings
from umbel.web.deps import Deps
from umbel.web.login import Login


@contextmanager
def opened(settings: Settings, clock: Clock, login: Login | None) -> Iterator[Deps]:
    """What an app is made from; `login`: how people sign in, None where nobody has to. It is closed as well."""
    with ExitStack() as stack:
        if login is not None:
            stack.enter_context(closing(login))
        queues: QueueDepths | None = queue_depths(settings) if settings.broker else None
        messages: QueueMessages | None = queue_messages(settings) if settings.broker else None
        for adapter in (queues, messages):
            if adapter is not None:
                stack.enter_context(closing(adapter))
        alerts = open_alerts(settings, clock)
        if alerts is not None:
            stack.callback(alerts.book.close)
        journal = stack.enter_context(closing(open_journal(settings, clock)))
        yield Deps(
            reader=stack.enter_context(closing(open_reader(settings, clock))),
            statuses=Sightings(settings, journal, clock).read,
            settings=settings,
            clock=clock,
            render_metrics=render,
            queues=queues,
            messages=messages,
            parts=[part for part in parts_of(settings) if part != "web"] if settings.broker else [],
            control=stack.enter_context(closing(LazyControl(settings, clock))),
            runs=stack.enter_context(closing(LazyRuns(settings))),
            audit=stack.enter_context(closing(open_audit(settings, clock))),
            journal=journal,
            plan=lazy_plan(settings),
            alerts=alerts,
            login=login,
            sheet=sheet,
            formats=formats(),
        )
