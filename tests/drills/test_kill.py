"""`kill -9` of any process, again and again, under load: nothing captured is lost and nothing is counted twice."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest

from tests.drills import sizes
from tests.drills.checks import check, ready, settled, start, storing
from tests.drills.family import alive, pid_of
from tests.drills.load import BEAT, Load, Publisher, events
from tests.support.environment import wait_until
from tests.support.rabbitmq import RabbitMQServer
from tests.support.redis import RedisServer
from tests.support.umbel import UmbelProcess
from umbel.model.ledger import Reason
from umbel.model.query import EVERYTHING
from umbel.stores.sqlite import SqliteReader
from umbel.supervise import CRASHES, WELL

Umbels = Callable[..., UmbelProcess]

pytestmark = pytest.mark.slow

#: More tasks than any drill lets the publisher send: it is stopped after the last kill.
ENDLESS = 10**7


class Killer:
    """Kills parts at random moments; what dies too young too often is spared, or the supervisor would give it up."""

    def __init__(self, run: Path, parts: Sequence[str]) -> None:
        self._run = run
        self._random = random.Random(1)
        self.kills = dict.fromkeys(parts, 0)
        self._young = dict.fromkeys(parts, 0)
        self._killed: set[int] = set()

    def kill_each(self, size: sizes.Kill) -> None:
        while left := [part for part, kills in self.kills.items() if kills < size.kills]:
            time.sleep(self._random.uniform(0.1, 2 * size.every))
            self._kill(self._random.choice(left))

    def _kill(self, part: str) -> None:
        with suppress(OSError, ValueError):
            told = json.loads((self._run / f"{part}.status").read_bytes())
            young = time.time() - told["started_at"] < WELL + 1
            if told["pid"] in self._killed or (young and self._young[part] >= CRASHES - 3):
                return
            os.kill(told["pid"], signal.SIGKILL)
            self._killed.add(told["pid"])
            self._young[part] = self._young[part] + 1 if young else 0
            self.kills[part] += 1


def drill(broker: str, umbel_process: Umbels, home: Path, parts: Sequence[str], size: sizes.Kill) -> int:
    """Kill the parts under load; the number of tasks that were sent."""
    umbel = start(broker, umbel_process)
    with Publisher(broker, home, rate=size.rate, tasks=ENDLESS, life=ENDLESS) as publisher:
        killer = Killer(home / "umbel-data" / "run", parts)
        wait_until(lambda: storing(umbel), "the first commits", timeout=120)
        killer.kill_each(size)
        # A loss is reckoned from heartbeats that come later.
        wait_until(lambda: ready(umbel), "capture to resume", timeout=120)
        time.sleep(2)
        publisher.signal(signal.SIGTERM)
        assert publisher.wait(timeout=120) == 0, publisher.explain()
    wait_until(lambda: settled(umbel), "everything to be stored", timeout=300)
    umbel.stop()
    sent = int(publisher.output().split()[-1])
    print(f"{killer.kills} kills, {sent} tasks sent")  # noqa: T201 - a drill reports
    return sent


def published(sent: int) -> int:
    """How many events so many tasks have, those of their worker included."""
    load = Load(life=ENDLESS)
    return sum(len(events(number, load)) for number in range(sent))


def check_gaps(store: Path, sent: int) -> None:
    """What was stored is whole; what passed while nobody listened is a gap, and reckoned to a few runs."""
    with closing(SqliteReader(store)) as reader:
        found = reader.count(EVERYTHING, cap=10 * sent).n
        gaps = [entry for entry in reader.ledger(1_000) if entry.reason is Reason.DISCONNECTED]
        missed = sum(reader.state().books.missed_estimate.values())
    print(f"{sent - found} tasks passed unheard, {missed / 3:.0f} reckoned, {len(gaps)} gaps")  # noqa: T201 - as above
    assert 0 < found <= sent
    assert found == sent or gaps
    # The last heartbeats are judged by later ones, which never came.
    assert 3 * (sent - found) - 9 * BEAT <= missed <= 3 * (sent - found)
    check(store, found)


@sizes.KILL
def test_killing_collector_and_web_on_redis(
    redis_factory: Callable[..., RedisServer], umbel_process: Umbels, tmp_path: Path, size: sizes.Kill
) -> None:
    redis = redis_factory()
    sent = drill(redis.url, umbel_process, tmp_path, ("collect", "web"), size)
    check(tmp_path / "umbel.db", sent)


@sizes.KILL
def test_killing_the_receiver_leaves_gaps_that_are_entered_and_counts_nothing_twice(
    redis_factory: Callable[..., RedisServer], umbel_process: Umbels, tmp_path: Path, size: sizes.Kill
) -> None:
    redis = redis_factory()
    sent = drill(redis.url, umbel_process, tmp_path, ("receive",), size)
    check_gaps(tmp_path / "umbel.db", sent)


@sizes.KILL
def test_killing_everything_on_rabbitmq_loses_nothing_and_counts_nothing_twice(
    rabbitmq_server: RabbitMQServer, umbel_process: Umbels, tmp_path: Path, size: sizes.Kill
) -> None:
    broker = rabbitmq_server.vhost("kill")
    sent = drill(broker, umbel_process, tmp_path, ("collect", "web"), size)
    check(tmp_path / "umbel.db", sent)
    with closing(SqliteReader(tmp_path / "umbel.db")) as reader:
        assert reader.state().books.received == published(sent)


def none_lives(pids: Collection[int]) -> bool:
    return not any(map(alive, pids))


def kill_supervisors(broker: str, umbel_process: Umbels, home: Path, parts: Sequence[str], size: sizes.Kill) -> int:
    """Kill the supervisor under load and start another, again and again; the number of tasks that were sent."""
    umbel = start(broker, umbel_process)
    with Publisher(broker, home, rate=size.rate, tasks=ENDLESS, life=ENDLESS) as publisher:
        wait_until(lambda: storing(umbel), "the first commits", timeout=120)
        for _ in range(size.supervisors):
            children = {pid_of(home, part) for part in parts}
            time.sleep(size.every)
            os.kill(umbel.pid, signal.SIGKILL)
            wait_until(partial(none_lives, children), "its parts to end", timeout=120)
            umbel = start(broker, umbel_process)
        time.sleep(2)
        publisher.signal(signal.SIGTERM)
        assert publisher.wait(timeout=120) == 0, publisher.explain()
    wait_until(lambda: settled(umbel), "everything to be stored", timeout=300)
    umbel.stop()
    return int(publisher.output().split()[-1])


@sizes.KILL
def test_a_killed_supervisor_leaves_no_part_behind_and_on_redis_the_gap_is_entered(
    redis_factory: Callable[..., RedisServer], umbel_process: Umbels, tmp_path: Path, size: sizes.Kill
) -> None:
    redis = redis_factory()
    sent = kill_supervisors(redis.url, umbel_process, tmp_path, ("receive", "collect", "web"), size)
    check_gaps(tmp_path / "umbel.db", sent)


@sizes.KILL
def test_a_killed_supervisor_leaves_no_part_behind_and_on_rabbitmq_nothing_is_lost(
    rabbitmq_server: RabbitMQServer, umbel_process: Umbels, tmp_path: Path, size: sizes.Kill
) -> None:
    broker = rabbitmq_server.vhost("supervisor")
    sent = kill_supervisors(broker, umbel_process, tmp_path, ("collect", "web"), size)
    check(tmp_path / "umbel.db", sent)
