"""A queue's page on a real Redis and a real RabbitMQ: what waits, throwing it away, who may see and do what."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from tests.conformance.source_rigs import unique
from tests.services import RabbitMQServer, RedisServer
from tests.support.app import client
from tests.web.stage import Stage
from umbel.access.identity import Role
from umbel.runtime.brokers import queue_depths, queue_messages
from umbel.runtime.stores import open_audit

SECRET = "arg-51d0"


@pytest.fixture
def queue() -> str:
    return unique("mail")


@pytest.fixture
def brokered(stage: Stage) -> Iterator[Stage]:
    """A stage that audits; `at` gives it its broker."""
    stage.well()
    stage.commit()
    stage.settings = replace(stage.settings, data_dir=str(stage.directory / "data"))
    with closing(open_audit(stage.settings, stage.clock)) as stage.audit:
        yield stage
    for adapter in (stage.queues, stage.messages):
        if adapter is not None:
            adapter.close()


def at(stage: Stage, broker: str, queue: str, tasks: int) -> None:
    """Give the stage a broker with tasks of a real producer in the queue."""
    stage.settings = replace(stage.settings, broker=broker)
    stage.queues, stage.messages = queue_depths(stage.settings), queue_messages(stage.settings)
    producer = client(broker)
    for n in range(tasks):
        producer.send_task("support.add", (n, SECRET), queue=queue)
    producer.close()


def test_on_redis_the_next_messages_are_shown_and_a_purge_is_asked_for_first(
    brokered: Stage, redis_server: RedisServer, queue: str
) -> None:
    at(brokered, redis_server.url.rstrip("/").removesuffix("/0") + "/7", queue, 3)
    with brokered.client() as web:
        assert "This broker keeps no dead letters" in web.get("/queues").text
        shown = web.get("/queue", params={"name": queue}).text
        assert shown.count(SECRET) == 3
        assert "3 ready" in shown
        assert "Arriving" in shown
        assert "Longest waiting" in shown
        asked = web.post("/queue/purge", data={"queue": queue}).text
        assert "are thrown away: <b>3</b> just now" in asked
        assert "3 ready" in web.get("/queue", params={"name": queue}).text
        done = web.post("/queue/purge", data={"queue": queue, "sure": "yes"}).text
        assert "3 messages were thrown away" in done
        assert "Nothing waits" in web.get("/queue", params={"name": queue}).text
        (entry,) = web.get("/api/v1/audit").json()["items"]
    assert (entry["action"], entry["arguments"], entry["via"]) == ("purge", {"queue": queue}, "page")


def test_on_rabbitmq_a_look_is_asked_for_since_it_leaves_a_mark(
    brokered: Stage, rabbitmq_server: RabbitMQServer, queue: str
) -> None:
    at(brokered, rabbitmq_server.vhost(unique("queue")), queue, 2)
    with brokered.client() as web:
        page = web.get("/queue", params={"name": queue}).text
        assert SECRET not in page
        assert "marked as redelivered" in page
        assert web.post("/queue/peek", data={"queue": queue}).text.count(SECRET) == 2
        assert "2 ready" in web.get("/queue", params={"name": queue}).text


def test_read_only_shows_and_changes_nothing(brokered: Stage, redis_server: RedisServer, queue: str) -> None:
    at(brokered, redis_server.url.rstrip("/").removesuffix("/0") + "/7", queue, 2)
    brokered.settings = replace(brokered.settings, read_only=True)
    with brokered.client() as web:
        shown = web.get("/queue", params={"name": queue}).text
        assert shown.count(SECRET) == 2
        assert "Purge" not in shown
        assert web.post("/queue/purge", data={"queue": queue, "sure": "yes"}).status_code == 403
        assert "2 ready" in web.get("/queue", params={"name": queue}).text


def test_who_does_not_see_arguments_sees_the_depth_alone(
    brokered: Stage, redis_server: RedisServer, queue: str
) -> None:
    at(brokered, redis_server.url.rstrip("/").removesuffix("/0") + "/7", queue, 2)
    login = brokered.sign_in_by(basic_auth=("ann:x",), roles=("ann=admin",))
    header = {"Authorization": f"Bearer {login.issue('viewer', Role.VIEWER, 1, 'ann')}"}
    with brokered.client() as web:
        shown = web.get("/queue", params={"name": queue}, headers=header).text
        assert SECRET not in shown
        assert "2 ready" in shown
        assert "your role does not see" in shown
        assert web.post("/queue/purge", data={"queue": queue, "sure": "yes"}, headers=header).status_code == 403
