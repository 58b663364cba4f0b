"""Every check of Flower's API once more on RabbitMQ, whose queues tell more than Redis's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.source_rigs import unique
from tests.flower.rig import BACKEND, Rig, Service, on_redis, running

# Collected here, they are given this module's rig.
from tests.flower.test_same import *  # noqa: F403
from tests.services import RabbitMQServer, RedisServer, wait_until
from tests.support.app import client

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def rig(
    rabbitmq_server: RabbitMQServer, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    broker, backend = rabbitmq_server.vhost(unique("flower")), on_redis(redis_server, BACKEND)
    api = f"{rabbitmq_server.management_url}/api/"
    with running(Rig(broker, backend, tmp_path_factory.mktemp("rabbitmq-flower"), api)) as made:
        yield made


@pytest.fixture(params=["umbel", pytest.param("flower", marks=pytest.mark.drill)])
def service(request: pytest.FixtureRequest, rig: Rig) -> Service:
    """Flower agrees or not on Redis already; here it is asked by the long form alone."""
    return rig.service(request.param)


def test_queue_lengths_count_what_the_worker_holds(service: Service, rig: Rig) -> None:
    """Tasks with an ETA, revoked ones among them, until their time has come."""
    producer = client(rig.broker, rig.backend)
    try:
        later = producer.send_task("support.add", (1, 2), countdown=86_400).id

        def scheduled() -> list[str]:
            answers = producer.control.inspect([rig.worker.hostname], timeout=5).scheduled() or {}
            return [entry["request"]["id"] for entry in answers.get(rig.worker.hostname, [])]

        wait_until(lambda: later in scheduled(), "the worker holding the task", every=0.5)
        held = len(scheduled())
    finally:
        producer.close()

    def counted() -> bool:
        answer = service.get("/api/queues/length")
        assert answer.status == 200, answer.text
        names = ("name", "consumers", "messages", "messages_ready", "messages_unacknowledged")
        found = [[queue.get(name) for name in names] for queue in answer.json["active_queues"]]
        return ["celery", 1, held, 0, held] in found

    # RabbitMQ's management counts anew every five seconds.
    wait_until(counted, "the queue counted", every=0.5, explain=lambda: service.get("/api/queues/length").text)
