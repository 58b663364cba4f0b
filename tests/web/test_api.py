"""The JSON API."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from tests.web import events
from tests.web.stage import Stage, Unreadable
from umbel import status
from umbel.brokers.base import QueueDepth
from umbel.errors import BrokerError
from umbel.model.event import EventClass
from umbel.model.ledger import LedgerEntry, Quarantined, Reason

FIELDS = [
    *("id", "name", "state", "worker", "queue", "args", "kwargs", "result", "exception", "traceback"),
    *("sent_at", "received_at", "started_at", "finished_at", "wait_seconds", "run_seconds", "retries", "attempts"),
    *("root_id", "parent_id", "eta", "expires", "end_learned"),
]


@pytest.fixture
def client(stage: Stage) -> Iterator[TestClient]:
    with stage.client() as made:
        yield made


class Depths:
    """A broker that knows every queue."""

    delayed: Sequence[str] = ()

    def __init__(self) -> None:
        self.asked: list[str] = []

    def depths(self, names: Sequence[str]) -> Sequence[QueueDepth]:
        self.asked += names
        return [QueueDepth(name, 3, None, 2, ((0, 1), (9, 2))) for name in names]

    def close(self) -> None:
        """Nothing is held."""


class NoDepths(Depths):
    def depths(self, names: Sequence[str]) -> Sequence[QueueDepth]:
        raise BrokerError("cannot reach redis://localhost: connection refused")


def test_a_task_has_exactly_the_promised_fields(stage: Stage, client: TestClient) -> None:
    stage.commit(events.success("a"))
    answer = client.get("/api/v1/tasks/a")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    task = answer.json()
    assert list(task) == FIELDS
    attempts = task.pop("attempts")
    assert task == {
        "id": "a",
        "name": "shop.pay",
        "state": "SUCCESS",
        "worker": "w1@shop",
        "queue": "mail",
        "args": "(42,)",
        "kwargs": "{'to': 'ann'}",
        "result": "'done'",
        "exception": None,
        "traceback": None,
        "sent_at": "2025-06-15T15:06:40.000000Z",
        "received_at": "2025-06-15T15:06:40.500000Z",
        "started_at": "2025-06-15T15:06:41.000000Z",
        "finished_at": "2025-06-15T15:06:43.000000Z",
        "wait_seconds": 0.0,
        "run_seconds": 1.75,
        "retries": 0,
        "root_id": "root-1",
        "parent_id": "parent-1",
        "eta": "2026-11-23T09:00:00.000000Z",
        "expires": None,
        "end_learned": False,
    }
    assert attempts == [
        {
            "worker": "w1@shop",
            "pid": 7,
            "state": "SUCCESS",
            "received_at": "2025-06-15T15:06:40.500000Z",
            "started_at": "2025-06-15T15:06:41.000000Z",
            "finished_at": "2025-06-15T15:06:43.000000Z",
            "retries": 0,
            "exception": None,
            "traceback": None,
        }
    ]


def test_each_attempt_has_its_own_end(stage: Stage, client: TestClient) -> None:
    stage.commit(events.retry_then_failure("a"))
    task = client.get("/api/v1/tasks/a").json()
    assert (task["state"], task["retries"], task["exception"], task["traceback"]) == (
        "FAILURE",
        1,
        "ValueError('no')",
        "Traceback: no",
    )
    assert [(item["state"], item["exception"], item["traceback"]) for item in task["attempts"]] == [
        ("RETRY", "Timeout('gw')", "Trace"),
        ("FAILURE", "ValueError('no')", "Traceback: no"),
    ]


def test_a_task_that_was_only_sent_is_pending_and_the_rest_is_null(stage: Stage, client: TestClient) -> None:
    stage.commit([events.sent("a")])
    task = client.get("/api/v1/tasks/a").json()
    assert (task["state"], task["attempts"], task["worker"], task["received_at"]) == ("PENDING", [], None, None)


def test_the_list_gives_the_same_as_each_task_alone_newest_first(stage: Stage, client: TestClient) -> None:
    for id_ in ("a", "b", "c"):
        stage.commit(events.retry_then_failure(id_) if id_ == "b" else events.success(id_))
    listed = client.get("/api/v1/tasks").json()
    assert [task["id"] for task in listed["items"]] == ["c", "b", "a"]
    assert listed["next"] is None
    assert listed["items"] == [client.get(f"/api/v1/tasks/{id_}").json() for id_ in ("c", "b", "a")]


def test_pages_follow_each_other_without_gap_or_repetition(stage: Stage, client: TestClient) -> None:
    stage.commit([event for number in range(7) for event in events.success(f"t{number}")])
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = client.get("/api/v1/tasks", params={"limit": 3, "cursor": cursor}).json()
        assert len(page["items"]) <= 3
        seen += [task["id"] for task in page["items"]]
        cursor = page["next"]
    assert sorted(seen) == [f"t{number}" for number in range(7)]


def test_a_search_narrows_the_list_and_the_count(stage: Stage, client: TestClient) -> None:
    stage.commit([*events.success("a"), *events.failure("b")])
    found = client.get("/api/v1/tasks", params={"q": "state:FAILURE"}).json()["items"]
    assert [task["id"] for task in found] == ["b"]
    assert client.get("/api/v1/tasks/count", params={"q": "state:FAILURE"}).json() == {"count": 1, "capped": False}
    assert client.get("/api/v1/tasks/count").json() == {"count": 2, "capped": False}


@pytest.mark.parametrize("id_", ["order-17", "a/b", "100%", "Ünï ✿", "a?b#c", "../x"])
def test_a_task_of_any_id_can_be_asked_for(stage: Stage, client: TestClient, id_: str) -> None:
    stage.commit(events.success(id_))
    assert client.get(f"/api/v1/tasks/{quote(id_, safe='')}").json()["id"] == id_


def test_an_unknown_task_is_404(stage: Stage, client: TestClient) -> None:
    stage.commit(events.success("a"))
    answer = client.get("/api/v1/tasks/nope")
    assert answer.status_code == 404
    assert "nope" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/api/v1/tasks", "/api/v1/tasks/count"])
def test_a_search_that_cannot_be_understood_is_400_and_says_where(client: TestClient, path: str) -> None:
    answer = client.get(path, params={"q": "state:FAILURE ("})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["position"] == 15
    assert "at character 16" in error["message"]


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x", "", "1.5"])
@pytest.mark.parametrize("path", ["tasks", "ledger", "quarantine"])
def test_a_limit_is_from_1_to_1000(stage: Stage, client: TestClient, path: str, limit: str) -> None:
    answer = client.get(f"/api/v1/{path}", params={"limit": limit})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("limit: ")
    assert "position" not in answer.json()["error"]


@pytest.mark.parametrize("limit", [1, 1000])
def test_the_ends_of_the_range_are_allowed(stage: Stage, client: TestClient, limit: int) -> None:
    stage.commit(events.success("a"))
    assert client.get("/api/v1/tasks", params={"limit": limit}).status_code == 200


@pytest.mark.parametrize("cursor", ["garbage", "x" * 501, "-1"])
def test_a_cursor_that_nobody_gave_is_400(stage: Stage, client: TestClient, cursor: str) -> None:
    stage.commit(events.success("a"))
    assert client.get("/api/v1/tasks", params={"cursor": cursor}).status_code == 400


def test_workers(stage: Stage, client: TestClient) -> None:
    stage.clock.step(events.T + 2 - stage.clock.now())
    stage.commit([events.online(), events.heartbeat(), *events.success("a")])
    (worker,) = client.get("/api/v1/workers").json()["items"]
    assert worker == {
        "hostname": "w1@shop",
        "pid": 7,
        "online": True,
        "active": 3,
        "processed": 10,
        "loadavg": [1.0, 0.5, 0.25],
        "sends_task_events": True,
        "online_at": "2025-06-15T15:06:40.000000Z",
        "offline_at": None,
        "heartbeat_at": "2025-06-15T15:06:42.000000Z",
        "first_seen_at": "2025-06-15T15:06:42.000000Z",
        "seen_at": "2025-06-15T15:06:42.000000Z",
        "software": {"ident": "py-celery", "version": "5.7.0", "system": "Linux"},
    }
    stage.clock.advance(60)
    (worker,) = client.get("/api/v1/workers").json()["items"]
    assert (worker["online"], worker["active"]) == (False, 0)


def test_queues_are_those_of_the_latest_tasks_and_celerys_own(stage: Stage) -> None:
    stage.commit([events.sent("a", queue="mail"), events.sent("b", queue="images")])
    depths = stage.queues = Depths()
    with stage.client() as client:
        items = client.get("/api/v1/queues").json()["items"]
    assert depths.asked == ["celery", "images", "mail"]
    assert items[0] == {
        "name": "celery",
        "ready": 3,
        "unacked": None,
        "consumers": 2,
        "priorities": [{"priority": 0, "ready": 1}, {"priority": 9, "ready": 2}],
    }


def test_queues_can_be_named(stage: Stage) -> None:
    depths = stage.queues = Depths()
    with stage.client() as client:
        client.get("/api/v1/queues", params={"name": ["x", "y"]})
        assert client.get("/api/v1/queues", params={"name": ["x"] * 101}).status_code == 400
    assert depths.asked == ["x", "y"]


def test_a_broker_that_does_not_answer_is_503_in_plain_words(stage: Stage) -> None:
    stage.queues = NoDepths()
    with stage.client() as client:
        answer = client.get("/api/v1/queues", params={"name": "x"})
    assert answer.status_code == 503
    assert "connection refused" in answer.json()["error"]["message"]


def test_without_a_broker_queues_are_503(client: TestClient) -> None:
    answer = client.get("/api/v1/queues")
    assert answer.status_code == 503
    assert "--broker" in answer.json()["error"]["message"]


def test_the_books(stage: Stage, client: TestClient) -> None:
    stage.well()
    stage.says("collect", {status.BACKLOG: 5.0, status.OLDEST: stage.clock.now() - 2, status.COMMITTED_AT: 2e9})
    lost = {(Reason.SPOOL_FULL, EventClass.HEARTBEAT): 2, (Reason.SPOOL_FULL, EventClass.QUEUED): 1}
    missed = LedgerEntry(Reason.DISCONNECTED, EventClass.UNKNOWN, events.T, events.T + 9, 8, estimated=True)
    stage.commit(events.success("a"), discarded=lost, ledger=[missed])
    ingest = client.get("/api/v1/ingest").json()
    assert ingest == {
        "received": 12,
        "stored": 4,
        "in_flight": 5,
        "discarded": {"spool_full": 3},
        "missed_estimate": 8,
        "lag_seconds": 2.0,
        "rate": None,
        "connected": True,
        "spool": {"bytes": 1024, "limit": 1 << 20},
    }


def test_the_ledger_and_the_quarantine(stage: Stage, client: TestClient) -> None:
    now = stage.clock.now()
    entry = LedgerEntry(Reason.MALFORMED, EventClass.UNKNOWN, now, now, 1, detail="not JSON")
    poison = Quarantined(now, Reason.MALFORMED, "not JSON", "application/json", b"\xff<b>")
    stage.commit(discarded={(Reason.MALFORMED, EventClass.UNKNOWN): 1}, ledger=[entry], quarantine=[poison])
    assert client.get("/api/v1/ledger").json()["items"] == [
        {
            "reason": "malformed",
            "event_class": "unknown",
            "first_at": "2025-06-15T15:06:40.000000Z",
            "last_at": "2025-06-15T15:06:40.000000Z",
            "count": 1,
            "estimated": False,
            "worker": None,
            "detail": "not JSON",
        }
    ]
    assert client.get("/api/v1/ledger", params={"since": now + 1}).json()["items"] == []
    (item,) = client.get("/api/v1/quarantine").json()["items"]
    assert item["text"] == "\\xff<b>"
    assert base64.b64decode(item["raw_base64"]) == b"\xff<b>"
    assert (item["reason"], item["error"], item["content_type"]) == ("malformed", "not JSON", "application/json")


@pytest.mark.parametrize(
    "path", ["tasks", "tasks/count", "tasks/a", "workers", "ingest", "ledger", "quarantine", "queues"]
)
def test_a_store_that_cannot_be_read_is_503_in_plain_words(stage: Stage, path: str) -> None:
    stage.reader, stage.queues = Unreadable(), Depths()
    with stage.client() as client:
        answer = client.get(f"/api/v1/{path}")
    assert answer.status_code == 503
    message = answer.json()["error"]["message"]
    assert message in ("The store cannot be used: disk I/O error", "The store cannot be read: disk I/O error")


@pytest.mark.parametrize("path", ["/api/v1/nope", "/api/v2/tasks", "/api/"])
def test_an_unknown_address_is_404_in_json(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json() == {"error": {"message": "There is nothing at this address."}}


def test_another_method_is_405_in_json(client: TestClient) -> None:
    answer = client.post("/api/v1/workers")
    assert answer.status_code == 405
    assert "error" in answer.json()


def test_the_description_names_every_field_and_no_page(client: TestClient) -> None:
    description = client.get("/api/v1/openapi.json").json()
    others = {path for path in description["paths"] if not path.startswith("/api/v1/")}
    assert others == {"/healthz", "/readyz", "/metrics"}
    assert list(description["components"]["schemas"]["TaskOut"]["properties"]) == FIELDS
    paths = {path.removeprefix("/api/v1/") for path in description["paths"]}
    assert {
        "tasks",
        "tasks/count",
        "tasks/{task_id}",
        "tasks/{task_id}/workflow",
        "tasks/{task_id}/run-again",
        "run-again",
        "stuck",
        "queues/peek",
        "queues/purge",
        "queues/put-back",
        "queues/dead-letters",
        "tasks/export",
        "deploys",
        "errors/{key}/{deed}",
        "alerts",
        "alerts/silences",
        "alerts/rules",
        "alerts/rules/try",
        "alerts/rules/{name}/delete",
        "alerts/silences/{silence_id}/end",
        "errors",
        "names",
        "places",
        "changes",
        "schedules",
        "suggest",
        "workers",
        "queues",
        "ingest",
        "ledger",
        "quarantine",
    } == {path for path in paths if not path.startswith(("control", "audit"))} - others
    for path in description["paths"].values():
        for method in path.values():
            assert "422" not in method["responses"]
            assert method["description"]
