"""django-celery-beat's entries, read through an app's own Django in a process of its own: its settings are global."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SETTINGS = """
import os
SECRET_KEY = "only for this test"
USE_TZ = True
INSTALLED_APPS = ["django_celery_beat"]
MIGRATION_MODULES = {"django_celery_beat": None}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["BEAT_DB"]}}
"""
APP = """
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "beat_settings")
from celery import Celery
app = Celery("beat_proj", broker="memory://")
app.conf.beat_scheduler = "django_celery_beat.schedulers:DatabaseScheduler"
"""
#: A Wednesday, 10:30 UTC.
FILL = """
import os, django
os.environ["DJANGO_SETTINGS_MODULE"] = "beat_settings"
django.setup()
from datetime import UTC, datetime
from django.core.management import call_command
call_command("migrate", run_syncdb=True, verbosity=0)
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask
every = IntervalSchedule.objects.create(every=30, period="seconds")
berlin = CrontabSchedule.objects.create(minute="5", hour="4", timezone="Europe/Berlin")
once = ClockedSchedule.objects.create(clocked_time=datetime(2026, 11, 26, 10, tzinfo=UTC))
PeriodicTask.objects.create(name="tick", task="shop.tick", interval=every, enabled=False)
PeriodicTask.objects.create(name="nightly", task="shop.nightly", crontab=berlin, args="[1]", kwargs='{"a": "b"}',
    last_run_at=datetime(2026, 11, 25, 3, 5, 1, tzinfo=UTC))
PeriodicTask.objects.create(name="release", task="shop.release", clocked=once, one_off=True)
PeriodicTask.objects.create(name="broken", task="shop.broken", interval=every, args="[1")
"""
READ = """
import json, sys
from dataclasses import asdict, replace
from umbel.runtime.schedules import BeatPlans
from umbel.settings import Settings
print(json.dumps(asdict(BeatPlans(replace(Settings(), app="beat_proj"))(1795602600.0))))
"""


def ran(directory: Path, code: str, **more: str) -> str:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(directory), *sys.path]), **more}
    environ.pop("DJANGO_SETTINGS_MODULE", None)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=directory,
        env=environ,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def plan(directory: Path, **more: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(ran(directory, READ, **more))
    return read


def test_its_entries_are_read_in_their_own_zone_and_a_broken_one_is_said(tmp_path: Path) -> None:
    (tmp_path / "beat_settings.py").write_text(SETTINGS)
    (tmp_path / "beat_proj.py").write_text(APP)
    database = str(tmp_path / "beat.sqlite3")
    away = plan(tmp_path, BEAT_DB=database)
    assert away["items"] == []
    assert "no such table" in away["problems"][0]
    ran(tmp_path, FILL, BEAT_DB=database)
    read = plan(tmp_path, BEAT_DB=database)
    nightly, release, tick = read["items"]
    assert (nightly["source"], nightly["when"], nightly["args"]) == ("Django", "5 4 * * *", "(1,)")
    # Five past four in Berlin.
    assert nightly["next_at"] == 1_795_662_300.0
    assert nightly["last_run_at"] == 1_795_575_901.0
    assert (release["when"], release["next_at"]) == ("once", 1_795_687_200.0)
    assert (tick["every"], tick["enabled"]) == (30.0, False)
    assert "django-celery-beat's tables" in read["sources"]
    assert ["'broken'" in problem for problem in read["problems"]] == [True]
