"""The page and the API route of schedules, on the real store."""

from __future__ import annotations

import pytest

from tests.web.events import T
from tests.web.stage import Stage
from umbel.control.schedules import Plan, Planned
from umbel.model.event import AnyEvent, EventClass, TaskReceived
from umbel.model.ledger import LedgerEntry, Reason
from umbel.web.pages import schedules


@pytest.fixture(autouse=True)
def now(stage: Stage) -> float:
    stage.clock.step(T + 3_600 - stage.clock.now())
    stage.well()
    return stage.clock.now()


def ran(id_: str, at: float, task: str = "shop.sync", args: str = "()") -> AnyEvent:
    return TaskReceived(hostname="w@a", pid=7, timestamp=T + at, uuid=id_, name=task, args=args, kwargs="{}")


def plan(*items: Planned, problems: tuple[str, ...] = ()) -> Plan:
    return Plan(items, ("beat_schedule of proj",), problems)


HOURLY = Planned("hourly", "shop.sync", "app", "0 * * * *", None, (T + 1_200, T + 2_400), T + 6_000, None, "()", "{}")
TICK = Planned("tick", "shop.tick", "app", "every 5 m", 300.0, args="()", kwargs="{}")


def test_missed_and_late_entries_come_first_with_what_was_missed(stage: Stage) -> None:
    stage.commit([ran("a", 0), ran("b", 2_405), *(ran(f"t{n}", 300 * n, "shop.tick") for n in range(12))])
    stage.plan = lambda now: plan(TICK, HOURLY)
    rows = schedules.load(stage.deps()).rows
    assert [(row.planned.name, row.verdict.state.value) for row in rows] == [("hourly", "missed"), ("tick", "on time")]
    assert rows[0].verdict.missed == (T + 1_200,)
    with stage.client() as client:
        page = client.get("/schedules").text
        answer = client.get("/api/v1/schedules").json()
    assert "0 * * * *" in page
    assert "1 of 2" in page
    assert [item["state"] for item in answer["items"]] == ["missed", "on time"]
    assert answer["items"][1]["last_task_id"] == "t11"
    assert answer["items"][1]["next_run_at"] == "2025-06-15T16:06:40.000000Z"


def test_nothing_is_missed_while_events_were_lost_or_before_the_history_begins(stage: Stage) -> None:
    lost = LedgerEntry(Reason.DISCONNECTED, EventClass.UNKNOWN, T + 1_100, T + 1_300, 5)
    stage.commit([ran("a", 0), ran("b", 2_401)], ledger=[lost])
    stage.plan = lambda now: plan(HOURLY)
    (row,) = schedules.load(stage.deps()).rows
    assert (row.verdict.state.value, row.verdict.missed, row.verdict.judged) == ("on time", (), 1)


def test_entries_of_one_task_are_told_apart_by_their_arguments(stage: Stage) -> None:
    stage.commit([ran("start", 0, "other"), ran("one", 3_400, args="(1,)")])
    one = Planned("one", "shop.sync", "app", "every 5 m", 300.0, args="(1,)", kwargs="{}")
    two = Planned("two", "shop.sync", "app", "every 5 m", 300.0, args="(2,)", kwargs="{}")
    stage.plan = lambda now: plan(one, two)
    found = {row.planned.name: row.verdict.state.value for row in schedules.load(stage.deps()).rows}
    assert found == {"one": "on time", "two": "unseen"}


def test_an_empty_page_says_why_and_a_problem_is_shown(stage: Stage) -> None:
    stage.commit([ran("a", 0)])
    with stage.client() as client:
        assert "No schedule can be read" in client.get("/schedules").text
    stage.plan = lambda now: plan(problems=("-A proj: no module",))
    with stage.client() as client:
        text = client.get("/schedules").text
    assert "Beat has nothing to run" not in text
    assert "cannot be read just now" in text
    assert "-A proj: no module" in text
    stage.plan = lambda now: plan()
    with stage.client() as client:
        assert "Beat has nothing to run" in client.get("/schedules").text
