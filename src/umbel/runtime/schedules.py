"""What beat should run, from everywhere that this process can read it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from umbel.brokers.redis_beat import redbeat_entries
from umbel.control.client import make_app
from umbel.control.client_django_beat import PACKAGE, django_entries
from umbel.control.client_schedules import Reckoner
from umbel.control.schedules import Plan, Planned
from umbel.errors import BrokerError, ControlError, SettingsError
from umbel.runtime.app import load_app
from umbel.runtime.transport import Transport, transport_of
from umbel.settings import Settings


class BeatPlans:
    """`umbel.control.schedules.ReadPlan` for the settings of this process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __call__(self, now: float) -> Plan:
        items: list[Planned] = []
        sources: list[str] = []
        problems: list[str] = []
        app = self._app(problems)
        if app is not None and self._settings.app:
            found, wrong = Reckoner(app, now).of_app()
            items += found
            problems += wrong
            sources.append(f"beat_schedule of {self._settings.app}")
            self._django(app, now, items, sources, problems)
        if app is not None and self._settings.broker:
            self._redbeat(app, now, items, sources, problems)
        if app is not None and not self._settings.app:
            app.close()
        return Plan(sorted(items, key=lambda item: (item.name, item.source)), sources, problems)

    def _app(self, problems: list[str]) -> Any:
        """The app that the settings name; without one, a bare one, which knows UTC."""
        if not self._settings.app:
            return make_app(self._settings) if self._settings.broker else None
        try:
            return load_app(self._settings.app)
        except SettingsError as error:
            problems.append(str(error))
            return None

    def _django(self, app: Any, now: float, items: list[Planned], sources: list[str], problems: list[str]) -> None:
        try:
            found, wrong = django_entries(app, now)
        except ControlError as error:
            if PACKAGE in str(app.conf.beat_scheduler):
                problems.append(f"django-celery-beat's entries cannot be read: {error}")
            return
        items += found
        problems += wrong
        sources.append("django-celery-beat's tables")

    def _redbeat(self, app: Any, now: float, items: list[Planned], sources: list[str], problems: list[str]) -> None:
        url = str(app.conf.get("redbeat_redis_url") or self._settings.broker)
        settings = replace(self._settings, broker=url)
        prefix = str(app.conf.get("redbeat_key_prefix") or "redbeat:")
        if transport_of(settings) is not Transport.REDIS:
            return
        sources.append("RedBeat's keys on Redis")
        try:
            entries = redbeat_entries(settings, prefix)
        except (BrokerError, SettingsError) as error:
            problems.append(f"RedBeat's keys cannot be read: {error}")
            return
        for entry in entries:
            try:
                made = Reckoner(app, now).of_redbeat(entry.name, entry.definition)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                problems.append(f"RedBeat's entry {entry.name!r} cannot be understood: {error}")
                continue
            enabled = entry.definition.get("enabled", True) is not False
            items.append(replace(made, next_at=entry.next_at, last_run_at=entry.last_run_at, enabled=enabled))
