"""What each page reads and shows, on the real store."""

from __future__ import annotations

import re

import pytest

from tests.web.events import T, failure, heartbeat, online, received, sent, started, success
from tests.web.stage import Stage, Unreadable
from umbel import status
from umbel.clock import ManualClock
from umbel.model.event import TaskReceived, WorkerOffline
from umbel.model.ledger import Quarantined, Reason
from umbel.model.task import State
from umbel.stores.sqlite import SqliteReader, SqliteWriter
from umbel.web.measured import Pool
from umbel.web.pages import ingest, overview, tasks, workers
from umbel.web.pages.stages import stages


@pytest.fixture
def now(stage: Stage) -> float:
    """A minute after what the events say."""
    stage.clock.step(T + 60 - stage.clock.now())
    stage.well()
    return stage.clock.now()


def test_kept_rows_stay_in_their_order_and_newer_ones_are_counted(stage: Stage, now: float) -> None:
    for n in range(5):
        stage.commit(success(f"t{n}"))
    shown = ["t2", "t1", "t0"]
    context = tasks.load(stage.deps(), since=shown)
    assert [row.task.id for row in context.rows] == shown
    assert (context.new.n, context.new.capped) == (2, False)


def test_a_kept_row_that_no_longer_matches_stays(stage: Stage, now: float) -> None:
    stage.commit([received("t0")])
    stage.commit(success("t0"))
    context = tasks.load(stage.deps(), state="RECEIVED", since=["t0"])
    assert [row.task.state for row in context.rows] == [State.SUCCESS]
    assert context.new.n == 0


def test_new_tasks_are_counted_up_to_a_bound(stage: Stage, now: float) -> None:
    stage.commit(success("old"))
    stage.commit(event for n in range(tasks.NEW + 5) for event in success(f"n{n}"))
    context = tasks.load(stage.deps(), since=["old"])
    assert (context.new.n, context.new.capped) == (tasks.NEW, True)


def test_states_are_toggled_one_by_one(stage: Stage, now: float) -> None:
    stage.commit([*success("good"), *failure("bad"), received("open")])
    context = tasks.load(stage.deps(), state="FAILURE,RECEIVED,NONSENSE")
    assert {row.task.id for row in context.rows} == {"bad", "open"}
    assert context.chips is not None
    assert context.chips.toggled[State.FAILURE] == "RECEIVED"
    assert context.chips.toggled[State.SUCCESS] == "FAILURE,RECEIVED,SUCCESS"


def test_a_mistake_is_shown_where_it_is(stage: Stage, now: float) -> None:
    problem = tasks.load(stage.deps(), "name:a run:>x").problem
    assert problem is not None
    assert (problem.before, problem.at, problem.after) == ("name:a run:>", "x", "")


def test_a_cursor_that_is_none_says_so(stage: Stage, now: float) -> None:
    stage.commit(success("t"))
    with stage.client() as client:
        answer = client.get("/tasks?cursor=nonsense")
    assert answer.status_code == 400
    assert "This place in the list is not known" in answer.text


class Hurried(ManualClock):
    """A second passes whenever somebody looks: every search runs out of time."""

    def monotonic(self) -> float:
        self.advance(1)
        return super().monotonic()


def test_a_search_that_takes_long_shows_how_far_it_has_come_and_goes_on(stage: Stage, now: float) -> None:
    stage._writer = SqliteWriter(stage.directory / "umbel.db", clock=stage.clock, segment_tasks=2)
    stage._writer.open()
    for n in range(12):
        stage.commit(success(f"t{n}"))
    clock = Hurried()
    clock.step(now - clock.now())
    stage.clock, stage.reader = clock, SqliteReader(stage.directory / "umbel.db", clock=clock)
    try:
        context = tasks.load(stage.deps(), "args:nowhere")
        assert (context.complete, context.count, context.rows) == (False, None, [])
        assert context.next
        stage.well()
        with stage.client() as client:
            text = client.get("/tasks?q=args:nowhere").text
        assert "Go on searching" in text
        assert ("searched back to" in text) == (context.covered_since is not None)
    finally:
        stage.reader.close()


def test_what_is_late_leaves_out_what_is_not_due(stage: Stage, now: float) -> None:
    later = TaskReceived(hostname="w1@shop", timestamp=T, pid=7, uuid="later", name="x", eta="2999-01-01T00:00:00")
    stage.commit([sent("waiting", T - 100), later, received("running", T), started("running", T + 1)])
    context = overview.load(stage.deps())
    assert [late.task.id for late in context.waiting] == ["waiting"]
    assert [late.task.id for late in context.running] == ["running"]


def test_a_task_whose_worker_is_gone_is_marked(stage: Stage, now: float) -> None:
    stage.commit([online(), heartbeat(at=now), received("a"), started("a")])
    assert [late.orphaned for late in overview.load(stage.deps()).running] == [False]
    stage.clock.advance(3_600)
    assert [late.orphaned for late in overview.load(stage.deps()).running] == [True]


def test_failures_lead_to_a_search_that_finds_them(stage: Stage, now: float) -> None:
    stage.commit([*failure("f1"), *failure("f2"), *success("s")])
    context = overview.load(stage.deps())
    assert [(failed.count.exception_type, failed.count.count) for failed in context.failures] == [("ValueError", 2)]
    found = tasks.load(stage.deps(), context.failures[0].query, "FAILURE")
    assert {row.task.id for row in found.rows} == {"f1", "f2"}
    assert context.failure_share == pytest.approx(2 / 3)


def test_workers_are_online_offline_or_lost(stage: Stage, now: float) -> None:
    stage.commit([online("lost@a", T), online("off@a", T), WorkerOffline(hostname="off@a", timestamp=T + 1, pid=7)])
    stage.clock.advance(60)
    stage.commit([online("on@a", T + 60), heartbeat("on@a", T + 61)])
    context = workers.load(stage.deps())
    assert [(row.worker.hostname, row.state) for row in context.rows] == [
        ("on@a", "online"),
        ("lost@a", "lost"),
        ("off@a", "offline"),
    ]
    assert [row.worker.hostname for row in workers.load(stage.deps(), "gone").rows] == ["lost@a", "off@a"]


def test_workers_that_told_of_their_pools_have_slots_and_those_that_are_gone_none(stage: Stage, now: float) -> None:
    stage.commit([online("gone@a", T)])
    stage.clock.advance(60)
    stage.commit([online(name, T + 60) for name in ("a@a", "b@a", "c@a")])
    pools = {"a@a": Pool(4, 16), "b@a": Pool(8, 0), "gone@a": Pool(100, 400)}
    context = workers.load(stage.deps(), "", pools)
    assert {row.worker.hostname: row.pool for row in context.rows} == {
        "a@a": Pool(4, 16), "b@a": Pool(8, 0), "c@a": None, "gone@a": None
    }  # fmt: skip
    assert context.slots == 12


def test_restarts_are_counted_by_name_and_the_newest_process_is_shown(stage: Stage, now: float) -> None:
    stage.commit([online(pid=7)])
    stage.clock.advance(30)
    stage.commit([online(pid=8, at=T + 90)])
    (row,) = workers.load(stage.deps()).rows
    assert (row.worker.pid, row.restarts) == (8, 1)


def test_a_worker_that_runs_tasks_and_tells_nothing_of_them_is_named(stage: Stage, now: float) -> None:
    stage.commit([online(), heartbeat()])
    context = workers.load(stage.deps())
    assert context.silent == 1
    stage.commit([received("t")])
    assert workers.load(stage.deps()).silent == 0


def test_poison_is_shown_as_text(stage: Stage, now: float) -> None:
    raw = b"\x00<b>\xff\xe2\x80\xae" + b"x" * ingest.RAW
    stage.commit(quarantine=[Quarantined(now, Reason.MALFORMED, "no", "json", raw)])
    (poison,) = ingest.load(stage.deps()).quarantine
    assert poison.text.startswith("\\x00<b>\\xff\\u202e")
    assert poison.cut
    with stage.client() as client:
        assert "&lt;b&gt;" in client.get("/ingest").text


def test_ingest_answers_while_the_store_cannot_be_read(stage: Stage, now: float) -> None:
    stage.reader = Unreadable()
    with stage.client() as client:
        answer = client.get("/ingest")
    assert answer.status_code == 200
    assert "disk I/O error" in answer.text
    assert "What you see may be old" not in answer.text


def test_where_the_broker_holds_the_events_no_spool_is_missed(stage: Stage, now: float) -> None:
    stage.parts = ("collect",)
    stage.statuses.clear()
    stage.says("collect", {status.CONNECTED: 1.0, status.BACKLOG: 0.0})
    deps = stage.deps()
    found = {stage.name: stage for stage in stages(deps.pipeline(), deps.readiness(), now)}
    assert found["Receiver"].value == "Not needed"
    assert found["Spool"].value == "Not needed"
    assert found["Collector"].level == "ok"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/tasks",
        "/tasks/t",
        "/names",
        "/names/shop.pay",
        "/errors",
        "/queues",
        "/storage",
        "/workers",
        "/workers/w1@shop",
        "/inspect/w1@shop",
        "/control/shutdown?destination=w1@shop",
        "/audit",
        "/ingest",
    ],
)
def test_no_page_needs_inline_script_or_style(stage: Stage, now: float, path: str) -> None:
    stage.commit([*failure("t"), online(), heartbeat()])
    with stage.client() as client:
        text = client.get(path).text
    assert not re.search(r"\sstyle=|<style|\son\w+=|hx-on|javascript:", text)
    assert all('src="' in tag or 'type="application/json"' in tag for tag in re.findall(r"<script[^>]*>", text))


def test_many_browsers_cost_one_computation(stage: Stage, now: float) -> None:
    stage.commit(success("t1"))
    with stage.client() as client:
        first = client.get("/").text
        stage.commit(success("t2"))
        assert client.get("/").text == first
        stage.clock.advance(1)
        assert client.get("/").text != first


def test_an_unknown_task_is_404_and_a_slash_in_an_id_is_no_path(stage: Stage, now: float) -> None:
    stage.commit(success("a/b?c"))
    with stage.client() as client:
        assert client.get("/tasks/nope").status_code == 404
        assert client.get("/tasks/a%2Fb%3Fc").status_code == 200
        assert "/tasks/a%2Fb%3Fc" in client.get("/tasks").text
