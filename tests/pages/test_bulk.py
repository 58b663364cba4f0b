"""What is done to many tasks: counted first, done to those that it can be done to, followed, written down as one."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.pages.agreeing import Backend, Workers
from tests.web.events import T, heartbeat, online, received, started, success
from tests.web.stage import Stage
from umbel.control.commands import Revoke, Terminate
from umbel.stores.sqlite.audit import SqliteAudit
from umbel.web import bulk

WAITING = [f"q{n}" for n in range(250)]


@pytest.fixture
def workers(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Workers:
    monkeypatch.setattr(bulk, "PAUSE", 0.0)
    stage.clock.step(T + 60 - stage.clock.now())
    stage.well()
    stage.settings = replace(stage.settings, broker="redis://localhost:1/0")
    stage.control = made = Workers()
    stage.audit = SqliteAudit(stage.directory / "audit.db", stage.clock)
    running = [received("run"), started("run")]
    waiting = [received(id_, T + n / 1000) for n, id_ in enumerate(WAITING)]
    stage.commit([online(), heartbeat(), *waiting, *running, *success("done")])
    return made


def ended(client: TestClient, place: str) -> str:
    """The page of a bulk that has ended."""
    deadline = time.monotonic() + 60
    while "data-every" in (text := client.get(place).text):
        assert time.monotonic() < deadline, text
        time.sleep(0.02)
    return text


def begin(client: TestClient, data: Any) -> str:
    begun = client.post("/bulk", data={**data, "sure": "yes"}, follow_redirects=False)
    assert begun.status_code == 303
    place: str = begun.headers["location"]
    return place


def test_a_search_is_counted_before_anything_happens(stage: Stage, workers: Workers) -> None:
    with stage.client() as client:
        text = client.post("/bulk", data={"act_all": "revoke", "q": "name:shop.pay"}).text
    assert "Revoke 250 tasks?" in text
    assert "<b>252</b> found" in text
    assert workers.sent == []


def test_all_of_a_search_goes_out_in_batches_and_is_written_down_as_one(stage: Stage, workers: Workers) -> None:
    with stage.client() as client:
        text = ended(client, begin(client, {"act_all": "revoke", "q": "name:shop.pay"}))
        trail = client.get("/audit").text
    assert "250 of 250" in text
    assert "3 times" in text
    told = [id_ for command in workers.sent if isinstance(command, Revoke) for id_ in command.task_ids]
    assert sorted(told) == sorted(WAITING)
    assert [len(command.task_ids) for command in workers.sent if isinstance(command, Revoke)] == [100, 100, 50]
    assert trail.count("<tr id=") == 1
    assert "250 of 250 tasks" in trail


def test_of_ticked_rows_only_those_are_touched_that_it_can_be_done_to(stage: Stage, workers: Workers) -> None:
    ticked = {"act": "terminate", "task_ids": ["run", "done", "q1", "nowhere"], "q": ""}
    with stage.client() as client:
        assert "Terminate 1 task?" in client.post("/bulk", data=ticked).text
        ended(client, begin(client, ticked))
    assert workers.sent == [Terminate(task_ids=("run",))]


def test_more_than_the_bound_is_said_and_left(stage: Stage, workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MOST", 120)
    monkeypatch.setattr("umbel.web.pages.bulk.MOST", 120)
    with stage.client() as client:
        question = client.post("/bulk", data={"act_all": "revoke", "q": ""}).text
        assert "Revoke 120+ tasks?" in question
        assert "the newest 120 are taken" in question
        assert "120 of 120" in ended(client, begin(client, {"act_all": "revoke", "q": ""}))


def test_a_bulk_may_be_stopped_and_says_so(stage: Stage, workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "PAUSE", 3600.0)
    with stage.client() as client:
        place = begin(client, {"act_all": "revoke", "q": ""})
        client.post(f"{place}/stop")
        assert "stopped" in ended(client, place)
        assert "the rest was left" in client.get("/audit").text
    assert len(workers.sent) <= 1


def test_no_more_run_at_once_than_are_allowed(stage: Stage, workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "PAUSE", 3600.0)
    with stage.client() as client:
        for _ in range(bulk.UNDER_WAY):
            begin(client, {"act_all": "revoke", "q": ""})
        refused = client.post("/bulk", data={"act_all": "revoke", "q": "", "sure": "yes"})
        assert refused.status_code == 503
    # The server has ended: none of them goes on.
    bulks = stage.served.state.bulks  # type: ignore[union-attr]  # it was served
    deadline = time.monotonic() + 60
    while any(run.ended_at is None for run in bulks.all()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_broker_that_is_away_ends_it_with_the_reason(stage: Stage, workers: Workers) -> None:
    workers.away = True
    with stage.client() as client:
        text = ended(client, begin(client, {"act_all": "revoke", "q": ""}))
        assert "connection refused" in text
        assert "connection refused" in client.get("/audit").text


def test_a_rehearsal_says_what_is_skipped_and_why_and_sends_nothing(stage: Stage, workers: Workers) -> None:
    stage.runs = backend = Backend(["done"])
    stage.commit([*success("forgotten")])
    with stage.client() as client:
        text = client.post("/bulk", data={"act_all": "run_again", "q": "name:shop.pay"}).text
    assert "Run again 2 tasks?" in text
    would = text[text.index('id="would"') :]
    assert "1 times: with the arguments that the result backend tells" in would
    assert "1 times: the result backend does not tell them" in would
    assert backend.sent == []


def test_what_is_run_again_is_sent_at_a_pace_linked_and_written_down_as_one(stage: Stage, workers: Workers) -> None:
    done = [f"d{n}" for n in range(12)]
    stage.runs = backend = Backend(done)
    stage.commit([event for id_ in done for event in success(id_)])
    with stage.client() as client:
        text = ended(client, begin(client, {"act": "run_again", "task_ids": [*done, "q1", "done"], "rate": "100"}))
        trail = client.get("/audit").text
        assert (
            client.post("/bulk", data={"act": "run_again", "task_ids": "d1", "sure": "yes", "rate": "0"}).status_code
            == 400
        )
    assert "13 of 13" in text
    assert "100 tasks a second at most" in text
    assert sorted(one.parent_id for one in backend.sent) == sorted(done)
    assert stage.audit is not None
    later = stage.deps().notes.later_runs("d3", 10)
    assert set(later) == {one.task_id for one in backend.sent if one.parent_id == "d3"}
    assert "12 times: with the arguments that the result backend tells" in trail
    assert "1 times: the result backend does not tell them" in trail
    assert trail.count("<tr id=") == 1


def test_a_broker_that_takes_no_task_ends_it_with_the_rest_left(stage: Stage, workers: Workers) -> None:
    stage.runs = backend = Backend(["done"])
    backend.refuses = "the broker is away"
    stage.commit([*success("later")])
    with stage.client() as client:
        text = ended(client, begin(client, {"act_all": "run_again", "q": "id:done", "rate": "100"}))
    assert "the broker is away" in text
    assert "It ended early" in text


def test_who_may_change_nothing_is_refused_and_offered_nothing(stage: Stage, workers: Workers) -> None:
    with stage.client() as client:
        assert 'id="bulk"' in client.get("/tasks").text
    stage.settings = replace(stage.settings, read_only=True)
    with stage.client() as client:
        assert client.post("/bulk", data={"act_all": "revoke", "q": ""}).status_code == 403
        assert client.post("/bulk", data={"act_all": "revoke", "q": "", "sure": "yes"}).status_code == 403
        assert 'id="bulk"' not in client.get("/tasks").text
    assert workers.sent == []


@pytest.mark.parametrize(
    ("data", "status"),
    [({"act": "revoke"}, 400), ({"act_all": "explode"}, 404), ({"act_all": "revoke", "q": 'name:"'}, 400)],
)
def test_a_wrong_form_is_told_what_is_wrong(stage: Stage, workers: Workers, data: dict[str, str], status: int) -> None:
    with stage.client() as client:
        assert client.post("/bulk", data=data).status_code == status
        assert client.get("/bulk/unknown").status_code == 404
