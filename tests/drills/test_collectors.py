"""Three collectors on one RabbitMQ queue, two webs, one store: parts die, its server restarts, nothing is lost."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.drills import sizes
from tests.drills.checks import check_reader
from tests.drills.load import Publisher
from tests.drills.test_kill import ENDLESS, published
from tests.support.clickhouse import ClickHouseServer
from tests.support.environment import wait_until
from tests.support.postgres import PostgresServer
from tests.support.process import Process
from tests.support.rabbitmq import RabbitMQServer
from tests.support.umbel import UmbelProcess
from umbel.clock import SystemClock
from umbel.runtime.stores import open_reader
from umbel.settings import Settings
from umbel.stores.postgres import PostgresReader, path_of

pytestmark = pytest.mark.slow


def _collector(umbel_process: Callable[..., UmbelProcess], home: Path, broker: str, store: str) -> UmbelProcess:
    home.mkdir(exist_ok=True)
    return umbel_process("collect", "--broker", broker, "--store", store, "--data-dir", str(home))


@dataclass(frozen=True)
class Shared:
    """A store behind a server."""

    server: PostgresServer | ClickHouseServer
    url: str
    #: Kills for each one of the size, and how many times less is published: ClickHouse has one process for all here.
    rounds: int = 3
    slower: int = 1


def _restart(process: Process) -> None:
    process.kill()
    process.start()


@pytest.fixture(params=["postgres", "clickhouse"])
def engine(request: pytest.FixtureRequest) -> Shared:
    """A server that several collectors share."""
    start = request.getfixturevalue(f"{request.param}_factory")
    server: PostgresServer | ClickHouseServer = start()
    return Shared(server, server.url(), *((1, 10) if request.param == "clickhouse" else ()))


@sizes.KILL
def test_collectors_that_die_and_a_server_that_restarts_lose_nothing_and_count_nothing_twice(
    rabbitmq_server: RabbitMQServer,
    engine: Shared,
    umbel_process: Callable[..., UmbelProcess],
    tmp_path: Path,
    size: sizes.Kill,
) -> None:
    store, broker = engine.url, rabbitmq_server.vhost("collectors")
    # The first makes the queue.
    collectors = [_collector(umbel_process, tmp_path / f"c{number}", broker, store) for number in range(3)]
    webs = [umbel_process("web", "--broker", broker, "--store", store) for _ in range(2)]
    wait_until(lambda: _stored(webs[0]) is not None, "the store", timeout=60)
    choice = random.Random(7)
    with Publisher(broker, tmp_path, rate=size.rate // engine.slower, tasks=ENDLESS, life=ENDLESS) as publisher:
        for number in range(engine.rounds * size.kills):
            time.sleep(choice.uniform(0.5, 1.5) * size.every)
            if number == size.kills // 2:
                engine.server.stop()
                time.sleep(2)
                engine.server.start()
            else:
                _restart(choice.choice(collectors))
        publisher.signal(signal.SIGTERM)
        assert publisher.wait(timeout=60) == 0, publisher.explain()
    sent = int(publisher.output().split()[-1])
    wait_until(
        lambda: _stored(webs[1]) == published(sent),
        "everything to be stored",
        timeout=120,
        explain=lambda: f"{_stored(webs[1])} of {published(sent)} events\n{collectors[0].explain()}",
    )
    assert _stored(webs[0]) == _stored(webs[1])
    for collector in collectors:
        # The one that was started last may not have come so far as to listen to signals.
        assert collector.stop() in (0, -signal.SIGTERM), collector.explain()
    with closing(open_reader(Settings(store=store), SystemClock())) as reader:
        check_reader(reader, sent)
        assert reader.state().books.received == published(sent)


def _stored(web: UmbelProcess) -> int | None:
    """Events stored, as a web tells; None while there is no store."""
    try:
        found: int = web.json("/api/v1/ingest")["stored"]
    except OSError:
        return None
    return found


@pytest.mark.timeout(180)
def test_a_collector_that_starts_before_its_server_waits_for_it(
    postgres_factory: Callable[[], PostgresServer], umbel_process: Callable[..., UmbelProcess], tmp_path: Path
) -> None:
    server = postgres_factory()
    server.stop()
    recording = tmp_path / "events.jsonl"
    recording.write_text(
        '{"type": "task-received", "hostname": "w@h", "pid": 1, "timestamp": 1750000000.0, "uuid": "t", "name": "n"}\n'
    )
    replay = umbel_process("replay", str(recording), "--store", server.url())
    replay.wait_for(lambda: "is PostgreSQL running there?" in replay.output(), "a word about it")
    server.start()
    assert replay.wait(timeout=60) == 0, replay.explain()
    with closing(PostgresReader(path_of(server.url()))) as reader:
        assert reader.task("t") is not None
    told = umbel_process("db", "--store", server.url())
    assert told.wait() == 0
    assert "tasks        1\n" in told.output()
    listed = umbel_process("tasks", "id:t", "--store", server.url())
    assert listed.wait() == 0
    assert " n " in listed.output()
