"""Queue depths and the doctor, against real Redis servers, with messages and workers of real Celery."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery

from tests.support.celery import CeleryWorker
from tests.support.redis import RedisSentinel, RedisServer
from umbel.brokers import redis as module
from umbel.brokers.base import Finding, QueueDepth
from umbel.brokers.redis import RedisQueueDepths
from umbel.brokers.redis_doctor import diagnose_redis
from umbel.errors import BrokerError, SettingsError
from umbel.settings import Settings

Factory = Callable[..., RedisServer]


@pytest.fixture
def server(redis_factory: Factory) -> RedisServer:
    return redis_factory()


@pytest.fixture
def depths(server: RedisServer) -> Iterator[RedisQueueDepths]:
    made = RedisQueueDepths(Settings(broker=server.url))
    yield made
    made.close()


def send(broker: str, queue: str, priorities: list[int], transport: dict[str, Any] | None = None) -> None:
    app = Celery(broker=broker, set_as_current=False)
    app.conf.broker_transport_options = transport or {}
    for priority in priorities:
        app.send_task("t", queue=queue, priority=priority)
    app.close()


def test_an_unknown_or_empty_queue_has_nothing_ready(depths: RedisQueueDepths) -> None:
    assert depths.depths(["celery"]) == [
        QueueDepth("celery", ready=0, unacked=0, by_priority=((0, 0), (3, 0), (6, 0), (9, 0)))
    ]
    assert depths.depths([]) == []


def test_every_priority_step_counts(server: RedisServer, depths: RedisQueueDepths) -> None:
    send(server.url, "mail", [0, 0, 3, 9])
    send(server.url, "celery", [0])
    mail, celery = depths.depths(["mail", "celery"])
    assert (mail.name, mail.ready, mail.by_priority) == ("mail", 4, ((0, 2), (3, 1), (6, 0), (9, 1)))
    assert celery.ready == 1


def test_prefix_separator_and_steps_are_the_configured_ones(server: RedisServer) -> None:
    transport = {"global_keyprefix": "pfx:", "priority_steps": [0, 5], "sep": ":", "queue_order_strategy": "priority"}
    broker = server.url.replace("/0", "/4")
    send(broker, "mail", [0, 5, 5], transport)
    depths = RedisQueueDepths(Settings(broker=broker, broker_options=transport))
    assert depths.depths(["mail"])[0].by_priority == ((0, 1), (5, 2))
    depths.close()


def test_what_workers_hold_is_told_by_queue(server: RedisServer, depths: RedisQueueDepths) -> None:
    send(server.url, "mail", [0, 0, 0])
    send(server.url, "celery", [0])
    app = Celery(broker=server.url, set_as_current=False)
    with app.connection_for_read() as connection:
        queue = connection.SimpleQueue("mail")
        held = [queue.get(timeout=60) for _ in range(2)]
        mail, celery = depths.depths(["mail", "celery"])
        assert (mail.ready, mail.unacked) == (1, 2)
        assert (celery.ready, celery.unacked) == (1, 0)
        for message in held:
            message.ack()
        assert depths.depths(["mail"])[0].unacked == 0
        queue.close()
    app.close()


@pytest.mark.parametrize("bound", ["UNACKED_SCAN", "UNACKED_BYTES"])
def test_too_many_held_messages_are_not_read(
    server: RedisServer, depths: RedisQueueDepths, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(module, bound, 3)
    with server.client() as client:
        client.hset("unacked", mapping={str(n): '[{}, "", "mail"]' for n in range(4)})
    assert depths.depths(["mail"])[0].unacked is None


def test_keys_that_are_not_kombus_do_no_harm(server: RedisServer, depths: RedisQueueDepths) -> None:
    with server.client() as client:
        client.set("mail", "mine")
        client.hset("unacked", mapping={"a": "{", "b": "3", "c": '[{}, "", "celery"]'})
    mail, celery = depths.depths(["mail", "celery"])
    assert mail.ready is None
    assert (celery.ready, celery.unacked) == (0, 1)


def test_an_absent_broker_is_named_and_a_returned_one_is_used(server: RedisServer, depths: RedisQueueDepths) -> None:
    depths.depths(["celery"])
    server.stop()
    with pytest.raises(BrokerError, match="connection refused"):
        depths.depths(["celery"])
    server.start()
    assert depths.depths(["celery"])[0].ready == 0


def test_a_broker_that_hangs_is_given_up_within_five_seconds(server: RedisServer, depths: RedisQueueDepths) -> None:
    depths.depths(["celery"])
    server.pause()
    with pytest.raises(BrokerError, match="no answer"):
        depths.depths(["celery"])
    server.resume()


def test_a_wrong_url_is_refused_when_made() -> None:
    with pytest.raises(SettingsError):
        RedisQueueDepths(Settings(broker="redis://h/x"))


def by_title(findings: list[Finding]) -> dict[str, Finding]:
    assert len({finding.title for finding in findings}) == len(findings)
    return {finding.title: finding for finding in findings}


def test_the_doctor_finds_a_plain_server_well_and_misses_workers(server: RedisServer) -> None:
    found = by_title(diagnose_redis(Settings(broker=server.url)))
    assert {title: finding.level for title, finding in found.items()} == {
        "broker": "ok",
        "version": "ok",
        "output buffer": "ok",
        "subscription": "ok",
        "workers": "warn",
    }
    assert found["workers"].remedy


@pytest.mark.slow
def test_the_doctor_sees_workers_and_a_wrong_database(
    server: RedisServer, celery_worker: Callable[..., CeleryWorker]
) -> None:
    celery_worker(server.url.replace("/0", "/3"), pool="solo")
    right = by_title(diagnose_redis(Settings(broker=server.url.replace("/0", "/3"))))
    assert right["workers"].level == "ok"
    wrong = by_title(diagnose_redis(Settings(broker=server.url)))
    assert wrong["workers"].level == "error"
    assert "some do in database 3" in wrong["workers"].detail
    prefixed = Settings(broker=server.url.replace("/0", "/3"), broker_options={"global_keyprefix": "x:"})
    misnamed = by_title(diagnose_redis(prefixed))
    assert misnamed["workers"].level == "error"
    assert "global_keyprefix" in misnamed["workers"].remedy


def test_the_doctor_warns_of_a_small_output_buffer(redis_factory: Factory) -> None:
    server = redis_factory(options={"client-output-buffer-limit": "pubsub 1mb 512kb 60"})
    found = by_title(diagnose_redis(Settings(broker=server.url)))["output buffer"]
    assert (found.level, found.detail) == ("warn", "subscribers are cut off at 1 MiB, or above 0.5 MiB for 60 s")
    assert "client-output-buffer-limit" in found.remedy


def test_the_doctor_takes_no_bound_as_well(redis_factory: Factory) -> None:
    server = redis_factory(options={"client-output-buffer-limit": "pubsub 0 0 0"})
    assert by_title(diagnose_redis(Settings(broker=server.url)))["output buffer"].level == "ok"


def test_the_doctor_says_what_may_not_be_seen_and_what_is_forbidden(server: RedisServer) -> None:
    with server.client() as client:
        client.execute_command(
            "ACL", "SETUSER", "meek", "on", ">pw", "+@all", "-config", "-info", "resetchannels", "&/1.*"
        )
    found = by_title(diagnose_redis(Settings(broker=f"redis://meek:pw@127.0.0.1:{server.port}/0")))
    assert found["version"].level == found["output buffer"].level == "warn"
    assert found["subscription"].level == "error"
    assert "SUBSCRIBE" in found["subscription"].remedy


@pytest.mark.parametrize(
    ("broker", "says"),
    [
        ("redis://127.0.0.1:1/0?credential_provider=no.such:Thing", "credential_provider"),
        ("redis://a..b/0", "not known"),
        ("rediss://127.0.0.1:1/0?ssl_color=blue", "ssl_color"),
        ("redis://127.0.0.1:1/0", "connection refused"),
        ("redis://nobody.invalid/0", "not known"),
        ("redis+socket:///nowhere/redis.sock", "no such file"),
        ("redis://127.0.0.1/x", "database is a number"),
        ("sentinel://127.0.0.1:1/0", "master_name"),
    ],
)
def test_the_doctor_names_what_keeps_it_out(broker: str, says: str) -> None:
    (found,) = diagnose_redis(Settings(broker=broker))
    assert found.level == "error"
    assert says in found.detail
    assert found.remedy


def test_the_doctor_tells_wrong_passwords_apart(redis_factory: Factory) -> None:
    server = redis_factory(password="right")
    (none,) = diagnose_redis(Settings(broker=f"redis://127.0.0.1:{server.port}/0"))
    assert "a password is required" in none.detail
    (wrong,) = diagnose_redis(Settings(broker=f"redis://:wrong@127.0.0.1:{server.port}/0"))
    assert "password was refused" in wrong.detail
    assert "wrong" not in wrong.detail
    (needless,) = diagnose_redis(Settings(broker=server.url.replace("/0", "/99")))
    assert "no database of that number" in needless.detail


def test_depths_and_doctor_ask_the_master_that_sentinels_name(redis_sentinel: RedisSentinel) -> None:
    transport = {"master_name": redis_sentinel.master_name}
    settings = Settings(broker=redis_sentinel.url, broker_options=transport)
    send(redis_sentinel.url, "mail", [0, 6], transport)
    depths = RedisQueueDepths(settings)
    assert depths.depths(["mail"])[0].ready == 2
    depths.close()
    assert by_title(diagnose_redis(settings))["broker"].level == "ok"
    plain = Settings(broker=f"sentinel://127.0.0.1:{redis_sentinel.master.port}/0", broker_options=transport)
    assert "no Sentinel" in diagnose_redis(plain)[0].detail
