"""Deploys by API, and the marks that charts draw of them and of workers' versions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.web.events import T, success
from tests.web.stage import Stage
from umbel.clock import SystemClock
from umbel.model.worker import Software, Worker
from umbel.stores.journal import Entry, Kind
from umbel.stores.sqlite.audit import SqliteAudit
from umbel.web.pages.marks import MARKS, TOGETHER, changes_of_version, marks


@pytest.fixture(autouse=True)
def now(stage: Stage) -> float:
    stage.clock.step(T + 600 - stage.clock.now())
    stage.well()
    return stage.clock.now()


def worker(name: str, pid: int, at: float, version: str = "5.6.0") -> Worker:
    return Worker(name, pid, first_seen_at=T + at, seen_at=T + at, software=Software(T + at, "py-celery", version))


def test_a_deploy_is_entered_once_listed_audited_and_marked(stage: Stage) -> None:
    stage.commit(success("t"))
    stage.audit = SqliteAudit(stage.directory / "audit.db", SystemClock())
    body = {"version": "2.4.1", "service": "shop", "text": "new gateway", "at": "2025-06-15T15:10:00Z"}
    with stage.client() as client:
        for _ in range(2):
            answer = client.post("/api/v1/deploys", json=body)
            assert answer.status_code == 201, answer.text
        told = client.get("/api/v1/deploys").json()["items"]
        assert told == [
            {"at": "2025-06-15T15:10:00.000000Z", "version": "2.4.1", "service": "shop", "text": "new gateway"}
        ]
        for path in ("/", "/names/shop.pay"):
            page = client.get(path).text
            assert '"name": "2.4.1"' in page
            assert "shop, new gateway" in page
        trail = client.get("/api/v1/audit").json()["items"]
    assert [item["action"] for item in trail] == ["deploy", "deploy"]
    assert trail[0]["arguments"]["version"] == "2.4.1"
    stage.audit.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"version": ""}',
        b'{"version": 3}',
        b'{"version": "1", "at": "soon"}',
        b'{"version":"1","x":1}',
    ],
)
def test_what_is_no_deploy_is_refused_with_the_reason(stage: Stage, body: bytes) -> None:
    with stage.client() as client:
        answer = client.post("/api/v1/deploys", content=body)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"]
        assert client.get("/api/v1/deploys").json()["items"] == []


def test_a_read_only_web_takes_no_deploys(stage: Stage) -> None:
    stage.settings = replace(stage.settings, read_only=True)
    with stage.client() as client:
        assert client.post("/api/v1/deploys", json={"version": "1"}).status_code == 403
        assert client.get("/api/v1/deploys").status_code == 200


def test_workers_that_change_their_version_together_are_one_mark() -> None:
    workers = [worker("a", 1, 0), worker("a", 2, 100), worker("b", 1, 0)]
    workers += [worker("a", 3, 200, "5.7.0"), worker("b", 2, 260, "5.7.0")]
    workers += [worker("c", 1, 0), worker("c", 2, 200 + TOGETHER + 1, "5.7.0")]
    found = changes_of_version(workers)
    assert [(mark.at - T, mark.name, mark.text) for mark in found] == [
        (200, "py-celery 5.7.0", "2 workers came from py-celery 5.6.0"),
        (200 + TOGETHER + 1, "py-celery 5.7.0", "1 worker came from py-celery 5.6.0"),
    ]
    assert changes_of_version(workers[:3]) == []


def test_marks_are_those_of_the_span_and_bounded() -> None:
    deploys = [Entry(Kind.DEPLOY, str(n), T + n, {"version": str(n)}) for n in range(2 * MARKS)]
    found = marks(deploys, [], T, T + 10)
    assert [mark.at for mark in found] == [T + n for n in range(10)]
    assert len(marks(deploys, [], T, T + 1_000)) == MARKS
    assert marks(deploys, [], T, T + 1_000)[-1].name == str(2 * MARKS - 1)
