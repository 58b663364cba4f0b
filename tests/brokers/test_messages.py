"""What queues hold, on a real Redis and a real RabbitMQ: looked at, thrown away, put back; nothing lost or moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from tests.conformance.source_rigs import unique
from tests.services import RabbitMQServer, RedisServer, wait_until
from tests.support.app import client
from umbel.brokers.base import Message
from umbel.brokers.rabbitmq import RabbitQueueDepths
from umbel.brokers.rabbitmq_messages import RabbitMessages
from umbel.brokers.redis import RedisQueueDepths
from umbel.brokers.redis_messages import RedisMessages
from umbel.errors import BrokerError
from umbel.settings import Settings
from umbel.sources.amqp_url import parameters


@pytest.fixture
def redis_settings(redis_server: RedisServer) -> Settings:
    return Settings(broker=redis_server.url.rstrip("/").removesuffix("/0") + "/7")


@pytest.fixture
def amqp(rabbitmq_server: RabbitMQServer) -> Settings:
    api = f"{rabbitmq_server.management_url}/api"
    return Settings(broker=rabbitmq_server.vhost(unique("messages")), broker_api=api)


@pytest.fixture
def channel(amqp: Settings) -> Iterator[BlockingChannel]:
    connection = pika.BlockingConnection(parameters(amqp)[0])
    yield connection.channel()
    connection.close()


def send(settings: Settings, queue: str, *numbers: int, **options: Any) -> list[str]:
    """Tasks from a real producer; their ids."""
    producer = client(settings.broker, broker_transport_options=dict(settings.broker_options))
    sent = [str(producer.send_task("support.add", (n, b"\xff"), queue=queue, **options).id) for n in numbers]
    producer.close()
    return sent


def ids(messages: Any) -> list[str]:
    return [message.headers["id"] for message in messages]


def test_a_look_on_redis_shows_the_order_of_delivery_by_priority_and_changes_nothing(redis_settings: Settings) -> None:
    settings = replace(redis_settings, broker_options={"global_keyprefix": unique("prefix.")})
    queue = unique("mail")
    low = send(settings, queue, *range(25), priority=9)
    high = send(settings, queue, 1, 2, priority=0)
    messages, depths = RedisMessages(settings), RedisQueueDepths(settings)
    try:
        for _ in range(2):
            assert ids(messages.peek(queue, 100)) == high + low
            assert ids(messages.peek(queue, 24)) == (high + low)[:24]
        found = messages.find(queue, low[-1], 100)
        assert isinstance(found, Message)
        assert (found.priority, found.routing_key, found.content_type) == (9, queue, "application/json")
        assert messages.find(queue, low[-1], 10) is None
        assert messages.find(queue, "other", 100) is None
        (depth,) = depths.depths([queue])
        assert depth.by_priority == ((0, 2), (3, 0), (6, 0), (9, 25))
        assert messages.purge(queue) == 27
        assert messages.peek(queue, 10) == []
        assert messages.purge(queue) == 0
        assert messages.dead_letters() is None
    finally:
        messages.close()
        depths.close()


def test_a_look_on_rabbitmq_loses_nothing_keeps_the_order_and_marks(amqp: Settings, channel: BlockingChannel) -> None:
    sent = send(amqp, "mail", *range(7))
    messages = RabbitMessages(amqp)
    first = messages.peek("mail", 3)
    assert ids(first) == sent[:3]
    assert not any(message.redelivered for message in first)
    wait_until(lambda: RabbitQueueDepths(amqp).depths(["mail"])[0].ready == 7, "all given back", timeout=60)
    again = messages.peek("mail", 100)
    assert ids(again) == sent
    assert [message.redelivered for message in again] == [True] * 3 + [False] * 4
    wait_until(lambda: RabbitQueueDepths(amqp).depths(["mail"])[0].ready == 7, "all given back", timeout=60)
    found = messages.find("mail", sent[4], 100)
    assert found is not None
    assert found.headers["task"] == "support.add"
    wait_until(lambda: RabbitQueueDepths(amqp).depths(["mail"])[0].ready == 7, "all given back", timeout=60)
    assert messages.purge("mail") == 7
    with pytest.raises(BrokerError, match="no such queue"):
        messages.purge("gone")
    with pytest.raises(BrokerError, match="no such queue"):
        messages.peek("gone", 1)
    assert channel.queue_declare("mail", passive=True).method.message_count == 0


def letters(channel: BlockingChannel, queue: str) -> None:
    """A queue whose dead letters go through an exchange of their own into `<queue>.dead`."""
    channel.exchange_declare("dead", "direct", durable=True)
    channel.queue_declare(f"{queue}.dead", durable=True)
    channel.queue_bind(f"{queue}.dead", "dead", queue)
    channel.queue_declare(queue, durable=True, arguments={"x-dead-letter-exchange": "dead"})


def reject(channel: BlockingChannel, queue: str, count: int) -> None:
    for _ in range(count):
        method, _, _ = channel.basic_get(queue)
        channel.basic_reject(method.delivery_tag, requeue=False)


def test_dead_letters_are_found_and_put_back_exactly_in_their_order(amqp: Settings, channel: BlockingChannel) -> None:
    for queue in ("mail", "pay"):
        letters(channel, queue)
    channel.queue_bind("mail.dead", "dead", "pay")
    channel.queue_unbind("pay.dead", "dead", "pay")
    for number in range(6):
        properties = pika.BasicProperties(headers={"id": str(number)}, delivery_mode=2, priority=3)
        channel.basic_publish("", "mail" if number % 2 else "pay", f"{number}".encode(), properties)
    reject(channel, "pay", 3)
    reject(channel, "mail", 3)
    # One that did not die, and so does not say where it came from.
    channel.basic_publish("", "mail.dead", b"lost", pika.BasicProperties(headers={"id": "lost"}))
    messages = RabbitMessages(amqp)
    wait_until(lambda: len(messages.dead_letters() or ()) == 1, "the queues being told of", timeout=60)
    (found,) = messages.dead_letters() or ()
    assert (found.name, list(found.sources)) == ("mail.dead", ["mail", "pay"])
    wait_until(lambda: len(messages.peek("mail.dead", 100)) == 7, "the dead letters", timeout=60)
    wait_until(lambda: RabbitQueueDepths(amqp).depths(["mail.dead"])[0].ready == 7, "all given back", timeout=60)

    moved = messages.put_back("mail.dead", 100)
    assert dict(moved.into) == {"mail": 3, "pay": 3}
    assert (moved.left, moved.why) == (1, "it does not say which queue it came from")
    assert ids(messages.peek("pay", 10)) == ["0", "2", "4"]
    back = messages.peek("mail", 10)
    assert ids(back) == ["1", "3", "5"]
    assert back[0].body == b"1"
    assert back[0].priority == 3
    # Another death is its first one again, or the broker would take it for a circle.
    assert set(back[0].headers) == {"id"}
    wait_until(lambda: RabbitQueueDepths(amqp).depths(["mail.dead"])[0].ready == 1, "the one left", timeout=60)
    refused = messages.put_back("mail.dead", 100, into="nowhere")
    assert (dict(refused.into), refused.left, refused.why) == ({}, 1, "there is no queue 'nowhere'")
    wait_until(lambda: RabbitQueueDepths(amqp).depths(["mail.dead"])[0].ready == 1, "the one left", timeout=60)
    assert dict(messages.put_back("mail.dead", 100, into="mail").into) == {"mail": 1}


def test_celerys_delayed_delivery_is_no_queue_of_dead_letters(amqp: Settings, channel: BlockingChannel) -> None:
    channel.exchange_declare("celery_delayed_0", "topic")
    channel.exchange_declare("celery_delayed_delivery", "topic")
    channel.queue_declare("celery_delayed_1", arguments={"x-dead-letter-exchange": "celery_delayed_0"})
    channel.queue_declare("celery_delayed_0", arguments={"x-dead-letter-exchange": "celery_delayed_delivery"})
    channel.queue_bind("celery_delayed_0", "celery_delayed_0", "#")
    # A policy-less queue whose dead letters go nowhere, and one whose go to a topic.
    channel.exchange_declare("all.dead", "topic")
    channel.queue_declare("pay.dead")
    channel.queue_bind("pay.dead", "all.dead", "shop.*.dead")
    arguments = {"x-dead-letter-exchange": "all.dead", "x-dead-letter-routing-key": "shop.pay.dead"}
    channel.queue_declare("pay", arguments=arguments)
    messages = RabbitMessages(amqp)
    wait_until(lambda: messages.dead_letters() or None, "the queues being told of", timeout=60)
    assert [(one.name, list(one.sources)) for one in messages.dead_letters() or ()] == [("pay.dead", ["pay"])]
    with pytest.raises(BrokerError, match="--broker-api off"):
        RabbitMessages(replace(amqp, broker_api="off")).dead_letters()


@pytest.mark.slow
def test_tls_is_verified_on_both(redis_factory: Callable[..., RedisServer], rabbitmq_server: RabbitMQServer) -> None:
    redis = redis_factory(tls=True)
    # Its URL says which authority to trust; without that, the server is not believed.
    trusting, distrusting = Settings(broker=redis.url), Settings(broker=redis.url.partition("?")[0])
    for settings, trusted in ((trusting, True), (distrusting, False)):
        messages, depths = RedisMessages(settings), RedisQueueDepths(settings)
        asked: list[Callable[[], Any]] = [
            lambda made=messages: made.peek("celery", 1),  # type: ignore[misc]  # mypy cannot infer a lambda's default
            lambda made=depths: made.depths(["celery"]),  # type: ignore[misc]
        ]
        for ask in asked:
            if trusted:
                ask()
            else:
                with pytest.raises(BrokerError, match="certificate is not trusted"):
                    ask()
        messages.close()
        depths.close()
    url = rabbitmq_server.tls_url.replace("127.0.0.1", "localhost")
    believed = Settings(broker=url, broker_ssl={"ca_certs": str(rabbitmq_server.certificates.authority)})
    assert RabbitQueueDepths(believed).depths(["gone"]) == []
    with pytest.raises(BrokerError, match="certificate"):
        RabbitQueueDepths(Settings(broker=url)).depths(["gone"])
    with pytest.raises(BrokerError, match="certificate"):
        RabbitMessages(Settings(broker=url)).peek("gone", 1)
