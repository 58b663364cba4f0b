"""`GET /api/v1/suggest`: what may follow in the search box."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.web import events
from tests.web.stage import Stage, Unreadable


@pytest.fixture
def client(stage: Stage) -> Iterator[TestClient]:
    stage.clock.step(events.T + 60 - stage.clock.now())
    stage.commit([events.sent("a", name="shop.pay"), events.received("a"), events.failed("a")])
    stage.commit([events.sent("b", name="shop.mail", queue="slow lane"), events.received("b", name="shop.mail")])
    stage.commit([events.heartbeat("w1@shop"), events.heartbeat("w2@shop")])
    with stage.client() as made:
        yield made


def texts(client: TestClient, q: str, at: int | None = None) -> list[str]:
    answer = client.get("/api/v1/suggest", params={"q": q} | ({} if at is None else {"at": str(at)}))
    assert answer.status_code == 200
    return [item["text"] for item in answer.json()["items"]]


def test_fields_are_offered_with_a_word_about_each(client: TestClient) -> None:
    body = client.get("/api/v1/suggest", params={"q": "a st"}).json()
    assert (body["start"], body["end"]) == (2, 4)
    assert body["items"][0]["text"] == "state:"
    assert body["items"][0]["kind"] == "field"
    assert body["items"][0]["detail"]


def test_values_come_from_the_store(client: TestClient) -> None:
    assert sorted(texts(client, "name:sh")) == ["shop.mail", "shop.pay"]
    assert texts(client, "name:pay") == ["shop.pay"]
    assert texts(client, "-(worker:w2") == ["w2@shop"]
    assert texts(client, "queue:") == ['"slow lane"', "mail"]
    assert texts(client, "exception:") == ["ValueError"]
    assert texts(client, "args:4") == []


def test_the_cursor_may_stand_anywhere(client: TestClient) -> None:
    body = client.get("/api/v1/suggest", params={"q": "name:sh state:FAILURE", "at": 7}).json()
    assert (body["start"], body["end"]) == (5, 7)
    assert client.get("/api/v1/suggest", params={"q": "a", "at": 99}).status_code == 200


def test_characters_are_counted_not_utf_16_units(client: TestClient) -> None:
    body = client.get("/api/v1/suggest", params={"q": "🦉🦉 sta", "at": 6}).json()
    assert (body["start"], body["end"]) == (3, 6)


def test_no_more_than_twenty_are_offered(stage: Stage, client: TestClient) -> None:
    stage.commit([events.sent(f"n{n}", name=f"many.{n}") for n in range(50)])
    stage.clock.advance(60)
    assert len(texts(client, "name:many")) == 20


def test_wrong_parameters_are_refused(client: TestClient) -> None:
    assert client.get("/api/v1/suggest", params={"q": "x" * 2_049}).status_code == 400
    assert client.get("/api/v1/suggest", params={"q": "x", "at": -1}).status_code == 400


def test_words_of_the_language_need_no_store(stage: Stage) -> None:
    stage.reader = Unreadable()
    with stage.client() as client:
        assert texts(client, "state:f") == ["FAILURE"]
        assert client.get("/api/v1/suggest", params={"q": "name:"}).status_code == 503
