"""Queue depths and the doctor's findings, against a real RabbitMQ."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import pika
import pytest

from tests.conformance.source_rigs import AmqpRig, poll_events, task_events, unique
from tests.services import CeleryWorker, RabbitMQServer, free_port, wait_until
from umbel.brokers.base import Finding
from umbel.brokers.rabbitmq import RabbitQueueDepths, diagnose_rabbitmq
from umbel.errors import BrokerError
from umbel.settings import MIB, Settings
from umbel.sources.amqp_url import parameters


@pytest.fixture
def settings(rabbitmq_server: RabbitMQServer) -> Settings:
    return Settings(broker=rabbitmq_server.vhost(unique("depths")))


def by_title(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.title: finding for finding in findings}


def test_depths_of_the_queues_that_are_there(settings: Settings) -> None:
    connection = pika.BlockingConnection(parameters(settings)[0])
    channel = connection.channel()
    channel.queue_declare("mail", durable=True)
    channel.queue_declare("mine", exclusive=True)
    for _ in range(3):
        channel.basic_publish("", "mail", b"x")
    depths = RabbitQueueDepths(settings)
    found = {depth.name: depth for depth in depths.depths(["mail", "gone", "mine"])}
    assert set(found) == {"mail", "mine"}
    assert (found["mail"].ready, found["mail"].consumers, found["mail"].unacked) == (3, 0, None)
    # Another connection's own queue: it is there, and says no more.
    assert found["mine"].ready is None
    assert depths.depths([]) == []
    depths.close()
    connection.close()


def test_what_workers_hold_and_a_stream_keeps_is_told_by_the_management_api(
    settings: Settings, rabbitmq_server: RabbitMQServer
) -> None:
    with closing(pika.BlockingConnection(parameters(settings)[0])) as connection:
        channel = connection.channel()
        channel.queue_declare("held", durable=True)
        for _ in range(3):
            channel.basic_publish("", "held", b"x")
        channel.basic_get("held")
        channel.queue_declare("kept", durable=True, arguments={"x-queue-type": "stream"})
        for _ in range(4):
            channel.basic_publish("", "kept", b"x")

        def told(broker_api: str) -> list[tuple[int | None, int | None]]:
            depths = RabbitQueueDepths(replace(settings, broker_api=broker_api)).depths(["held", "kept"])
            return [(depth.ready, depth.unacked) for depth in depths]

        api = f"{rabbitmq_server.management_url}/api/"
        wait_until(lambda: told(api) == [(2, 1), (4, None)], "the queues counted", every=0.5)
        assert told("off")[0] == (2, None)


def test_depths_of_a_broker_that_is_away_are_an_error_in_time() -> None:
    began = time.monotonic()
    with pytest.raises(BrokerError, match="connection refused"):
        RabbitQueueDepths(Settings(broker=f"amqp://127.0.0.1:{free_port()}//")).depths(["celery"])
    assert time.monotonic() - began < 30


def test_an_untouched_virtual_host(settings: Settings) -> None:
    findings = by_title(diagnose_rabbitmq(settings))
    assert findings["RabbitMQ"].level == "ok"
    assert findings["permissions"].level == "ok"
    for title in ("workers", "exchange of events", "queue of events"):
        assert findings[title].level == "warn"
        assert findings[title].remedy
    # Looking has made nothing.
    assert by_title(diagnose_rabbitmq(settings))["queue of events"].level == "warn"


def test_all_is_well(rabbitmq_server: RabbitMQServer, celery_worker: Callable[..., CeleryWorker]) -> None:
    api = f"{rabbitmq_server.management_url}/api"
    rig = AmqpRig(rabbitmq_server.vhost(unique("depths")), "classic", event_exchange="celeryev", broker_api=api)
    celery_worker(rig.settings.broker, pool="solo")
    source = rig.open()
    try:
        rig.publish(task_events(2))
        poll_events(source, 2)
        findings = by_title(diagnose_rabbitmq(rig.settings))
        assert {finding.level for finding in findings.values()} == {"ok"}, findings
        assert "classic" in findings["queue's properties"].detail
    finally:
        source.close()


def test_drift_and_a_queue_that_nobody_reads(settings: Settings) -> None:
    connection = pika.BlockingConnection(parameters(settings)[0])
    channel = connection.channel()
    channel.queue_declare(settings.queue_name, durable=True, arguments={"x-max-length-bytes": MIB})
    channel.basic_publish("", settings.queue_name, b"x")
    connection.close()
    findings = by_title(diagnose_rabbitmq(settings))
    assert findings["queue's properties"].level == "warn"
    assert "exists with other properties" in findings["queue's properties"].detail
    assert findings["backlog"].level == "warn"
    assert "1 messages wait" in findings["backlog"].detail


def test_what_keeps_drops_of_a_full_queue_from_being_counted_is_named(settings: Settings) -> None:
    connection = pika.BlockingConnection(parameters(settings)[0])
    connection.channel().queue_declare(settings.queue_name, durable=True)
    connection.close()
    title = "drops of a full queue"
    for option, word in ((f"http://127.0.0.1:{free_port()}/api", "does not answer"), ("off", "--broker-api off")):
        finding = by_title(diagnose_rabbitmq(replace(settings, broker_api=option)))[title]
        assert (finding.level, word in finding.detail) == ("warn", True)
        assert "stream" in finding.remedy
    streams = replace(settings, queue_type="stream", broker_api="off")
    assert title not in by_title(diagnose_rabbitmq(streams))


@pytest.mark.slow
def test_an_alarm_is_an_error_of_the_doctor_and_in_the_status_until_it_is_over(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    server = RabbitMQServer(tmp_path_factory.mktemp("alarm"))
    try:
        rig = AmqpRig(server.start().url, "classic")
        source = rig.open()
        try:
            server.ctl("set_vm_memory_high_watermark", "0.00001")
            wait_until(
                lambda: "low on memory" in source.status().alarm, "the alarm", explain=lambda: str(source.status())
            )
            assert source.status().connected
            finding = by_title(diagnose_rabbitmq(rig.settings))["alarms"]
            assert (finding.level, "low on memory" in finding.detail) == ("error", True)
            server.ctl("set_vm_memory_high_watermark", "0.4")
            wait_until(lambda: not source.status().alarm, "the end of the alarm")
            assert by_title(diagnose_rabbitmq(rig.settings))["alarms"].level == "ok"
            rig.publish(task_events(5))
            poll_events(source, 5)
            assert source.status().reconnects == 0
        finally:
            source.close()
    finally:
        server.kill()


def test_missing_rights_are_an_error(rabbitmq_server: RabbitMQServer) -> None:
    name = unique("rights")
    rabbitmq_server.vhost(name)
    rabbitmq_server.api("PUT", "/api/users/looker", {"password": "secret", "tags": ""})
    rights = {"configure": "^$", "write": "^$", "read": ".*"}
    rabbitmq_server.api("PUT", f"/api/permissions/{name}/looker", rights)
    url = f"amqp://looker:secret@127.0.0.1:{rabbitmq_server.port}/{name}"
    finding = by_title(diagnose_rabbitmq(Settings(broker=url)))["permissions"]
    assert finding.level == "error"
    assert "set_permissions" in finding.remedy
    assert "secret" not in str(finding)


def test_a_broker_that_cannot_be_reached_is_the_only_finding() -> None:
    [finding] = diagnose_rabbitmq(Settings(broker=f"amqp://u:secret@127.0.0.1:{free_port()}//"))
    assert finding.level == "error"
    assert "connection refused" in finding.detail
    assert "secret" not in str(finding)
