"""Flower's API row by row: each check holds for Umbel and, where it is installed, for Flower 2.2 itself."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest

from tests.flower.rig import Reply, Rig, Service
from tests.flower.rows import missing
from tests.support.environment import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

JSON = "application/json; charset=UTF-8"
TEXT = "text/plain; charset=UTF-8"
HTML = "text/html; charset=UTF-8"
KEYS = [
    *("uuid", "name", "state", "received", "sent", "started", "rejected", "succeeded", "failed", "retried", "revoked"),
    *("args", "kwargs", "eta", "expires", "retries", "worker", "result", "exception", "timestamp", "runtime"),
    *("traceback", "exchange", "routing_key", "clock", "client", "root", "root_id", "parent", "parent_id", "children"),
]


def refused(service: Service, path: str, status: int, text: str, method: str = "GET", **form: str) -> None:
    """The path is answered with this status and this text, as plain text."""
    answer = service.ask(method, path, form if method == "POST" else None)
    assert (answer.status, answer.text) == (status, text)
    assert answer.media == TEXT


# Workers


def test_workers_tell_what_they_answer_to_inspection(service: Service, rig: Rig) -> None:
    answer = service.get("/api/workers", refresh="1")
    assert (answer.status, answer.media) == (200, JSON)
    info = answer.json[rig.worker.hostname]
    assert {"stats", "active_queues", "registered", "conf", "timestamp"} <= set(info)
    assert info["stats"]["pool"]["max-concurrency"] == 2
    assert [queue["name"] for queue in info["active_queues"]] == ["celery"]
    # A limit that another check has set stands behind the name.
    assert "support.add" in [entry.partition(" ")[0] for entry in info["registered"]]


def test_one_worker_tells_more(service: Service, rig: Rig) -> None:
    answer = service.get("/api/workers", refresh="1", workername=rig.worker.hostname)
    assert list(answer.json) == [rig.worker.hostname]
    assert {"scheduled", "active", "reserved", "revoked"} <= set(answer.json[rig.worker.hostname])


def test_the_status_of_workers(service: Service, rig: Rig) -> None:
    assert service.get("/api/workers", status="true").json[rig.worker.hostname] is True


def test_a_worker_that_is_unknown(service: Service) -> None:
    refused(service, "/api/workers?workername=nobody@h", 404, "Unknown worker 'nobody@h'")


@pytest.mark.parametrize("name", ["refresh", "status"])
def test_flags_that_are_none(service: Service, name: str) -> None:
    refused(service, f"/api/workers?{name}=maybe", 400, "Invalid argument 'maybe' of type 'bool'")


def test_rows_of_the_workers_page(service: Service, rig: Rig) -> None:
    answer = service.get("/workers", json="1")
    assert (answer.status, answer.media) == (200, JSON)
    (row,) = [row for row in answer.json["data"] if row["hostname"] == rig.worker.hostname]
    assert row["status"] is True
    assert row["sw_ident"] == "py-celery"
    assert row["task-succeeded"] >= 2
    assert row["task-failed"] >= 1
    assert {"pid", "freq", "heartbeats", "clock", "active", "processed", "loadavg", "sw_ver", "sw_sys"} <= set(row)


# Control of workers


def test_growing_and_shrinking_a_pool(service: Service, rig: Rig) -> None:
    worker = rig.worker.hostname
    grown = service.post(f"/api/worker/pool/grow/{worker}", n="1")
    assert (grown.status, grown.json) == (200, {"message": f"Growing '{worker}' worker's pool by 1"})
    shrunk = service.post(f"/api/worker/pool/shrink/{worker}")
    assert (shrunk.status, shrunk.json) == (200, {"message": f"Shrinking '{worker}' worker's pool by 1"})
    for way in ("grow", "shrink"):
        refused(service, f"/api/worker/pool/{way}/{worker}", 400, "Invalid argument 'x' of type 'int'", "POST", n="x")


def test_what_a_worker_refuses(service: Service, rig: Rig) -> None:
    worker = rig.worker.hostname
    autoscale = service.post(f"/api/worker/pool/autoscale/{worker}", min="1", max="2")
    assert (autoscale.status, autoscale.media) == (403, HTML)
    assert autoscale.text == f"Failed to autoscale '{worker}' worker: ValueError('Autoscale not enabled')"
    restart = service.post(f"/api/worker/pool/restart/{worker}")
    assert (restart.status, restart.media) == (403, HTML)
    assert restart.text == f"Failed to restart the '{worker}' pool: ValueError('Pool restarts not enabled')"


def test_what_the_other_worker_does_and_refuses(service: Service, rig: Rig) -> None:
    worker = up(rig)
    scaled = service.post(f"/api/worker/pool/autoscale/{worker}", min="1", max="2")
    assert (scaled.status, scaled.json) == (200, {"message": f"Autoscaling '{worker}' worker (min=1, max=2)"})
    restarted = service.post(f"/api/worker/pool/restart/{worker}")
    assert (restarted.status, restarted.json) == (200, {"message": f"Restarting '{worker}' worker's pool"})
    for way in ("grow", "shrink"):
        answer = service.post(f"/api/worker/pool/{way}/{worker}")
        assert (answer.status, answer.media) == (403, HTML)
        assert answer.text.startswith(f"Failed to {way} '{worker}' worker's pool: pool_{way} is not supported")
    limits = service.post("/api/task/timeout/support.add", workername=worker, soft="1")
    assert (limits.status, limits.media, limits.text) == (403, HTML, "Failed to set timeouts: 'unknown task'")
    rate = service.post("/api/task/rate-limit/support.add", workername=worker, ratelimit="1/s")
    assert (rate.status, rate.media, rate.text) == (403, HTML, "Failed to set rate limit: 'unknown task'")


def up(rig: Rig) -> str:
    """The other worker's name; it runs and listens, whatever another check did to it."""
    worker, umbel = rig.other.hostname, rig.services["umbel"]
    if not rig.other.alive:
        rig.other.start()

    def listens() -> bool:
        answer = umbel.ask("POST", "/api/v1/control/ping?timeout=1", body={"destination": [worker]})
        return answer.status == 200 and answer.json["outcomes"] == {"ok": 1}

    # It says that it is ready before it listens to remote control.
    wait_until(listens, "the worker listening")
    return worker


def test_shutting_down_a_worker_and_asking_it_afterwards(service: Service, rig: Rig) -> None:
    worker = up(rig)
    answer = service.post(f"/api/worker/shutdown/{worker}")
    assert (answer.status, answer.json) == (200, {"message": "Shutting down!"})
    rig.other.wait()
    # It is still known, and answers nothing any more.
    answers: dict[str, Reply] = {}

    def ask(way: str) -> None:
        answers[way] = service.post(f"/api/worker/queue/{way}-consumer/{worker}", queue="q")

    threads = [threading.Thread(target=ask, args=(way,)) for way in ("add", "cancel")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {way: (one.status, one.media) for way, one in answers.items()} == dict.fromkeys(
        ("add", "cancel"), (403, HTML)
    )
    assert answers["add"].text.startswith(f"Failed to add 'q' consumer to '{worker}' worker: ")
    assert answers["cancel"].text.startswith(f"Failed to cancel 'q' consumer from '{worker}' worker: ")


def test_bounds_that_are_missing(service: Service, rig: Rig) -> None:
    worker = rig.worker.hostname
    refused(service, f"/api/worker/pool/autoscale/{worker}", 400, "Missing argument min", "POST")
    refused(service, f"/api/worker/pool/autoscale/{worker}", 400, "Missing argument max", "POST", min="1")


def test_adding_and_cancelling_a_consumer(service: Service, rig: Rig) -> None:
    worker, queue = rig.worker.hostname, f"q-{service.name}"
    added = service.post(f"/api/worker/queue/add-consumer/{worker}", queue=queue)
    assert (added.status, added.json) == (200, {"message": f"add consumer {queue}"})
    cancelled = service.post(f"/api/worker/queue/cancel-consumer/{worker}", queue=queue)
    assert (cancelled.status, cancelled.json) == (200, {"message": f"no longer consuming from {queue}"})
    for way in ("add", "cancel"):
        refused(service, f"/api/worker/queue/{way}-consumer/{worker}", 400, "Missing argument queue", "POST")


@pytest.mark.parametrize(
    "path",
    [
        *("shutdown", "pool/restart", "pool/grow", "pool/shrink", "pool/autoscale"),
        *("queue/add-consumer", "queue/cancel-consumer"),
    ],
)
def test_control_of_a_worker_that_is_unknown(service: Service, path: str) -> None:
    refused(service, f"/api/worker/{path}/nobody@h", 404, "Unknown worker 'nobody@h'", "POST", n="1", queue="q")


# Tasks


def test_tasks_by_id_with_flowers_keys_in_its_order(service: Service, rig: Rig) -> None:
    answer = service.get("/api/tasks")
    assert (answer.status, answer.media) == (200, JSON)
    for kind, id_ in rig.ids.items():
        task = answer.json[id_]
        expected = [key for key in KEYS if key != "worker"] + ["worker"]
        assert list(task) == expected, kind
    add, fail = answer.json[rig.ids["add"]], answer.json[rig.ids["fail"]]
    assert (add["name"], add["state"], add["args"], add["kwargs"]) == ("support.add", "SUCCESS", "[1, 2]", "{}")
    assert (add["result"], add["exception"], add["worker"]) == ("3", None, rig.worker.hostname)
    assert add["sent"]
    assert add["received"] <= add["started"] <= add["succeeded"] == add["timestamp"]
    assert (fail["state"], fail["exception"], fail["result"]) == ("FAILURE", "ValueError('no luck')", None)
    assert "Traceback" in fail["traceback"]
    assert (add["exchange"], add["routing_key"], add["root_id"]) == ("", "celery", add["uuid"])
    assert (add["eta"], add["expires"], add["retries"], add["parent_id"]) == (None, None, 0, None)


def test_one_task(service: Service, rig: Rig) -> None:
    answer = service.get(f"/api/task/info/{rig.ids['flaky']}")
    assert (answer.status, answer.media) == (200, JSON)
    assert list(answer.json) == KEYS
    assert (answer.json["state"], answer.json["result"]) == ("SUCCESS", "1")
    assert answer.json["retried"]
    # Flower keeps what came last: on RabbitMQ the first run's events may overtake, and leave it at 0.
    overtaken = service.name == "flower" and rig.broker.startswith("amqp")
    assert answer.json["retries"] in ({0, 1} if overtaken else {1})
    refused(service, "/api/task/info/nothing", 404, "Unknown task 'nothing'")


def test_names_of_tasks(service: Service) -> None:
    answer = service.get("/api/task/types")
    assert answer.status == 200
    types = answer.json["task-types"]
    assert {"support.add", "support.fail", "support.flaky"} <= set(types)
    assert types == sorted(types)


@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        ({"state": "FAILURE"}, {"fail"}),
        ({"state": "failure"}, {"fail"}),
        ({"state": "All", "taskname": "support.add"}, {"add"}),
        ({"taskname": "SUPPORT.ADD"}, {"add"}),
        ({"taskname": "support"}, set()),
        ({"workername": "w1@flower-test", "state": "SUCCESS"}, {"add", "flaky"}),
        ({"workername": "nobody@h"}, set()),
        ({"search": "name:support.fail"}, {"fail"}),
        ({"search": "state:SUCCESS kwargs:retries=1"}, {"flaky"}),
        ({"search": "state:FAILURE OR name:flaky"}, {"fail", "flaky"}),
        ({"search": "luck"}, {"fail"}),
        ({"search": '(state:SUCCESS AND "support.add") OR nothing-of-it'}, {"add"}),
        ({"received_start": "2000-01-01 00:00"}, {"add", "fail", "flaky"}),
        ({"received_end": "2000-01-01 00:00"}, set()),
        ({"limit": "0"}, set()),
        ({"limit": "-1"}, set()),
    ],
)
def test_filters(service: Service, rig: Rig, query: dict[str, str], kinds: set[str]) -> None:
    answer = service.get("/api/tasks", **query)
    assert answer.status == 200, answer.text
    assert {kind for kind, id_ in rig.ids.items() if id_ in answer.json} == kinds


def test_order_and_pages(service: Service, rig: Rig) -> None:
    names = [task["name"] for task in service.get("/api/tasks", sort_by="name").json.values()]
    assert names == sorted(names)
    names = [task["name"] for task in service.get("/api/tasks", sort_by="-name").json.values()]
    assert names == sorted(names, reverse=True)
    received = [task["received"] for task in service.get("/api/tasks", sort_by="-received").json.values()]
    assert received == sorted(received, reverse=True)
    started = [task["started"] or 0.0 for task in service.get("/api/tasks", sort_by="started").json.values()]
    assert started == sorted(started)
    states = [task["state"] for task in service.get("/api/tasks", sort_by="state").json.values()]
    assert states == sorted(states)
    whole = list(service.get("/api/tasks", sort_by="name", state="SUCCESS").json)
    part = list(service.get("/api/tasks", sort_by="name", state="SUCCESS", limit=1, offset=1).json)
    assert len(part) == 1
    assert part[0] in whole


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("limit=x", "Invalid argument 'x' of type 'int'"),
        ("offset=x", "Invalid argument 'x' of type 'int'"),
        ("sort_by=worker", "Invalid sort_by 'worker', expected one of name, received, started, state"),
        ("received_start=now", "Invalid received_start or received_end, expected format 'YYYY-MM-DD HH:MM'"),
        ("received_end=2026", "Invalid received_start or received_end, expected format 'YYYY-MM-DD HH:MM'"),
    ],
)
def test_wrong_parameters_of_tasks(service: Service, query: str, text: str) -> None:
    refused(service, f"/api/tasks?{query}", 400, text)


@pytest.mark.parametrize(
    ("search", "text"),
    [
        ("ab", "Substring search terms must contain at least 3 characters at position 0."),
        ("state:", "Search qualifier requires a value at position 0."),
        ("abc OR", "OR must be followed by a search term at position 4."),
        ("abc AND OR", "AND must be followed by a search term at position 4."),
        ("NOT abc", "NOT is not supported at position 0."),
        ("-abc", "Negation with '-' is not supported at position 0."),
        ("abc ()", "Empty group at position 4."),
        ("(abc", "Missing closing parenthesis at position 0."),
        ('abc "def', "Unterminated quoted phrase at position 4."),
        ('abc ""', "Empty search term at position 4."),
        ("AND abc", "Expected a search term at position 0."),
        ("abc)", "Unexpected ')' at position 3."),
        ("((((((abc))))))", "Query nesting exceeds 5 levels at position 5."),
        ("x" * 2049, "Query exceeds 2048 characters."),
        ("abc " * 130, "Query exceeds 128 tokens."),
    ],
)
def test_wrong_searches(service: Service, search: str, text: str) -> None:
    answer = service.get("/api/tasks", search=search)
    assert (answer.status, answer.media, answer.json) == (400, JSON, {"error": text})


def table(**changes: str) -> dict[str, str]:
    usual = {"draw": "3", "start": "0", "length": "10", "search[value]": "", "order[0][column]": "0"}
    return usual | {"columns[0][data]": "name", "order[0][dir]": "asc"} | changes


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_rows_of_the_tasks_table(service: Service, rig: Rig, method: str) -> None:
    form = table(**{"search[value]": "state:FAILURE"})
    answer = service.post("/tasks/datatable", **form) if method == "POST" else service.get("/tasks/datatable", **form)
    assert (answer.status, answer.media) == (200, JSON)
    found = answer.json
    assert list(found) == ["draw", "data", "recordsTotal", "recordsFiltered"]
    assert found["draw"] == 3
    assert found["recordsTotal"] >= found["recordsFiltered"] == len(found["data"]) >= 1
    assert rig.ids["fail"] in [row["uuid"] for row in found["data"]]
    assert list(found["data"][0]) == KEYS


def test_the_tasks_table_in_order_and_with_mistakes(service: Service) -> None:
    names = [row["name"] for row in service.get("/tasks/datatable", **table()).json["data"]]
    assert names == sorted(names)
    wrong = service.get("/tasks/datatable", **table(**{"search[value]": "ab"}))
    assert wrong.status == 200
    assert wrong.json["data"] == []
    assert wrong.json["recordsFiltered"] == 0
    assert wrong.json["searchError"].startswith("Substring search terms must contain")
    for name in ("draw", "start", "length", "order[0][column]"):
        form = {key: value for key, value in table().items() if key != name}
        for answer in (service.get("/tasks/datatable", **form), service.post("/tasks/datatable", **form)):
            assert (answer.status, answer.text) == (400, f"Missing argument {name}")


# Starting tasks


def test_apply_waits_for_the_result(service: Service) -> None:
    answer = service.apply("support.add", {"args": [2, 3]})
    assert (answer.status, answer.media) == (200, JSON)
    assert list(answer.json) == ["task-id", "result", "state"]
    assert (answer.json["result"], answer.json["state"]) == (5, "SUCCESS")
    failed = service.apply("support.fail", {"args": ["oh"]}).json
    assert list(failed) == ["task-id", "result", "traceback", "state"]
    assert (failed["result"], failed["state"]) == ("ValueError('oh')", "FAILURE")


def test_apply_gives_up_after_its_timeout(service: Service) -> None:
    answer = service.apply("support.sleep", {"args": [3], "timeout": 0.2})
    assert answer.status == 200
    assert list(answer.json) == ["task-id", "state"]


@pytest.mark.parametrize("way", ["async-apply", "send-task"])
def test_starting_a_task_without_waiting(service: Service, way: str) -> None:
    body = {"args": [1], "kwargs": {"y": 1}, "queue": "celery", "expires": 600}
    answer = service.apply("support.add", body, way)
    assert answer.status == 200
    assert list(answer.json) == ["task-id", "state"]
    id_ = answer.json["task-id"]

    def result() -> Any:
        return service.get(f"/api/task/result/{id_}").json

    wait_until(lambda: result()["state"] == "SUCCESS", "the result")
    assert result() == {"task-id": id_, "state": "SUCCESS", "result": 2}


@pytest.mark.parametrize("way", ["apply", "async-apply"])
def test_a_task_that_is_unknown(service: Service, way: str) -> None:
    answer = service.apply("no.such", {}, way)
    assert (answer.status, answer.media, answer.text) == (404, TEXT, "Unknown task 'no.such'")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ([], "invalid options"),
        ({"args": 1}, "args must be an array"),
        ({"args": {"x": 1}}, "args must be an array"),
        ({"args": [1, 2], "eta": "tomorrow"}, "Invalid option"),
        ({"args": [1, 2], "countdown": "soon"}, "Invalid option"),
        ({"args": [1, 2], "expires": "soon"}, "Invalid option"),
    ],
)
@pytest.mark.parametrize("way", ["apply", "async-apply"])
def test_wrong_bodies(service: Service, way: str, body: object, text: str) -> None:
    answer = service.apply("support.add", body, way)
    assert (answer.status, answer.media, answer.text) == (400, TEXT, text)


def test_a_body_that_is_no_json(service: Service) -> None:
    for body, text in (([], "invalid options"), ({"args": 1}, "args must be an array")):
        answer = service.apply("support.add", body, "send-task")
        assert (answer.status, answer.text) == (400, text)
    answer = service.apply("support.add", "{")
    assert (answer.status, answer.media) == (400, TEXT)
    assert "Expecting" in answer.text
    answer = service.apply("support.add", {"args": [1, 2], "timeout": "x"})
    assert (answer.status, answer.text) == (400, "Invalid timeout")


def test_an_eta_is_kept(service: Service) -> None:
    answer = service.apply("support.add", {"args": [1, 2], "eta": "2099-01-01 00:00:00.000000"}, "async-apply")
    assert answer.status == 200
    id_ = answer.json["task-id"]
    service.post(f"/api/task/revoke/{id_}")
    wait_until(lambda: service.get(f"/api/task/info/{id_}").status == 200, "the task seen")
    assert service.get(f"/api/task/info/{id_}").json["eta"].startswith("2099-01-01T00:00:00")


def test_results(service: Service, rig: Rig) -> None:
    assert service.get(f"/api/task/result/{rig.ids['add']}").json == {
        "task-id": rig.ids["add"],
        "state": "SUCCESS",
        "result": 3,
    }
    failed = service.get(f"/api/task/result/{rig.ids['fail']}", timeout="1").json
    assert list(failed) == ["task-id", "state", "result", "traceback"]
    unknown = f"unknown-{uuid.uuid4()}"
    assert service.get(f"/api/task/result/{unknown}").json == {"task-id": unknown, "state": "PENDING"}
    assert service.get(f"/api/task/result/{unknown}", timeout="0.2").json["state"] == "PENDING"
    refused(service, f"/api/task/result/{unknown}?timeout=x", 400, "Invalid argument 'x' of type 'float'")


def test_abort_writes_the_state_aborted(service: Service) -> None:
    id_ = f"abort-{uuid.uuid4()}"
    answer = service.post(f"/api/task/abort/{id_}")
    assert (answer.status, answer.json) == (200, {"message": f"Aborted '{id_}'"})
    assert service.get(f"/api/task/result/{id_}").json["state"] == "ABORTED"


# Control of tasks


def test_revoking_and_terminating(service: Service) -> None:
    id_ = f"revoke-{uuid.uuid4()}"
    answer = service.post(f"/api/task/revoke/{id_}")
    assert (answer.status, answer.json) == (200, {"message": f"Revoked '{id_}'"})
    running = service.apply("support.sleep", {"args": [600]}, "async-apply").json["task-id"]
    wait_until(lambda: service.get(f"/api/task/result/{running}").status == 200, "the backend")

    def started() -> bool:
        info = service.get(f"/api/task/info/{running}")
        return info.status == 200 and info.json["state"] == "STARTED"

    wait_until(started, "the task running")
    answer = service.post(f"/api/task/revoke/{running}", terminate="true", signal="SIGKILL")
    assert answer.json == {"message": f"Revoked '{running}'"}
    wait_until(lambda: service.get(f"/api/task/info/{running}").json["state"] == "REVOKED", "its end")
    refused(service, f"/api/task/revoke/{id_}", 400, "Invalid argument 'x' of type 'bool'", "POST", terminate="x")


def test_time_limits(service: Service, rig: Rig) -> None:
    worker = rig.worker.hostname
    path = "/api/task/timeout/support.add"
    answer = service.post(path, workername=worker, soft="600", hard="900")
    assert (answer.status, answer.json) == (200, {"message": "time limits set successfully"})
    refused(service, path, 400, "Missing argument workername", "POST")
    refused(service, path, 400, "Invalid argument 'x' of type 'float'", "POST", workername=worker, hard="x")
    refused(service, path, 404, "Unknown worker 'nobody@h'", "POST", workername="nobody@h")
    refused(service, "/api/task/timeout/no.such", 404, "Unknown task 'no.such'", "POST", workername=worker)


def test_rate_limits(service: Service, rig: Rig) -> None:
    worker = rig.worker.hostname
    path = "/api/task/rate-limit/support.add"
    answer = service.post(path, workername=worker, ratelimit="1000/s")
    assert (answer.status, answer.json) == (200, {"message": "new rate limit set successfully"})
    refused(service, path, 400, "Missing argument ratelimit", "POST", workername=worker)
    refused(
        service,
        "/api/task/rate-limit/no.such",
        404,
        "Unknown task 'no.such'",
        "POST",
        workername=worker,
        ratelimit="1/s",
    )
    wrong = service.post(path, workername=worker, ratelimit="often")
    assert (wrong.status, wrong.media) == (403, HTML)
    assert wrong.text.startswith("Failed to set rate limit: '")


# The rest


def test_queue_lengths(service: Service, rig: Rig) -> None:
    answer = service.get("/api/queues/length")
    assert answer.status == 200
    queues = {queue["name"]: queue["messages"] for queue in answer.json["active_queues"]}
    # RabbitMQ counts what the worker holds as well: tasks that other checks gave an ETA.
    assert queues["celery"] == 0 or rig.broker.startswith("amqp")


def test_the_health_check(service: Service) -> None:
    answer = service.get("/healthcheck")
    assert (answer.status, answer.text) == (200, "OK")


def test_what_is_not_there(service: Service) -> None:
    for path in ("/healthcheck/", "/api/tasks/", "/api/nothing"):
        assert service.get(path).status == 404, path


def test_every_row_of_flowers_api_was_asked(umbel: Service, rig: Rig, request: pytest.FixtureRequest) -> None:
    """And answered with each of its statuses: a row without a check is noticed here."""
    checks = {name for name in request.function.__globals__ if name.startswith("test_")}
    if checks - rig.ran - {request.node.originalname}:
        pytest.skip("only after all other checks of this file can it be told")
    assert missing(umbel.asked) == {}
