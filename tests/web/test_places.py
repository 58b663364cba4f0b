"""`GET /api/v1/places`: where the palette may go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from tests.web import events
from tests.web.stage import Stage, Unreadable
from umbel.stores.journal import Entry, Kind

ID = "3f2a77f0-aaaa-4bbb-8ccc-000000000001"


@pytest.fixture
def client(stage: Stage) -> Iterator[TestClient]:
    stage.settings = replace(stage.settings, url_prefix="/umbel")
    stage.clock.step(events.T + 60 - stage.clock.now())
    stage.commit([events.sent(ID, name="shop.pay"), events.sent("b", name="shop.mail/send", queue="slow lane")])
    stage.commit([events.heartbeat("w1@shop")])
    stage.journal.put(Entry(Kind.VIEW, "Payments that failed", events.T, {"query": "q=name%3Ashop.pay"}))
    with stage.client() as made:
        yield made


def places(client: TestClient, q: str = "") -> dict[str, str]:
    answer = client.get("/umbel/api/v1/places", params={"q": q})
    assert answer.status_code == 200
    return {f"{item['kind']} {item['title']}": item["href"] for item in answer.json()["items"]}


def test_pages_and_views_are_there_before_anything_is_typed(client: TestClient) -> None:
    found = places(client)
    assert found["page Overview"] == "/umbel/"
    assert found["page Storage"] == "/umbel/storage"
    assert found["view Payments that failed"] == "/umbel/tasks?q=name%3Ashop.pay"


def test_what_the_store_saw_is_found_by_a_part_of_its_name(client: TestClient) -> None:
    assert places(client, "pay")["name shop.pay"] == "/umbel/names/shop.pay"
    assert places(client, "MAIL")["name shop.mail/send"] == "/umbel/names/shop.mail%2Fsend"
    assert places(client, "w1")["worker w1@shop"] == "/umbel/workers/w1@shop"
    assert places(client, "lane")["queue slow lane"] == "/umbel/queue?name=slow+lane"
    assert places(client, "what is this?")["search what is this?"] == "/umbel/tasks?q=what+is+this%3F"


def test_a_task_is_found_by_its_id_and_by_its_beginning_and_stands_first(client: TestClient) -> None:
    for typed in (ID, ID[:6], f" {ID} "):
        assert next(iter(places(client, typed).items())) == (f"task {ID}  shop.pay", f"/umbel/tasks/{ID}")
    assert not any(place.startswith("task ") for place in places(client, ID[:5]))


def test_every_place_is_a_page(client: TestClient) -> None:
    for typed in ("", "shop", "w1", ID):
        for place, href in places(client, typed).items():
            assert client.get(href).status_code == 200, place


def test_a_store_that_cannot_be_read_is_said(stage: Stage) -> None:
    stage.reader = Unreadable()
    with stage.client() as client:
        assert client.get("/api/v1/places", params={"q": "pay"}).status_code == 503
        assert client.get("/api/v1/places").status_code == 200
        assert client.get("/api/v1/places", params={"q": "x" * 501}).status_code == 400
