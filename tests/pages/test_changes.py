"""What the overview calls changed, and what it does not."""

from __future__ import annotations

import pytest

from tests.web.events import heartbeat, online
from tests.web.stage import Stage
from umbel.model.event import AnyEvent, TaskFailed, TaskReceived, TaskStarted, TaskSucceeded, WorkerOffline
from umbel.web.pages import overview, tasks
from umbel.web.pages.changes import ENOUGH, PAST, Change
from umbel.web.pages.spans import SPANS

NAME = "shop.charge"


def runs(
    now: float, count: int, seconds: float, *, failed: int = 0, exception: str = "KeyError('x')"
) -> list[AnyEvent]:
    """Tasks that ended in the minutes before `now`; the first ones failed."""
    found: list[AnyEvent] = []
    for n in range(count):
        id_, at = f"{now}-{n}", now - 300 - n
        found.append(TaskReceived(hostname="w1@shop", timestamp=at, pid=7, uuid=id_, name=NAME))
        found.append(TaskStarted(hostname="w1@shop", timestamp=at, pid=7, uuid=id_))
        end = at + seconds
        if n < failed:
            found.append(TaskFailed(hostname="w1@shop", timestamp=end, pid=7, uuid=id_, exception=exception))
        else:
            found.append(TaskSucceeded(hostname="w1@shop", timestamp=end, pid=7, uuid=id_, runtime=seconds))
    return found


def found(stage: Stage) -> list[Change]:
    return list(overview.changed(stage.deps(), SPANS["1h"]).found)


@pytest.fixture
def stage(stage: Stage) -> Stage:
    """The clock stands at a day and more after the epoch of the tests, all is well."""
    stage.clock.step(1_750_000_000.0 - stage.clock.now())
    stage.well()
    return stage


def day(stage: Stage) -> float:
    stage.clock.advance(PAST / 2)
    return stage.clock.now()


def test_a_failure_never_seen_before_is_new_and_leads_to_its_tasks(stage: Stage) -> None:
    stage.commit(runs(stage.clock.now(), 5, 0.1, failed=1))
    stage.commit(runs(day(stage), 5, 0.1, failed=2, exception="ValueError('y')"))
    (change,) = found(stage)
    assert (change.kind, change.subject) == ("new", f"ValueError in {NAME}")
    assert change.detail.startswith("2 times")
    listed = tasks.load(stage.deps(), change.query).rows
    assert {row.task.exception for row in listed} == {"ValueError('y')"}


def test_what_failed_the_day_before_as_well_is_not_new(stage: Stage) -> None:
    stage.commit(runs(stage.clock.now(), 5, 0.1, failed=2))
    stage.commit(runs(day(stage), 5, 0.1, failed=2))
    assert found(stage) == []


def test_a_name_twice_as_slow_is_named_and_one_a_little_slower_is_not(stage: Stage) -> None:
    stage.commit(runs(stage.clock.now(), ENOUGH, 1.0))
    stage.commit(runs(day(stage), ENOUGH, 1.5))
    assert found(stage) == []
    stage.commit(runs(stage.clock.now() + 60, ENOUGH, 3.0))
    (change,) = found(stage)
    assert (change.kind, change.subject, change.path) == ("slower", NAME, f"/names/{NAME}")


def test_too_few_runs_say_nothing(stage: Stage) -> None:
    stage.commit(runs(stage.clock.now(), ENOUGH - 1, 1.0))
    stage.commit(runs(day(stage), ENOUGH, 9.0))
    assert found(stage) == []


def test_a_name_that_fails_more_often_than_it_used_to_is_named(stage: Stage) -> None:
    stage.commit(runs(stage.clock.now(), 100, 0.1, failed=2))
    stage.commit(runs(day(stage), 100, 0.1, failed=30))
    (change,) = found(stage)
    assert (change.kind, change.subject) == ("failing", NAME)
    assert "30.0 % of it fails, was 2.0 %" in change.detail
    assert len(tasks.load(stage.deps(), change.query).rows) == 30


def test_a_worker_that_fell_silent_is_gone_and_one_that_said_goodbye_is_not(stage: Stage) -> None:
    now = stage.clock.now()
    stage.commit([online("lost@a", now), heartbeat("lost@a", now), online("off@a", now), heartbeat("off@a", now)])
    stage.commit([WorkerOffline(hostname="off@a", timestamp=now + 1, pid=7)])
    assert found(stage) == []
    stage.clock.advance(600)
    assert [(change.kind, change.subject) for change in found(stage)] == [("gone", "lost@a")]
    stage.clock.advance(7_200)
    assert found(stage) == []


def test_many_workers_that_fell_silent_are_one_change(stage: Stage) -> None:
    now = stage.clock.now()
    stage.commit([event for n in range(5) for event in (online(f"w{n}@a", now), heartbeat(f"w{n}@a", now))])
    stage.clock.advance(600)
    (change,) = found(stage)
    assert (change.subject, change.detail) == ("5 workers", "w0@a, w1@a and 3 more are silent")


def test_without_a_day_before_nothing_is_called_new(stage: Stage) -> None:
    stage.commit(runs(stage.clock.now(), 5, 0.1, failed=1))
    changes = overview.changed(stage.deps(), SPANS["1h"])
    assert (changes.found, changes.compared) == ([], False)


def test_the_same_hour_yesterday_stands_beside_the_figures(stage: Stage) -> None:
    stage.commit(runs(stage.clock.now(), 10, 0.1, failed=1))
    assert overview.load(stage.deps()).yesterday is None
    stage.clock.advance(PAST)
    stage.commit(runs(stage.clock.now(), 25, 0.1, failed=3))
    yesterday = overview.load(stage.deps()).yesterday
    assert yesterday is not None
    assert (yesterday.ended, yesterday.failed, yesterday.ended_ratio, yesterday.failed_ratio) == (10, 1, 2.5, 3.0)
    stage.well()
    with stage.client() as client:
        assert "▲ 150 %" in client.get("/").text
