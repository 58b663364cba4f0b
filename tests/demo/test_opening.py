"""The shop opens when somebody listens; its beat keeps to the plan but for the entry that it is to forget."""

from __future__ import annotations

import itertools

from celery.beat import ScheduleEntry
from celery.schedules import schedule

from umbel.clock import ManualClock
from umbel.demo.beat import FORGOTTEN, RUNS, Forgetful
from umbel.demo.opening import await_audience
from umbel.demo.shop import app


def test_it_opens_at_once_when_somebody_listens_and_not_before() -> None:
    clock = ManualClock()
    looks = itertools.count()
    assert await_audience(lambda: int(next(looks) >= 3), 30.0, clock)
    assert next(looks) == 4


def test_it_opens_without_anybody_after_the_time_given() -> None:
    clock = ManualClock()
    begun = clock.monotonic()
    assert not await_audience(lambda: 0, 2.0, clock)
    assert 2.0 <= clock.monotonic() - begun < 2.2


def test_every_entry_of_its_beat_is_a_task_of_the_shop() -> None:
    entries = app.conf.beat_schedule
    assert {entry["task"] for entry in entries.values()} <= app.tasks.keys()
    assert FORGOTTEN in entries


def test_beat_forgets_one_entry_after_some_runs_and_no_other() -> None:
    beat = Forgetful(app, lazy=True)

    def due(name: str, runs: int) -> bool:
        return bool(beat.is_due(ScheduleEntry(name, "shop.x", None, runs, schedule(0.0), app=app))[0])

    assert due(FORGOTTEN, RUNS - 1)
    assert not due(FORGOTTEN, RUNS)
    assert due("count visitors", RUNS)
