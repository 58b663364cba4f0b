"""Celery's own schedules as data: when they were due, and are."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from celery.schedules import BaseSchedule, crontab

from tests.services import RedisServer
from umbel.control.client_schedules import DUES, Reckoner
from umbel.runtime.schedules import BeatPlans
from umbel.settings import Settings

#: A Wednesday.
NOW = datetime(2026, 11, 25, 10, 30, tzinfo=UTC).timestamp()
#: As celery-redbeat 2 writes them.
NIGHTLY = {
    "name": "nightly",
    "task": "shop.reports.nightly",
    "args": [1],
    "kwargs": {"a": "b"},
    "options": {},
    "schedule": {
        "__type__": "crontab",
        "minute": "5",
        "hour": "4",
        "day_of_week": "*",
        "day_of_month": "*",
        "month_of_year": "*",
    },
    "enabled": True,
}
TICK = {
    "name": "tick",
    "task": "shop.stock.sync",
    "args": None,
    "kwargs": {},
    "options": {},
    "schedule": {"__type__": "interval", "every": 30.0, "relative": False},
    "enabled": False,
}
RAN = {"__type__": "datetime", "year": 2026, "month": 11, "day": 24, "hour": 4, "minute": 5, "second": 1}


class Odd(BaseSchedule):  # type: ignore[misc]  # Celery has no types
    """A schedule of the application's own that fails."""

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        raise RuntimeError("no almanac")


def app(zone: str = "UTC", **entries: object) -> Celery:
    made = Celery("plan", broker="memory://", set_as_current=False)
    made.conf.update(timezone=zone, beat_schedule=entries)
    return made


def times(moments: tuple[float, ...]) -> list[str]:
    return [datetime.fromtimestamp(at, UTC).strftime("%d %H:%M") for at in moments]


def test_a_crontab_tells_when_it_was_due_in_the_zone_of_the_app() -> None:
    entry = {"task": "shop.nightly", "schedule": crontab(minute=0, hour="8,20"), "args": (7,), "kwargs": {"dry": True}}
    for zone, expected in (
        ("UTC", ["23 20:00", "24 08:00", "24 20:00", "25 08:00"]),
        ("Europe/Berlin", ["23 19:00", "24 07:00", "24 19:00", "25 07:00"]),
    ):
        with closing(app(zone, nightly=entry)) as made:
            (planned,), problems = Reckoner(made, NOW).of_app()
        assert problems == []
        assert times(planned.dues)[-4:] == expected
        assert planned.next_at is not None
        assert planned.next_at - planned.dues[-1] == 12 * 3_600
        assert (planned.when, planned.every) == ("0 8,20 * * *", None)
        assert (planned.args, planned.kwargs) == ("(7,)", "{'dry': True}")


def test_due_times_are_bounded_and_ascend() -> None:
    with closing(app(often={"task": "t", "schedule": crontab()})) as made:
        (planned,), _ = Reckoner(made, NOW).of_app()
    assert len(planned.dues) <= DUES
    assert list(planned.dues) == sorted(set(planned.dues))
    assert planned.dues[-1] <= NOW < (planned.next_at or 0)


@pytest.mark.parametrize(
    ("every", "words"), [(30, "every 30 s"), (timedelta(hours=2), "every 2 h"), (0.5, "every 0.5 s")]
)
def test_intervals_are_told_in_words(every: object, words: str) -> None:
    with closing(app(tick={"task": "t", "schedule": every})) as made:
        (planned,), _ = Reckoner(made, NOW).of_app()
    assert planned.when == words
    assert planned.dues == ()


def test_an_entry_that_cannot_be_understood_is_named_and_the_others_are_read() -> None:
    entries: dict[str, Any] = {
        "good": {"task": "t", "schedule": 5},
        "no-task": {"schedule": 5},
        "odd": {"task": "t", "schedule": Odd()},
        "text": {"task": "t", "schedule": "soon"},
    }
    with closing(app(**entries)) as made:
        found, problems = Reckoner(made, NOW).of_app()
    assert [planned.name for planned in found] == ["good"]
    assert [name for name in ("no-task", "odd", "text") if not any(repr(name) in text for text in problems)] == []


def test_redbeats_entries_are_read_from_redis(redis_server: RedisServer) -> None:
    url = redis_server.url.rstrip("/").removesuffix("/0") + "/13"
    with closing(redis.Redis.from_url(url)) as client:
        client.flushdb()
        for entry in (NIGHTLY, TICK):
            meta = {"last_run_at": RAN | {"timezone": "UTC"}} if entry is NIGHTLY else {"last_run_at": 7}
            fields: dict[Any, Any] = {"definition": json.dumps(entry), "meta": json.dumps(meta)}
            client.hset(f"redbeat:{entry['name']}", mapping=fields)
        client.hset("redbeat:broken", mapping={"definition": '{"task": "t", "schedule": {"__type__": "moon"}}'})
        due = {"redbeat:nightly": NOW + 5, "redbeat:tick": NOW + 9, "redbeat:broken": NOW, "redbeat:gone": NOW}
        client.zadd("redbeat::schedule", due)
        plan = BeatPlans(replace(Settings(), broker=url))(NOW)
        client.flushdb()
    nightly, tick = plan.items
    assert (nightly.name, nightly.task, nightly.when) == ("nightly", "shop.reports.nightly", "5 4 * * *")
    assert nightly.last_run_at == datetime(2026, 11, 24, 4, 5, 1, tzinfo=UTC).timestamp()
    assert (nightly.next_at, nightly.args, nightly.kwargs) == (NOW + 5, "(1,)", "{'a': 'b'}")
    assert (tick.when, tick.enabled, tick.last_run_at) == ("every 30 s", False, None)
    assert plan.sources == ["RedBeat's keys on Redis"]
    assert ["'broken'" in problem for problem in plan.problems] == [True]


def test_an_app_is_read_as_celery_finds_it_and_one_that_cannot_be_loaded_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "planned_proj.py").write_text(
        "from celery import Celery\n"
        "app = Celery('planned_proj', broker='memory://', set_as_current=False)\n"
        "app.conf.beat_schedule = {'tick': {'task': 't', 'schedule': 5}}\n"
        "app.conf.beat_scheduler = 'django_celery_beat.schedulers:DatabaseScheduler'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    plan = BeatPlans(replace(Settings(), app="planned_proj"))(NOW)
    assert [planned.name for planned in plan.items] == ["tick"]
    assert "django-celery-beat" in plan.problems[0]
    broken = BeatPlans(replace(Settings(), app="no_such_proj"))(NOW)
    assert broken.items == []
    assert "no_such_proj" in broken.problems[0]


def test_a_redis_that_is_away_is_a_problem_and_no_error() -> None:
    plan = BeatPlans(replace(Settings(), broker="redis://127.0.0.1:1/0"))(NOW)
    assert plan.items == []
    assert len(plan.problems) == 1
