"""RabbitMQ behind a store that does not move: the broker holds, and in the end everything is there once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pika
import pytest

from tests.conformance.source_rigs import AmqpRig
from tests.drills.checks import check
from tests.drills.family import memory, pid_of
from tests.drills.load import Publisher
from tests.services import RabbitMQServer, UmbelProcess, wait_until
from umbel.settings import MIB
from umbel.sources.amqp_consumer import PREFETCH
from umbel.sources.amqp_url import parameters
from umbel.stores.sqlite import SqliteReader

#: Tasks (each a message of three events) before the store stalls, and while it does: several times the prefetch.
BEFORE = 6_000
TASKS = 50_000
#: Bytes by which the collector may grow while it is stalled: one batch in hand and a full inbox.
GROWTH = 120 * MIB


def ready(broker: str, queue: str) -> int:
    """Messages that wait at the broker, delivered to nobody."""
    with closing(pika.BlockingConnection(parameters(AmqpRig(broker, "classic").settings)[0])) as connection:
        count: int = connection.channel().queue_declare(queue, passive=True).method.message_count
        return count


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_rabbitmq_holds_what_a_stalled_store_does_not_take_and_the_collector_stays_small(
    rabbitmq_server: RabbitMQServer, umbel_process: Callable[..., UmbelProcess], tmp_path: Path
) -> None:
    broker = rabbitmq_server.vhost("stalled")
    umbel = umbel_process("collect", "--broker", broker, "--no-enable-events", "--broker-api", "off")

    def queued() -> int:
        try:
            return ready(broker, "umbel.events")
        except pika.exceptions.AMQPError:
            return -1

    umbel.wait_for(lambda: queued() == 0, "the queue", timeout=60)
    with Publisher(broker, tmp_path, rate=9_000, tasks=BEFORE) as publisher:
        assert publisher.wait(timeout=120) == 0, publisher.explain()
    store = tmp_path / "umbel.db"

    def stored(tasks: int) -> bool:
        with closing(SqliteReader(store)) as reader:
            return reader.state().books.stored == 3 * tasks

    umbel.wait_for(lambda: stored(BEFORE), "the first tasks", timeout=120)
    before = memory(pid_of(tmp_path, "collect"))
    with closing(sqlite3.connect(store, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with Publisher(broker, tmp_path, rate=30_000, tasks=TASKS - BEFORE, first=BEFORE) as publisher:
            assert publisher.wait(timeout=240) == 0, publisher.explain()
        wait_until(lambda: queued() > TASKS - BEFORE - 3 * PREFETCH, "the broker holding the rest", timeout=60)
        grown = memory(pid_of(tmp_path, "collect")) - before
        assert grown < GROWTH, f"{grown / MIB:.0f} MiB more"
        other.execute("ROLLBACK")
    umbel.wait_for(lambda: stored(TASKS), "everything to be stored", timeout=240)
    assert umbel.stop() == 0
    check(store, TASKS)
