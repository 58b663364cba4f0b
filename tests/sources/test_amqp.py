"""RabbitMQ in particular: what it refuses, what its queue holds back, and how capture goes on after it was away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import quote

import pika
import pytest

from tests.conformance.source_rigs import AmqpRig, ids, poll_events, task_events, unique
from tests.services import RabbitMQServer, free_port, wait_until
from tests.support.rabbitmq import unacknowledged
from umbel.errors import BrokerError
from umbel.model.decode import Decoder
from umbel.model.event import EventClass
from umbel.model.ledger import Reason
from umbel.settings import MIB, Settings
from umbel.sources.amqp import AmqpSource
from umbel.sources.amqp_consumer import PREFETCH
from umbel.sources.amqp_url import parameters
from umbel.sources.base import Limits, Source


@contextmanager
def opened(rig: AmqpRig, position: str | None = None) -> Iterator[Source]:
    source = rig.open(position)
    try:
        yield source
    finally:
        source.close()


@contextmanager
def channel(url: str) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
    connection = pika.BlockingConnection(parameters(Settings(broker=url))[0])
    try:
        yield connection.channel()
    finally:
        connection.close()


def ready(url: str, queue: str) -> int:
    with channel(url) as it:
        count: int = it.queue_declare(queue, passive=True).method.message_count
        return count


def test_twenty_thousand_events_all_arrive_in_order(rabbitmq_server: RabbitMQServer) -> None:
    rig = AmqpRig(rabbitmq_server.url, "classic")
    with opened(rig) as source:
        rig.publish(task_events(20_000))
        assert ids(poll_events(source, 20_000, timeout=60)) == list(range(20_000))


def test_the_queue_is_emptied_by_commits(rabbitmq_server: RabbitMQServer) -> None:
    rig = AmqpRig(rabbitmq_server.url, "classic")
    with opened(rig) as source:
        rig.publish(task_events(100))
        poll_events(source, 100)
        assert ready(rig.settings.broker, rig.settings.queue_name) == 0
        wait_until(
            lambda: unacknowledged(rabbitmq_server, rig.settings.queue_name) == 0, "the acknowledgement", every=0.5
        )


def test_the_broker_holds_back_what_nobody_polls(rabbitmq_server: RabbitMQServer) -> None:
    rig = AmqpRig(rabbitmq_server.url, "classic")
    with opened(rig) as source:
        rig.publish(task_events(PREFETCH + 500))
        wait_until(
            lambda: ready(rig.settings.broker, rig.settings.queue_name) == 500, "500 messages held by the broker"
        )
        assert ids(poll_events(source, PREFETCH + 500, timeout=60)) == list(range(PREFETCH + 500))


def test_the_inbox_is_bounded_in_bytes_and_recovers_its_pace(rabbitmq_server: RabbitMQServer) -> None:
    rig = AmqpRig(rabbitmq_server.url, "classic")
    source = AmqpSource(rig.settings, inbox_bytes=1 * MIB)
    source.open(None)
    try:
        wait_until(lambda: source.status().connected, "connection")
        rig.publish([event | {"args": "x" * 50_000} for event in task_events(200)])
        wait_until(
            lambda: ready(rig.settings.broker, rig.settings.queue_name) >= 150, "the broker holding messages back"
        )
        held = source._inbox.held_bytes
        assert held <= 1 * MIB + 60_000
        assert sorted(ids(poll_events(source, 200, timeout=60))) == list(range(200))
        rig.publish(task_events(5_000, start=200))
        assert sorted(ids(poll_events(source, 5_000, timeout=60))) == list(range(200, 5_200))
        # 1 MiB holds some 4,000 of these; a prefetch of twenty, as for the large ones, would be a crawl.
        consumer = source._consumer
        assert consumer is not None
        assert consumer._prefetch > 200
    finally:
        source.close()


def test_a_stream_keeps_its_bytes_bound_without_losing_or_repeating(rabbitmq_server: RabbitMQServer) -> None:
    rig = AmqpRig(rabbitmq_server.url, "stream")
    source = AmqpSource(rig.settings, inbox_bytes=1 * MIB)
    source.open(None)
    try:
        wait_until(lambda: source.status().connected, "connection")
        rig.publish([event | {"args": "x" * 50_000} for event in task_events(200)])
        wait_until(lambda: source._inbox.full or source._inbox.held_bytes > 0.9 * MIB, "a full inbox")
        time.sleep(0.5)
        assert source._inbox.held_bytes <= 1 * MIB + 60_000
        assert ids(poll_events(source, 200, timeout=60)) == list(range(200))
        assert source.status().reconnects == 0
        assert source.status().error == ""
    finally:
        source.close()


def test_tls_with_the_authority_named(rabbitmq_server: RabbitMQServer) -> None:
    ssl = {"ca_certs": str(rabbitmq_server.certificates.authority), "cert_reqs": "CERT_REQUIRED"}
    rig = AmqpRig(rabbitmq_server.tls_url.replace("127.0.0.1", "localhost"), "classic", broker_ssl=ssl)
    plain = AmqpRig(rabbitmq_server.url, "classic")
    plain.settings = replace(rig.settings, broker=rabbitmq_server.url, broker_ssl={})
    with opened(rig) as source:
        plain.publish(task_events(10))
        assert ids(poll_events(source, 10)) == list(range(10))


def test_tls_without_trust_says_what_to_name(rabbitmq_server: RabbitMQServer) -> None:
    source = AmqpSource(Settings(broker=rabbitmq_server.tls_url, queue_name=unique("umbel")))
    assert_error(source, "certificate is not trusted", "ca_certs")


def test_a_virtual_host_of_its_own(rabbitmq_server: RabbitMQServer) -> None:
    url = rabbitmq_server.vhost("team/a")
    rig = AmqpRig(url, "classic")
    with opened(rig) as source:
        rig.publish(task_events(5))
        assert ids(poll_events(source, 5)) == list(range(5))


def assert_error(source: Source, *words: str, timeout: float = 90.0) -> None:
    """The source keeps trying, answers polls, and its status says all of `words`."""
    source.open(None)
    try:
        wait_until(lambda: source.status().error, "an error in the status", timeout=timeout)
        status = source.status()
        assert not status.connected
        assert all(word in status.error for word in words), status.error
        assert "secret" not in status.error
        assert "\n" not in status.error
        assert not len(source.poll(Limits(wait=0.05)))
    finally:
        began = time.monotonic()
        source.close()
        assert time.monotonic() - began < 60


def test_a_wrong_password_is_named_without_being_shown(rabbitmq_server: RabbitMQServer) -> None:
    url = rabbitmq_server.url.replace("guest:guest", "guest:secret")
    assert_error(AmqpSource(Settings(broker=url)), "'guest' is refused", "password")


def test_a_missing_virtual_host_is_named(rabbitmq_server: RabbitMQServer) -> None:
    url = rabbitmq_server.url.rstrip("/") + "/nowhere"
    assert_error(AmqpSource(Settings(broker=url)), "no virtual host 'nowhere'", "add_vhost")


def test_missing_permissions_are_named(rabbitmq_server: RabbitMQServer) -> None:
    rabbitmq_server.vhost("locked")
    rabbitmq_server.api("PUT", "/api/users/reader", {"password": "secret", "tags": ""})
    rights = {"configure": "^$", "write": "^$", "read": ".*"}
    rabbitmq_server.api("PUT", f"/api/permissions/{quote('locked')}/reader", rights)
    url = f"amqp://reader:secret@127.0.0.1:{rabbitmq_server.port}/locked"
    assert_error(AmqpSource(Settings(broker=url)), "'reader' lacks a permission", "set_permissions")
    assert_error(AmqpSource(Settings(broker=url.replace("/locked", "/"))), "'reader' may not enter virtual host")


def test_a_refused_connection_is_named() -> None:
    assert_error(
        AmqpSource(Settings(broker=f"amqp://127.0.0.1:{free_port()}//")), "connection refused. Is the broker running"
    )


def test_a_host_that_does_not_exist_is_named() -> None:
    assert_error(AmqpSource(Settings(broker="amqp://no-such-host.invalid//")), "name cannot be resolved")


@pytest.mark.parametrize("url", ["redis://host", "amqp://host:port//"])
def test_what_no_waiting_mends_is_refused_at_once(url: str) -> None:
    with pytest.raises(BrokerError, match="amqp://"):
        AmqpSource(Settings(broker=url))


def test_the_second_broker_is_taken_when_the_first_is_away(rabbitmq_server: RabbitMQServer) -> None:
    rig = AmqpRig(rabbitmq_server.url, "classic")
    both = replace(rig.settings, broker=f"amqp://127.0.0.1:{free_port()}//;{rabbitmq_server.url}")
    source = AmqpSource(both)
    source.open(None)
    try:
        wait_until(lambda: source.status().connected, "connection to the second")
        rig.publish(task_events(3))
        assert ids(poll_events(source, 3)) == [0, 1, 2]
    finally:
        source.close()


def test_a_queue_with_other_properties_is_used_and_named(rabbitmq_server: RabbitMQServer) -> None:
    rig = AmqpRig(rabbitmq_server.url, "classic")
    with channel(rig.settings.broker) as it:
        it.queue_declare(rig.settings.queue_name, durable=True, arguments={"x-max-length-bytes": 5 * MIB})
    with opened(rig) as source:
        rig.publish(task_events(5))
        assert ids(poll_events(source, 5)) == list(range(5))
        assert "exists with other properties" in source.status().error
        assert rig.settings.queue_name in source.status().error


def test_a_stream_found_instead_of_a_queue_is_read_as_one(rabbitmq_server: RabbitMQServer) -> None:
    rig = AmqpRig(rabbitmq_server.url, "stream")
    with opened(rig) as source:
        rig.publish(task_events(5))
        poll_events(source, 5)
    rig.settings = replace(rig.settings, queue_type="classic")
    with opened(rig, position="2") as source:
        assert ids(poll_events(source, 2)) == [3, 4]
        assert "x-queue-type" in source.status().error


def test_an_exchange_with_other_properties_is_used_as_it_is(rabbitmq_server: RabbitMQServer) -> None:
    rig = AmqpRig(rabbitmq_server.url, "classic")
    with channel(rig.settings.broker) as it:
        it.exchange_declare(rig.settings.event_exchange, "fanout", durable=False)
        with opened(rig) as source:
            it.basic_publish(rig.settings.event_exchange, "task.multi", b"[]")
            it.basic_publish(rig.settings.event_exchange, "x", b'{"type": "x", "hostname": "h", "timestamp": 1}')
            assert len(poll_events(source, 1)) == 1


def test_a_deleted_queue_is_made_anew(rabbitmq_server: RabbitMQServer) -> None:
    rig = AmqpRig(rabbitmq_server.url, "classic")
    with opened(rig) as source:
        with channel(rig.settings.broker) as it:
            it.queue_delete(rig.settings.queue_name)
        wait_until(lambda: source.status().reconnects == 1 and source.status().connected, "a new queue")
        rig.publish(task_events(5))
        assert ids(poll_events(source, 5)) == list(range(5))


def test_going_on_in_a_stream_is_no_error(rabbitmq_server: RabbitMQServer) -> None:
    rig = AmqpRig(rabbitmq_server.url, "stream")
    with opened(rig) as source:
        rig.publish(task_events(500))
        poll_events(source, 500)
    began = time.monotonic()
    for position in ("3", "498", "499"):
        with opened(rig, position=position) as source:
            assert ids(poll_events(source, 499 - int(position))) == list(range(int(position) + 1, 500))
            assert source.status().error == ""
            assert source.status().reconnects == 0
    assert time.monotonic() - began < 90


def test_a_stream_made_anew_is_read_from_its_beginning(rabbitmq_server: RabbitMQServer) -> None:
    rig = AmqpRig(rabbitmq_server.url, "stream")
    with opened(rig, position="1000000") as source:
        rig.publish(task_events(5))
        assert ids(poll_events(source, 5)) == list(range(5))


def test_what_a_stream_dropped_unread_is_entered(rabbitmq_server: RabbitMQServer) -> None:
    rig = AmqpRig(rabbitmq_server.url, "stream", queue_bytes=2 * MIB)
    with opened(rig) as source:
        rig.publish(task_events(10))
        batch = source.poll(Limits(messages=10, wait=60))
        while (more := source.poll(Limits(wait=0.3))).position is not None:
            batch = more
    assert batch.position == "9"
    fat = [event | {"args": "x" * 20_000} for event in task_events(600, start=10)]
    rig.publish(fat)
    # Retention goes by whole segments, when the next one is begun.
    time.sleep(1)
    with opened(rig, position=batch.position) as source:
        first = source.poll(Limits(messages=1, wait=60))
        got = ids(Decoder().bodies(first.bodies).events)[0]
        [entry] = first.ledger
        assert first.discarded == {(Reason.QUEUE_FULL, EventClass.UNKNOWN): entry.count}
        assert (entry.reason, entry.estimated) == (Reason.QUEUE_FULL, False)
        # Each segment of 1 MiB that was dropped began with an entry of the broker's own.
        assert 0 < got - 10 <= entry.count <= got - 10 + 12
        assert f"before offset {first.position}" in entry.detail
        rest = ids(poll_events(source, 609 - got, timeout=90))
        assert rest == list(range(got + 1, 610))


def test_a_streams_new_segments_are_no_gaps(rabbitmq_server: RabbitMQServer) -> None:
    rig = AmqpRig(rabbitmq_server.url, "stream", queue_bytes=8 * MIB)
    with opened(rig) as source:
        for start in range(0, 200, 50):
            rig.publish([event | {"args": "x" * 20_000} for event in task_events(50, start=start)])
            found: list[int] = []
            while len(found) < 50:
                batch = source.poll(Limits(wait=60))
                assert batch.bodies
                assert not batch.ledger
                found += ids(Decoder().bodies(batch.bodies).events)
            assert found == list(range(start, start + 50))


def test_messages_of_a_compressing_publisher_are_quarantined_not_guessed(rabbitmq_server: RabbitMQServer) -> None:
    rig = AmqpRig(rabbitmq_server.url, "classic")
    with opened(rig) as source:
        app = rig.app()
        with app.connection_for_write() as connection:
            producer = app.amqp.Producer(connection)
            producer.publish({"type": "x"}, exchange=rig.settings.event_exchange, routing_key="x", compression="zlib")
        app.close()
        out = Decoder().bodies(source.poll(Limits(wait=60)).bodies)
        assert [refused.reason for refused in out.refused] == [Reason.MALFORMED]


def test_two_collectors_share_one_queue(rabbitmq_server: RabbitMQServer) -> None:
    rig = AmqpRig(rabbitmq_server.url, "classic")
    with opened(rig) as one, opened(rig) as two:
        rig.publish(task_events(400))
        found: list[int] = []
        deadline = time.monotonic() + 90
        while len(found) < 400 and time.monotonic() < deadline:
            for source in (one, two):
                batch = source.poll(Limits(messages=50, wait=0.05))
                found += ids(Decoder().bodies(batch.bodies).events)
                if batch.position:
                    source.commit(batch.position)
        assert sorted(found) == list(range(400))
