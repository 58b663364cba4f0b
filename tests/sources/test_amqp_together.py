"""Several collectors on one RabbitMQ: sharing one queue, or each with a queue of its own behind a consistent hash."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

import pika
import pytest
from pika import exceptions

from tests.conformance.source_rigs import QUICK, AmqpRig, decoded, ids, poll_events, task_events, unique
from tests.services import RabbitMQServer
from umbel.model.event import AnyEvent
from umbel.sources.amqp_url import explain
from umbel.sources.base import Batch, Source


def publish_from(rig: AmqpRig, hosts: int, each: int) -> None:
    """`each` events of so many workers, one after the other."""
    app = rig.app()
    with app.connection_for_write() as connection:
        for host in range(hosts):
            with app.events.Dispatcher(connection, hostname=f"w{host}@rig", buffer_limit=1) as dispatcher:
                for number in range(each):
                    dispatcher.send("task-started", uuid=str(host * each + number))
    app.close()


def until(check: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 90
    while not check():
        assert time.monotonic() < deadline, what


def poll(sources: list[Source], found: list[list[AnyEvent]]) -> int:
    for source, events in zip(sources, found, strict=True):
        batch = source.poll(QUICK)
        events.extend(decoded(batch))
        if batch.position is not None:
            source.commit(batch.position)
    return sum(map(len, found))


def test_events_are_spread_by_worker_each_to_one_queue(rabbitmq_server: RabbitMQServer) -> None:
    first = AmqpRig(rabbitmq_server.url, "classic", queue_spread=unique("spread"))
    second = AmqpRig(rabbitmq_server.url, "quorum")
    second.settings = replace(
        first.settings, queue_name=second.settings.queue_name, queue_type=second.settings.queue_type
    )
    with ExitStack() as stack:
        sources: list[Source] = []
        for rig in (first, second):
            sources.append(rig.open(None))
            stack.callback(sources[-1].close)
            until(lambda: sources[-1].status().connected, "the connection")
        # With confirms: without, a quorum queue need not keep what its sender did not stay for.
        publish_from(second, hosts=40, each=5)
        found: list[list[AnyEvent]] = [[], []]
        until(lambda: poll(sources, found) >= 200, "every event")
        poll(sources, found)
    hosts = [{event.hostname for event in events} for events in found]
    assert hosts[0] & hosts[1] == set()
    assert all(hosts)
    assert sorted([*ids(found[0]), *ids(found[1])]) == list(range(200))


def test_a_queue_that_took_everything_takes_its_share_once_it_is_spread(rabbitmq_server: RabbitMQServer) -> None:
    rig = AmqpRig(rabbitmq_server.url, "classic")
    source = rig.open(None)
    until(lambda: source.status().connected, "the connection")
    source.close()
    rig.settings = replace(rig.settings, queue_spread=unique("spread"))
    source = rig.open(None)
    try:
        until(lambda: source.status().connected, "the connection")
        rig.publish(task_events(50))
        assert ids(poll_events(source, 50)) == list(range(50))
        assert not len(source.poll(QUICK))
    finally:
        source.close()


def next_batch(source: Source) -> Batch:
    deadline = time.monotonic() + 60
    while True:
        batch = source.poll(QUICK)
        if len(batch):
            assert batch.position is not None
            source.commit(batch.position)
            return batch
        assert time.monotonic() < deadline, "no batch came"


def test_of_a_shared_queue_no_loss_is_reckoned(rabbitmq_server: RabbitMQServer) -> None:
    rig = AmqpRig(rabbitmq_server.url, "classic")
    with ExitStack() as stack:
        alone = rig.open(None)
        stack.callback(alone.close)
        until(lambda: alone.status().connected, "the connection")
        rig.publish(task_events(1))
        assert not next_batch(alone).shared
        other = rig.open(None)
        stack.callback(other.close)
        until(lambda: other.status().connected, "the other connection")

        def told() -> bool:
            rig.publish(task_events(2))
            return all(next_batch(source).shared for source in (alone, other))

        until(told, "both to know of each other")


@pytest.mark.parametrize("text", ["COMMAND_INVALID - unknown exchange type 'x-consistent-hash'"])
def test_a_broker_without_consistent_hash_exchanges_is_told_the_remedy(text: str) -> None:
    said = explain(exceptions.ConnectionClosedByBroker(503, text), pika.ConnectionParameters())
    assert "rabbitmq-plugins enable rabbitmq_consistent_hash_exchange" in said
