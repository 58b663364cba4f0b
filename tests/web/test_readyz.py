"""Readiness as a probe sees it."""

from __future__ import annotations

import threading

import pytest

from tests.web import events
from tests.web.stage import Stage, Unreadable
from umbel.stores.base import StoreState
from umbel.web import health


def test_all_well(stage: Stage) -> None:
    stage.commit(events.success("a"))
    stage.well()
    with stage.client() as client:
        answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body["status"] == "ok"
    assert set(body["checks"]) == {"store", "receiver", "collector", "broker", "spool", "lag", "books", "damage"}
    assert all(set(check) == {"status", "detail"} for check in body["checks"].values())


def test_degraded_is_still_200(stage: Stage) -> None:
    stage.commit(events.success("a"))
    stage.well()
    stage.says("receive", age=8.0)
    with stage.client() as client:
        answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")


def test_down_is_503(stage: Stage) -> None:
    stage.reader = Unreadable()
    stage.well()
    with stage.client() as client:
        answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "down")
    assert answer.json()["checks"]["store"] == {
        "status": "down",
        "detail": "the store cannot be read: disk I/O error",
    }


def test_a_store_that_hangs_is_down_and_health_goes_on(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PATIENCE", 0.2)
    go_on, looks = threading.Event(), []

    class Hanging(Unreadable):
        def state(self) -> StoreState:
            looks.append(1)
            go_on.wait(20)
            return super().state()

    stage.reader = Hanging()
    with stage.client() as client:
        try:
            for _ in range(5):
                answer = client.get("/readyz")
                assert answer.status_code == 503
                assert "did not answer within" in answer.json()["checks"]["store"]["detail"]
                assert client.get("/healthz").text == "ok"
            # However many ask, one thread waits for the store.
            assert looks == [1]
        finally:
            go_on.set()
