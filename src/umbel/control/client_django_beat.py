"""django-celery-beat's entries, read through the Django of the app that `-A` names; nothing is ever written there."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from umbel.control.client_schedules import Reckoner
from umbel.control.schedules import Planned
from umbel.errors import ControlError

PACKAGE: Final = "django_celery_beat"
#: Entries that are read.
ENTRIES: Final = 1_000
_KINDS: Final = ("interval", "crontab", "solar", "clocked")


def django_entries(app: Any, now: float) -> tuple[list[Planned], list[str]]:
    """Its entries by name, and what of them cannot be understood.

    Raises `ControlError` where the app has none, or its database cannot be read.
    """
    # Not imported above: Django is the app's, not ours, and is there only where the app has it.
    if not os.environ.get("DJANGO_SETTINGS_MODULE"):
        raise ControlError("the app sets no DJANGO_SETTINGS_MODULE; set it as for the worker")
    if find_spec(PACKAGE) is None:
        raise ControlError("it is not installed beside Umbel; install Umbel where the app runs")
    django: Any = import_module("django")
    database: Any = import_module("django.db")
    try:
        if not import_module("django.apps").apps.ready:
            django.setup()
        models: Any = import_module(f"{PACKAGE}.models")
        rows = list(models.PeriodicTask.objects.select_related(*_KINDS).order_by("name")[:ENTRIES])
        return _planned(rows, Reckoner(app, now))
    except Exception as error:
        # The app's settings and its database driver can raise anything.
        raise ControlError(f"{type(error).__name__}: {error}") from error
    finally:
        # The threads of a pool come and go; each had a connection of its own.
        database.connections.close_all()


def _planned(rows: list[Any], reckoner: Reckoner) -> tuple[list[Planned], list[str]]:
    found, problems = [], []
    for row in rows:
        try:
            found.append(_entry(row, reckoner))
        except Exception as error:  # noqa: BLE001 - people write these rows, and schedules of theirs raise anything
            problems.append(f"the entry {row.name!r} of django-celery-beat cannot be understood: {error!r}")
    return found, problems


def _entry(row: Any, reckoner: Reckoner) -> Planned:
    told = {"task": row.task, "args": json.loads(row.args or "[]"), "kwargs": json.loads(row.kwargs or "{}")}
    if row.clocked is not None:
        at = row.clocked.clocked_time.timestamp()
        ahead = at > reckoner.now
        made = replace(
            reckoner.untimed(row.name, "Django", told),
            when="once",
            dues=() if ahead else (at,),
            next_at=at if ahead else None,
        )
    else:
        made = reckoner.planned(row.name, "Django", row.schedule, told)
    ran_at = row.last_run_at.timestamp() if row.last_run_at else None
    return replace(made, last_run_at=ran_at, enabled=bool(row.enabled))
