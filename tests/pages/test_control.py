"""Remote control on the pages: asked first, done then, with each worker's answer; in real life: test_control_real."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from tests.pages.agreeing import Workers
from tests.web.events import T, heartbeat, online, received, sent, started, success
from tests.web.stage import Stage
from umbel.control.commands import (
    COMMANDS,
    Command,
    Conf,
    Ping,
    PoolGrow,
    QueryTask,
    Report,
    Revoke,
    RevokeByStampedHeaders,
    Terminate,
)
from umbel.stores.sqlite.audit import SqliteAudit
from umbel.web.pages import inspect
from umbel.web.pages.deeds import DEEDS

W = "w1@shop"
FIELDS = {
    "revoke": {"task_ids": "a"},
    "terminate": {"task_ids": "a"},
    "revoke_by_stamped_headers": {"stamp": "customer", "values": "7"},
    "autoscale": {"min": "1", "max": "3"},
    "add_consumer": {"queue": "mail"},
    "cancel_consumer": {"queue": "mail"},
    "rate_limit": {"task_name": "shop.pay", "rate_limit": "10/s"},
    "time_limit": {"task_name": "shop.pay", "soft": "1.5"},
}


@pytest.fixture
def workers(stage: Stage) -> Workers:
    stage.clock.step(T + 60 - stage.clock.now())
    stage.well()
    stage.settings = replace(stage.settings, broker="redis://localhost:1/0")
    stage.control = made = Workers()
    stage.audit = SqliteAudit(stage.directory / "audit.db", stage.clock)
    stage.commit([online(), heartbeat(), online("w2@shop")])
    return made


def test_nothing_is_done_before_it_is_confirmed(stage: Stage, workers: Workers) -> None:
    with stage.client() as client:
        for answer in (
            client.post("/control/revoke", data={"task_ids": "a"}),
            client.get("/control/revoke?task_ids=a"),
            client.get("/control/revoke?task_ids=a&sure=yes"),
        ):
            assert answer.status_code == 200
            assert "2 workers are told" in answer.text
            assert "the task a" in answer.text
            assert W in answer.text
        assert client.get("/audit").text.count("<tr id=") == 0
    assert workers.sent == []


def test_what_is_confirmed_is_done_answered_and_written_down(stage: Stage, workers: Workers) -> None:
    workers.silent = {"w2@shop"}
    with stage.client() as client:
        question = client.post("/control/terminate", data={"task_ids": "a", "signal": "SIGKILL"}).text
        fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', question))
        text = client.post("/control/terminate", data=fields).text
        assert workers.sent == [Terminate(task_ids=("a",), signal="SIGKILL")]
        assert "1 of 2 workers answered ok" in text
        assert "no answer in time" in text
        assert "&lt;b&gt;done&lt;/b&gt;" in text
        assert 'href="/tasks/a"' in text
        trail = client.get("/audit").text
    assert "terminate" in trail
    assert "by these pages" in trail
    assert "SIGKILL" in trail


def test_tasks_are_revoked_by_their_stamps_at_chosen_workers_once_that_is_confirmed(
    stage: Stage, workers: Workers
) -> None:
    with stage.client() as client:
        form = client.get("/commands").text
        assert re.findall(r"<option>(w\d@shop)", form)[:2] == [W, "w2@shop"]
        assert 'href="/commands"' in client.get("/workers").text
        filled = {"stamp": "customer", "values": "7\r\n eight \r\n\r\n", "terminate": "false", "signal": "SIGTERM"}
        question = client.post("/control/revoke_by_stamped_headers", data={**filled, "destination": W}).text
        assert "stamped with customer = 7 or eight is revoked" in question
        assert "already go on" in question
        assert "1 worker is told" in question
        fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', question))
        assert workers.sent == []
        client.post("/control/revoke_by_stamped_headers", data=fields)
        headers: dict[str, tuple[str, ...]] = {"customer": ("7", "eight")}
        assert workers.sent.pop() == RevokeByStampedHeaders((W,), headers=headers)
        filled |= {"terminate": "true", "signal": "SIGKILL"}
        question = client.post("/control/revoke_by_stamped_headers", data=filled).text
        assert "are sent SIGKILL" in question
        assert "2 workers are told" in question
        client.post("/control/revoke_by_stamped_headers", data={**filled, "sure": "yes"})
        assert workers.sent.pop() == RevokeByStampedHeaders(headers=headers, terminate=True, signal="SIGKILL")
        trail = client.get("/audit").text
    assert "revoke_by_stamped_headers" in trail
    assert "eight" in trail


def test_every_command_of_remote_control_is_on_the_pages() -> None:
    kinds: tuple[type[Command], ...] = (*inspect.QUESTIONS, Conf, Report, QueryTask, Ping)
    questions = {kind.method for kind in kinds}
    # The worker's own clock is among its stats.
    assert set(DEEDS) | questions | {"clock"} == set(COMMANDS)


def test_every_command_says_what_it_does_and_whom_it_touches(stage: Stage, workers: Workers) -> None:
    with stage.client() as client:
        for method in DEEDS:
            fields = {"destination": W, **FIELDS.get(method, {})}
            question = client.post(f"/control/{method}", data=fields)
            assert (question.status_code, "1 worker is told" in question.text) == (200, True), method
            answer = client.post(f"/control/{method}", data={**fields, "sure": "yes"})
            assert answer.status_code == 200, method
            assert not re.search(r"\sstyle=|<style|\son\w+=|hx-on|javascript:", question.text + answer.text)
    assert [(command.method, command.destination) for command in workers.sent] == [(method, (W,)) for method in DEEDS]


def test_another_site_may_not_and_read_only_refuses(stage: Stage, workers: Workers) -> None:
    forms = {f"/control/{method}": {"destination": W, **FIELDS.get(method, {}), "sure": "yes"} for method in DEEDS}
    with stage.client() as client:
        for path, fields in forms.items():
            assert client.post(path, data=fields, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    stage.settings = replace(stage.settings, read_only=True)
    with stage.client() as client:
        for path, fields in forms.items():
            assert client.post(path, data=fields).status_code == 403
            assert client.post(path, data={**fields, "sure": ""}).status_code == 403
            assert client.get(path, params=fields).status_code == 403
    assert workers.sent == []


@pytest.mark.parametrize(
    ("path", "fields", "status", "words"),
    [
        ("revoke", {}, 400, "task_ids"),
        ("pool_grow", {"n": "0", "destination": W}, 400, "n"),
        ("pool_grow", {"n": "many", "destination": W}, 400, "n"),
        ("pool_grow", {"n": "1"}, 400, "name the workers"),
        ("revoke", {"task_ids": "a", "sudo": "yes"}, 400, "sudo"),
        ("clock", {"destination": W}, 404, "no command"),
        ("revoke_by_stamped_headers", {}, 400, "headers"),
        ("revoke_by_stamped_headers", {"stamp": "customer"}, 400, "headers"),
        ("revoke_by_stamped_headers", {"values": "7"}, 400, "headers"),
        ("revoke_by_stamped_headers", {"stamp": "customer", "values": "7", "terminate": "maybe"}, 400, "terminate"),
        ("revoke", {"task_ids": ["a"] * 300}, 400, "fields"),
        ("revoke", {"task_ids": "a" * 70_000}, 413, "longer"),
    ],
)
def test_a_wrong_form_is_refused_with_its_reason(
    stage: Stage, workers: Workers, path: str, fields: dict[str, Any], status: int, words: str
) -> None:
    with stage.client() as client:
        answer = client.post(f"/control/{path}", data={**fields, "sure": "yes"})
    assert (answer.status_code, words in answer.text) == (status, True)
    assert workers.sent == []


def test_forms_speak_of_numbers_as_text_and_leave_out_what_is_empty(stage: Stage, workers: Workers) -> None:
    with stage.client() as client:
        client.post("/control/pool_grow", data={"n": "3", "destination": W, "sure": "yes"})
        client.post(
            "/control/time_limit", data={"task_name": "t", "soft": "", "hard": "9.5", "destination": W, "sure": "yes"}
        )
    assert workers.sent[0] == PoolGrow((W,), n=3)
    assert workers.sent[1].arguments() == {"task_name": "t", "soft": None, "hard": 9.5}


def test_a_task_can_be_stopped_while_it_is_open(stage: Stage, workers: Workers) -> None:
    stage.commit([sent("p"), received("r"), received("s"), started("s"), *success("done")])
    forms = {}
    with stage.client() as client:
        for id_ in ("p", "r", "s", "done"):
            forms[id_] = re.findall(r'method="post" action="([^"]+)"', client.get(f"/tasks/{id_}").text)
    assert forms == {"p": ["/control/revoke"], "r": ["/control/revoke"], "s": ["/control/terminate"], "done": []}


@pytest.mark.parametrize("change", [{"read_only": True}, {"broker": ""}])
def test_controls_are_absent_where_they_could_not_work(stage: Stage, workers: Workers, change: dict[str, Any]) -> None:
    stage.commit([received("s"), started("s")])
    with stage.client() as client:
        assert "/control/" in client.get("/tasks/s").text
        assert "/control/" in client.get(f"/workers/{W}").text
    stage.settings = replace(stage.settings, **change)
    with stage.client() as client:
        assert "/control/" not in client.get("/tasks/s").text
        assert "/control/" not in client.get(f"/workers/{W}").text


def test_where_no_broker_is_known_the_question_says_so(stage: Stage, workers: Workers) -> None:
    stage.control = None
    with stage.client() as client:
        answer = client.post("/control/revoke", data={"task_ids": "a"})
    assert answer.status_code == 503
    assert "--broker" in answer.text


def test_a_broker_that_is_away_is_told_and_written_down(stage: Stage, workers: Workers) -> None:
    workers.away = True
    with stage.client() as client:
        answer = client.post("/control/revoke", data={"task_ids": "a", "sure": "yes"})
        assert answer.status_code == 503
        assert "connection refused" in answer.text
        assert "connection refused" in client.get("/audit").text
        assert "connection refused" in client.get(f"/inspect/{W}").text


def test_the_worker_page_asks_nothing_itself(stage: Stage, workers: Workers) -> None:
    stage.commit([received("s"), started("s")])
    with stage.client() as client:
        text = client.get(f"/workers/{W}").text
        assert client.get("/workers").text.count(f'href="/workers/{W}"') == 1
    assert f'hx-get="/inspect/{W.replace("@", "%40")}"' in text
    assert "shop.pay" in text
    assert workers.sent == []


def test_what_a_worker_answers_leaves_its_page_its_title(stage: Stage, workers: Workers) -> None:
    stage.commit([received("s"), started("s")])
    with stage.client() as client:
        # The browser takes the title of what it puts into a page for the page's own.
        both = [client.get(f"/{path}/{W}").text for path in ("workers", "inspect")]
    assert {shown[: shown.index("</title>")].rpartition("<title>")[2] for shown in both} == {f"{W} · Umbel"}


def test_an_unknown_worker_is_404_and_can_be_asked(stage: Stage, workers: Workers) -> None:
    workers.silent = {"gone/x@h"}
    with stage.client() as client:
        answer = client.get("/workers/gone%2Fx%40h")
        assert answer.status_code == 404
        assert "No worker of this name is known" in answer.text
        assert 'id="controls"' not in answer.text, "there is nothing to control"
        assert 'id="controls"' in client.get(f"/workers/{W}").text
        assert "It does not answer" in client.get("/inspect/gone%2Fx%40h").text
    assert [command.method for command in workers.sent] == ["ping"], "one that hangs is asked no more"


def test_what_a_worker_says_is_shown_as_text(stage: Stage, workers: Workers) -> None:
    task = {"id": "t1", "name": "<i>pay", "args": ["<script>"], "kwargs": {}, "time_start": T, "worker_pid": 12}
    workers.said = {
        "stats": {
            "pool": {"implementation": "celery.concurrency.prefork:TaskPool", "max-concurrency": 4},
            "uptime": 61,
        },
        "active": [task],
        "reserved": [],
        "scheduled": [{"eta": "2026-11-23T10:00:00+00:00", "priority": 6, "request": {**task, "time_start": None}}],
        "active_queues": [{"name": "mail"}],
        "registered": ["shop.pay"],
        "revoked": ["x", "y"],
        "conf": {"broker_url": "redis://:********@h"},
    }
    with stage.client() as client:
        text = client.get(f"/inspect/{W}").text
        assert "prefork" in text
        assert "1 m 01 s" in text
        assert "&lt;script&gt;" in text
        assert "&lt;i&gt;pay" in text
        assert "********" not in text
        assert "********" in client.get(f"/inspect/{W}?conf=1").text
    assert "conf" in {command.method for command in workers.sent}


@pytest.mark.parametrize(
    "value", [None, 1, "text", [1, None, []], {"a": {"b": 1}}, [{"request": 7, "eta": 8, "id": [1]}]]
)
def test_a_worker_may_say_anything(stage: Stage, workers: Workers, value: Any) -> None:
    names = ("stats", "active", "reserved", "scheduled", "active_queues", "registered", "revoked", "conf")
    workers.said = dict.fromkeys(names, value)
    workers.said["stats"] = {"pool": value, "uptime": 10**400, "total": {"t": value}, "rusage": value, "broker": value}
    with stage.client() as client:
        assert client.get(f"/inspect/{W}?conf=1").status_code == 200


def test_the_trail_is_paged(stage: Stage, workers: Workers) -> None:
    with stage.client() as client:
        for n in range(53):
            client.post("/control/revoke", data={"task_ids": f"task-{n}", "sure": "yes"})
        first = client.get("/audit").text
        assert first.count("<tr id=") == 50
        assert "task-52" in first
        (older,) = re.findall(r'href="([^"]+)" rel="next"', first)
        second = client.get(older).text
    assert re.findall(r"task-\d+", second) == ["task-2", "task-1", "task-0"]


def test_looking_is_allowed_when_read_only(stage: Stage, workers: Workers) -> None:
    stage.settings = replace(stage.settings, read_only=True)
    with stage.client() as client:
        assert client.get(f"/inspect/{W}").status_code == 200
        assert client.get("/audit").status_code == 200
    assert all(command.looks for command in workers.sent)
    assert workers.sent


def test_a_revoke_is_the_same_over_the_api_and_the_page(stage: Stage, workers: Workers) -> None:
    with stage.client() as client:
        client.post("/control/revoke", data={"task_ids": "a", "sure": "yes"})
        client.post("/api/v1/control/revoke", json={"task_ids": ["a"]})
    assert workers.sent == [Revoke(task_ids=("a",))] * 2
