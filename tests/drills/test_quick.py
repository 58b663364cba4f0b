"""Pages and probes answer while events pour in."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.drills import sizes
from tests.drills.checks import settled, start
from tests.drills.load import Publisher
from tests.support.environment import wait_until
from tests.support.redis import RedisServer
from tests.support.umbel import UmbelProcess

pytestmark = pytest.mark.slow


def p99(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]


@sizes.LOOK
def test_health_and_tasks_answer_quickly_while_events_pour_in(
    redis_factory: Callable[..., RedisServer],
    umbel_process: Callable[..., UmbelProcess],
    tmp_path: Path,
    size: sizes.Look,
) -> None:
    redis = redis_factory()
    umbel = start(redis, umbel_process)
    times: dict[str, list[float]] = {"/healthz": [], "/tasks": []}
    with Publisher(redis.url, tmp_path, rate=size.rate, tasks=int(size.rate * size.seconds / 3)) as publisher:
        while publisher.alive:
            for path, taken in times.items():
                began = time.monotonic()
                assert umbel.get(path, timeout=120)
                taken.append(time.monotonic() - began)
            time.sleep(0.1)
        assert publisher.returncode == 0, publisher.explain()
    wait_until(lambda: settled(umbel), "everything to be stored", timeout=600)
    found = {path: p99(taken) for path, taken in times.items()}
    print({path: f"p99 {value * 1e3:.0f} ms of {len(times[path])}" for path, value in found.items()})  # noqa: T201
    assert umbel.json("/api/v1/ingest")["stored"] == 3 * int(size.rate * size.seconds / 3)
    assert not size.health or found["/healthz"] < size.health
    assert not size.page or found["/tasks"] < size.page
