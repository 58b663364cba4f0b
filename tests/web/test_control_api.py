"""The control API: typed bodies, who may, what is written down. Against real workers: tests/flower."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.web.stage import Stage
from umbel.control.commands import COMMANDS, Command, Outcome, Reply, Revoke
from umbel.errors import ControlError
from umbel.stores.sqlite.audit import SqliteAudit


class Broker:
    """Takes commands; every worker that is addressed agrees."""

    def __init__(self) -> None:
        self.sent: list[Command] = []
        self.away = False

    def send(self, command: Command) -> None:
        self.sent.append(command)

    def ask(self, command: Command, timeout: float = 1.0) -> Mapping[str, Any]:
        raise NotImplementedError

    def call(self, command: Command, timeout: float = 1.0, expected: Sequence[str] = ()) -> Iterator[Reply]:
        if self.away:
            raise ControlError("connection refused")
        self.sent.append(command)
        for worker in command.destination or expected:
            yield Reply(worker, Outcome.OK, {"ok": "done"}, "", 0.004)

    def close(self) -> None:
        pass


@pytest.fixture
def broker(stage: Stage) -> Broker:
    stage.control = made = Broker()
    stage.audit = SqliteAudit(stage.directory / "audit.db", stage.clock)
    stage.commit()
    return made


def test_a_command_is_sent_answered_and_written_down(stage: Stage, broker: Broker) -> None:
    with stage.client() as client:
        body = {"destination": ["w1@h"], "task_ids": ["a"], "terminate": True}
        answer = client.post("/api/v1/control/revoke", json=body)
        assert answer.status_code == 200
        assert answer.json() == {
            "command": "revoke",
            "outcomes": {"ok": 1},
            "replies": [{"worker": "w1@h", "outcome": "ok", "value": {"ok": "done"}, "error": None, "seconds": 0.004}],
        }
        assert broker.sent == [Revoke(("w1@h",), task_ids=("a",), terminate=True)]
        (item,) = client.get("/api/v1/audit").json()["items"]
    assert item["action"] == "revoke"
    assert item["arguments"] == {"task_id": ["a"], "terminate": True, "signal": "SIGTERM"}
    assert item["destination"] == ["w1@h"]
    assert item["origin"] == "testclient"
    assert item["replies"] == [{"worker": "w1@h", "outcome": "ok", "text": '{"ok":"done"}'}]


class Hanging(Broker):
    """One worker answers only when it is let go on."""

    def __init__(self) -> None:
        super().__init__()
        self.under_way, self.go_on = threading.Semaphore(0), threading.Event()

    def call(self, command: Command, timeout: float = 1.0, expected: Sequence[str] = ()) -> Iterator[Reply]:
        if "hangs@h" in command.destination:
            self.under_way.release()
            self.go_on.wait(60)
        yield from super().call(command, timeout, expected)


def test_forty_commands_that_wait_for_a_hanging_worker_hold_up_no_other(stage: Stage, broker: Broker) -> None:
    stage.control = hanging = Hanging()
    with stage.client() as client:

        def ping(worker: str) -> int:
            return client.post("/api/v1/control/ping", json={"destination": [worker]}).status_code

        threads = [threading.Thread(target=ping, args=("hangs@h",)) for _ in range(40)]
        for thread in threads:
            thread.start()
        try:
            assert all(hanging.under_way.acquire(timeout=60) for _ in threads)
            assert ping("answers@h") == 200
            assert not hanging.go_on.is_set()
        finally:
            hanging.go_on.set()
            for thread in threads:
                thread.join()
    assert len(hanging.sent) == 41


def test_looking_is_not_written_down(stage: Stage, broker: Broker) -> None:
    with stage.client() as client:
        assert client.post("/api/v1/control/ping", json={"destination": ["w"]}).status_code == 200
        assert client.get("/api/v1/audit").json() == {"items": []}


@pytest.mark.parametrize(
    ("command", "body", "words"),
    [
        ("revoke", "{}", "task_ids"),
        ("revoke", '{"task_ids": []}', "length >= 1"),
        ("revoke", '{"task_ids": ["a"], "signal": "rm -rf"}', "signal"),
        ("revoke", '{"task_ids": ["a"], "sudo": true}', "sudo"),
        ("pool_grow", '{"n": -1, "destination": ["w"]}', "n"),
        ("pool_grow", '{"n": 1}', "name the workers"),
        ("shutdown", "", "name the workers"),
        ("autoscale", '{"max": "3"}', "max"),
        ("rate_limit", "[]", "no rate_limit command"),
        ("rate_limit", "\ud83d", "no rate_limit command"),
    ],
)
def test_a_wrong_body_is_refused_with_its_reason(
    stage: Stage, broker: Broker, command: str, body: str, words: str
) -> None:
    with stage.client() as client:
        answer = client.post(f"/api/v1/control/{command}", content=body.encode("utf-8", "surrogatepass"))
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert broker.sent == []


def test_election_and_hello_are_unknown(stage: Stage, broker: Broker) -> None:
    with stage.client() as client:
        for command in ("election", "hello", "nonsense"):
            assert client.post(f"/api/v1/control/{command}", json={}).status_code == 404
    assert broker.sent == []
    assert not {"election", "hello"} & set(COMMANDS)


def test_read_only_refuses_what_changes_and_lets_look(stage: Stage, broker: Broker) -> None:
    stage.settings = replace(stage.settings, read_only=True)
    with stage.client() as client:
        for name, kind in COMMANDS.items():
            body: dict[str, Any] = {"destination": ["w"]}
            body |= {"task_ids": ["a"], "headers": {"h": ["v"]}, "task_name": "t", "rate_limit": "1/s", "queue": "q"}
            body |= {"max": 1, "min": 1, "ids": ["a"]}
            given = {key: value for key, value in body.items() if key in kind.__struct_fields__}
            answer = client.post(f"/api/v1/control/{name}", json=given)
            assert answer.status_code == (200 if kind.looks else 403), (name, answer.text)
    assert all(command.looks for command in broker.sent)


def test_another_site_may_not(stage: Stage, broker: Broker) -> None:
    with stage.client() as client:
        answer = client.post("/api/v1/control/ping", json={}, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert broker.sent == []


def test_what_cannot_be_written_down_is_not_done(stage: Stage, broker: Broker) -> None:
    (stage.directory / "file").write_text("")
    stage.audit = SqliteAudit(stage.directory / "file/audit.db", stage.clock)
    with stage.client() as client:
        answer = client.post("/api/v1/control/revoke", json={"task_ids": ["a"], "destination": ["w"]})
    assert answer.status_code == 503
    assert broker.sent == []


def test_a_broker_that_is_away_is_a_503_and_written_down(stage: Stage, broker: Broker) -> None:
    broker.away = True
    with stage.client() as client:
        answer = client.post("/api/v1/control/revoke", json={"task_ids": ["a"], "destination": ["w"]})
        assert answer.status_code == 503
        assert "connection refused" in answer.json()["error"]["message"]
        (item,) = client.get("/api/v1/audit").json()["items"]
    assert item["replies"] == [{"worker": None, "outcome": "failed", "text": "connection refused"}]


def test_a_long_body_is_refused(stage: Stage, broker: Broker) -> None:
    with stage.client() as client:
        assert client.post("/api/v1/control/ping", content=b" " * 1_100_000).status_code == 413


def test_every_command_is_in_the_openapi_document_with_its_body(stage: Stage, broker: Broker) -> None:
    with stage.client() as client:
        described = client.get("/api/v1/openapi.json").json()
    paths, schemas = described["paths"], described["components"]["schemas"]
    for name, kind in COMMANDS.items():
        schema = paths[f"/api/v1/control/{name}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        assert set(schema["properties"]) == set(kind.__struct_fields__)
