"""The broker goes away and comes back; poison arrives between good events: Umbel says so and goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import redis as redis_py

from tests.drills import sizes
from tests.drills.checks import check, checks, ready, settled, start
from tests.drills.load import envelope, events
from tests.support.environment import wait_until
from tests.support.redis import RedisServer
from tests.support.umbel import UmbelProcess
from tests.unit.test_decode import POISON
from umbel.model.ledger import Reason
from umbel.stores.sqlite import SqliteReader

Redises = Callable[..., RedisServer]
Umbels = Callable[..., UmbelProcess]

pytestmark = pytest.mark.slow


def publish(redis: RedisServer, *bodies: object) -> None:
    with redis_py.Redis.from_url(redis.url) as client:
        for body in bodies:
            assert client.publish("/0.celeryev/task.multi", envelope(body)), "nobody listens"


@sizes.AWAY
def test_capture_resumes_after_the_broker_returns_and_the_gap_is_entered(
    redis_factory: Redises, umbel_process: Umbels, tmp_path: Path, size: sizes.Away
) -> None:
    """Stopped it refuses connections, and it comes back empty; a hanging one takes them and says nothing."""
    redis = redis_factory()
    umbel = start(redis, umbel_process)
    outages: list[tuple[Callable[[], object], Callable[[], object], float]]
    outages = [(redis.stop, redis.start, seconds) for seconds in size.seconds]
    if size.hanging:
        outages.append((redis.pause, redis.resume, size.hanging))
    sent = 0
    for leave, come, seconds in outages:
        publish(redis, events(sent))
        sent += 1
        leave()
        wait_until(lambda: checks(umbel)["broker"]["status"] == "degraded", "/readyz telling of it", timeout=120)
        assert "redis" in checks(umbel)["broker"]["detail"].lower()
        assert umbel.get("/")
        time.sleep(seconds)
        come()
        returned = time.monotonic()
        wait_until(lambda: ready(umbel), "capture to resume", timeout=120)
        took = time.monotonic() - returned
        # A wait lasts at most 30 % of the outage before it; how long the rest takes depends on the machine.
        assert not size.hanging or took < 10 + 0.3 * seconds
        print(f"away {seconds} s, resumed {took:.1f} s after the return")  # noqa: T201 - a drill reports
        with closing(SqliteReader(tmp_path / "umbel.db")) as reader:
            wait_until(partial(entered, reader, seconds), "the gap in the ledger", timeout=30)
    publish(redis, events(sent))
    wait_until(lambda: settled(umbel), "everything to be stored", timeout=120)
    umbel.stop()
    check(tmp_path / "umbel.db", sent + 1)


def entered(reader: SqliteReader, seconds: float) -> bool:
    """Whether a gap at least so long is in the ledger."""
    gaps = [entry for entry in reader.ledger() if entry.reason is Reason.DISCONNECTED]
    assert all(gap.estimated for gap in gaps)
    return any(gap.last_at - gap.first_at >= seconds for gap in gaps)


@pytest.mark.timeout(180)
def test_poison_between_good_events_is_quarantined_and_nothing_restarts(
    redis_factory: Redises, umbel_process: Umbels, tmp_path: Path
) -> None:
    redis = redis_factory()
    umbel = umbel_process("up", "--broker", redis.url)
    wait_until(lambda: ready(umbel), "the subscription", timeout=120)

    def pids() -> dict[str, int]:
        run = tmp_path / "umbel-data" / "run"
        return {file.stem: json.loads(file.read_bytes())["pid"] for file in run.glob("*.status")}

    before = pids()
    bodies: list[object] = []
    for number, poison in enumerate(POISON.values()):
        bodies.append([*events(2 * number), poison])
        # A list alone would be a batch.
        bodies.append([poison] if isinstance(poison, list) else poison)
        bodies.append(events(2 * number + 1))
    publish(redis, *bodies)
    with redis_py.Redis.from_url(redis.url) as client:
        client.publish("/0.celeryev/task.multi", b"\xff no message at all")
    wait_until(lambda: settled(umbel), "everything to be stored", timeout=30)
    assert pids() == before
    listed = umbel.json("/api/v1/quarantine?limit=1000")["items"]
    umbel.stop()
    check(tmp_path / "umbel.db", 2 * len(POISON))
    with closing(SqliteReader(tmp_path / "umbel.db")) as reader:
        discarded = reader.state().books.discarded
    assert sum(discarded.values()) == 2 * len(POISON) + 1
    assert {reason for reason, _ in discarded} == {Reason.MALFORMED}
    assert len(listed) == 2 * len(POISON) + 1
