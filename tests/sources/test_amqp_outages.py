"""RabbitMQ away, restarted, hanging or cut off: capture goes on by itself, and what was lost is said."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.conformance.source_rigs import AmqpRig, decoded, ids, poll_events, task_events
from tests.services import RabbitMQServer, wait_until
from umbel.model.ledger import LedgerEntry, Reason
from umbel.sources.amqp_consumer import PREFETCH
from umbel.sources.base import Limits, Source

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQServer]:
    """A RabbitMQ that these tests may stop and pause."""
    server = RabbitMQServer(tmp_path_factory.mktemp("rabbitmq"))
    try:
        yield server.start()
    finally:
        server.stop()


def wait_connected(source: Source) -> None:
    wait_until(lambda: source.status().connected, "the connection", explain=lambda: str(source.status()))


def poll_all(source: Source, least: int, quiet: float = 1.5) -> tuple[list[int], list[LedgerEntry]]:
    """Everything that comes until `least` came, or 90 s have gone, and then nothing comes for `quiet` seconds."""
    found: list[int] = []
    ledger: list[LedgerEntry] = []
    began = last = time.monotonic()
    while time.monotonic() - last < quiet or (len(found) < least and time.monotonic() - began < 90):
        batch = source.poll(Limits(wait=0.2))
        ledger += batch.ledger
        if batch.position is not None:
            found += ids(decoded(batch))
            source.commit(batch.position)
            last = time.monotonic()
    return found, ledger


@pytest.mark.parametrize("kind", ["quorum", "stream"])
def test_a_restart_loses_nothing_that_a_queue_on_disk_holds(broker: RabbitMQServer, kind: str) -> None:
    rig = AmqpRig(broker.url, kind)
    source = rig.open()
    try:
        rig.publish(task_events(50))
        time.sleep(0.5)
        broker.restart()
        wait_connected(source)
        rig.publish(task_events(10, start=50))
        found, ledger = poll_all(source, 60)
        assert found == list(range(60))
        assert ledger == []
        assert source.status().reconnects == 1
    finally:
        source.close()


def test_a_restart_keeps_what_a_classic_queue_had_sent_and_names_what_it_lost(broker: RabbitMQServer) -> None:
    rig = AmqpRig(broker.url, "classic")
    source = rig.open()
    try:
        rig.publish(task_events(PREFETCH + 300))
        wait_until(lambda: source.status().backlog_events >= PREFETCH + 300, "a look at the queue")
        broker.restart()
        wait_connected(source)
        rig.publish(task_events(5, start=50_000))
        found, ledger = poll_all(source, PREFETCH + 5)
        assert found == [*range(PREFETCH), *range(50_000, 50_005)]
        [entry] = ledger
        assert (entry.reason, entry.count, entry.estimated) == (Reason.DISCONNECTED, 300, True)
        assert "quorum" in entry.detail
    finally:
        source.close()


@pytest.mark.parametrize("kind", ["classic", "quorum", "stream"])
def test_a_cut_connection_is_no_loss_and_no_entry(broker: RabbitMQServer, kind: str) -> None:
    rig = AmqpRig(broker.url, kind)
    source = rig.open()
    try:
        rig.publish(task_events(100))
        time.sleep(0.3)
        taken = source.poll(Limits(messages=40, wait=60))
        broker.ctl("close_all_connections", "a test")
        wait_until(lambda: source.status().reconnects == 1 and source.status().connected, "the reconnection")
        assert taken.position is not None
        # The commit of what the lost connection brought means nothing to the broker, and harms nothing.
        source.commit(taken.position)
        found, ledger = poll_all(source, 60)
        assert sorted({*range(40), *found}) == list(range(100))
        assert len(found) <= 100
        assert ledger == []
    finally:
        source.close()


def test_a_broker_that_is_absent_at_first_is_waited_for(broker: RabbitMQServer) -> None:
    rig = AmqpRig(broker.url, "classic")
    broker.stop()
    source = rig.source()
    source.open(None)
    try:
        wait_until(lambda: "connection refused" in source.status().error, "the error in the status")
        assert not len(source.poll(Limits(wait=0.1)))
        broker.start()
        wait_connected(source)
        assert source.status().error == ""
        rig.publish(task_events(5))
        assert ids(poll_events(source, 5)) == list(range(5))
    finally:
        source.close()
        if not broker.alive:
            broker.start()


def test_a_broker_that_hangs_is_found_by_heartbeats(broker: RabbitMQServer) -> None:
    rig = AmqpRig(broker.url, "classic")
    source = rig.open()
    try:
        broker.pause()
        try:
            wait_until(lambda: not source.status().connected, "the hanging broker being noticed", timeout=90)
            began = time.monotonic()
            assert not len(source.poll(Limits(wait=0.1)))
            assert time.monotonic() - began < 60
        finally:
            broker.resume()
        wait_connected(source)
        rig.publish(task_events(5))
        assert ids(poll_events(source, 5)) == list(range(5))
    finally:
        source.close()


def test_closing_while_the_broker_hangs_is_quick(broker: RabbitMQServer) -> None:
    source = AmqpRig(broker.url, "classic").open()
    broker.pause()
    try:
        began = time.monotonic()
        source.close()
        assert time.monotonic() - began < 60
    finally:
        broker.resume()


def test_heartbeats_go_on_while_nobody_polls(broker: RabbitMQServer) -> None:
    rig = AmqpRig(broker.url, "classic")
    source = rig.open()
    try:
        rig.publish(task_events(PREFETCH + 10))
        time.sleep(25)
        assert source.status().reconnects == 0
        found, _ = poll_all(source, PREFETCH + 10)
        assert found == list(range(PREFETCH + 10))
    finally:
        source.close()
