"""What a worker's slots ran: packed into as few lanes as the runs need."""

from __future__ import annotations

import pytest

from tests.web.events import T, online
from tests.web.stage import Stage
from umbel.access.identity import EVERYBODY
from umbel.model.event import AnyEvent, TaskReceived, TaskStarted, TaskSucceeded, WorkerOffline
from umbel.web.pages import worker
from umbel.web.pages.slots import LANES, LENGTH, RUNS, Slots

NAME = "w1@shop"


@pytest.fixture(autouse=True)
def now(stage: Stage) -> float:
    stage.clock.step(T + LENGTH - stage.clock.now())
    stage.well()
    return stage.clock.now()


def run(id_: str, start: float, end: float | None) -> list[AnyEvent]:
    events: list[AnyEvent] = [
        TaskReceived(hostname=NAME, pid=7, timestamp=T + start, uuid=id_, name="shop.pay"),
        TaskStarted(hostname=NAME, pid=7, timestamp=T + start, uuid=id_),
    ]
    if end is not None:
        events.append(TaskSucceeded(hostname=NAME, pid=7, timestamp=T + end, uuid=id_, runtime=end - start))
    return events


def drawn(stage: Stage) -> Slots:
    found = worker.load(stage.deps(), NAME, EVERYBODY).slots
    assert found is not None
    return found


def test_runs_at_once_lie_in_lanes_of_their_own_and_a_free_lane_is_used_again(stage: Stage) -> None:
    stage.commit([online(at=T), *run("a", 100, 200), *run("b", 150, 300), *run("c", 200, 250), *run("d", 600, None)])
    found = drawn(stage)
    assert [[slot.task.id for slot in lane] for lane in found.lanes] == [["a", "c", "d"], ["b"]]
    assert found.busy == pytest.approx((100 + 150 + 50 + 300) / (2 * LENGTH))
    assert [(moment.x, moment.text) for moment in found.moments] == [(0.0, "process 7 began")]
    with stage.client() as client:
        page = client.get(f"/workers/{NAME}").text
    assert "2 in use at once" in page
    assert "up 15 m 00 s" in page


def test_a_worker_that_is_gone_runs_nothing_any_more(stage: Stage) -> None:
    goodbye = WorkerOffline(hostname=NAME, timestamp=T + 500, pid=7)
    stage.commit([online(at=T), *run("a", 100, 200), *run("lost", 300, None), goodbye])
    found = drawn(stage)
    assert [[slot.task.id for slot in lane] for lane in found.lanes] == [["a"]]
    assert [moment.text for moment in found.moments] == ["process 7 began", "process 7 said that it stops"]


def test_lanes_and_runs_are_bounded_and_what_is_left_out_is_said(stage: Stage) -> None:
    stage.commit(event for n in range(LANES + 5) for event in run(f"r{n}", 100 + n / 100, 800))
    found = drawn(stage)
    assert (len(found.lanes), found.left_out) == (LANES, 5)


def test_where_there_are_too_many_runs_the_axis_begins_with_those_that_are_drawn(stage: Stage) -> None:
    stage.commit(event for n in range(RUNS + 100) for event in run(f"r{n:04}", n, n + 0.5))
    found = drawn(stage)
    assert sum(map(len, found.lanes)) == RUNS
    assert found.start == T + 100
    assert len(found.lanes) == 1


@pytest.mark.parametrize(("age", "drawn_from"), [(400, 400), (20, 60)])
def test_a_worker_that_is_young_was_not_idle_before_it_began(stage: Stage, age: int, drawn_from: int) -> None:
    born = LENGTH - age
    stage.commit([online(at=T + born), *run("a", born + 5, born + 15)])
    found = drawn(stage)
    assert found.start == T + LENGTH - drawn_from
    assert found.busy == pytest.approx(10 / drawn_from)


def test_nothing_is_drawn_where_nothing_ran(stage: Stage) -> None:
    stage.commit([online(at=T)])
    assert worker.load(stage.deps(), NAME, EVERYBODY).slots is None
