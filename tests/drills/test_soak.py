"""Millions of events with many names and workers that come and go: memory and the metrics page stay as they are."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.drills import sizes
from tests.drills.checks import check, ready, settled
from tests.drills.family import memory, pids
from tests.drills.load import Publisher
from tests.support.environment import wait_until
from tests.support.redis import RedisServer
from tests.support.umbel import UmbelProcess

pytestmark = pytest.mark.slow

#: Tasks that a worker runs before it goes.
LIFE = 25
PAGES = ("/", "/tasks", "/workers", "/api/v1/tasks?q=state:FAILURE")


@dataclass
class Watch:
    """What the family weighs while it works, by the events that were stored."""

    umbel: UmbelProcess
    home: Path
    #: Events stored, and bytes of each part.
    weights: list[tuple[int, dict[str, int]]] = field(default_factory=list)
    metrics: int = 0

    def look(self) -> None:
        pid = pids(self.umbel, self.home)
        stored = self.umbel.json("/api/v1/ingest", timeout=120)["stored"]
        self.metrics = max(self.metrics, len(self.umbel.get("/metrics", timeout=120)))
        self.umbel.get(PAGES[len(self.weights) % len(PAGES)], timeout=120)
        self.weights.append((stored, {part: memory(number) for part, number in pid.items()}))

    def quarter(self, number: int) -> dict[str, float]:
        """Median of each part's memory in a quarter of the events, 0 to 3; of none looked at then, the nearest."""
        last = self.weights[-1][0]
        found = [sizes for stored, sizes in self.weights if number * last <= 4 * stored <= (number + 1) * last]
        if not found:
            found = [min(self.weights, key=lambda weight: abs(weight[0] - (2 * number + 1) * last / 8))[1]]
        return {part: statistics.median(sizes[part] for sizes in found) for part in found[0]}


@sizes.SOAK
def test_memory_and_metrics_stay_flat_while_names_and_workers_come_and_go(
    redis_factory: Callable[..., RedisServer],
    umbel_process: Callable[..., UmbelProcess],
    tmp_path: Path,
    size: sizes.Soak,
) -> None:
    redis = redis_factory()
    umbel = umbel_process("up", "--broker", redis.url)
    wait_until(lambda: ready(umbel), "the subscription", timeout=120)
    watch, before = Watch(umbel, tmp_path), pids(umbel, tmp_path)
    load = {"rate": size.rate, "tasks": size.tasks, "names": size.names, "workers": size.workers, "life": LIFE}
    with Publisher(redis.url, tmp_path, **load) as publisher:
        while publisher.alive:
            watch.look()
            time.sleep(1)
        assert publisher.returncode == 0, publisher.explain()
    wait_until(lambda: settled(umbel), "everything to be stored", timeout=3_600)
    assert pids(umbel, tmp_path) == before, "a part was started again"
    books = umbel.json("/api/v1/ingest")
    umbel.stop()
    second, last = watch.quarter(1), watch.quarter(3)
    figures = {part: f"{second[part] / 2**20:.1f} -> {last[part] / 2**20:.1f} MiB" for part in last}
    print(json.dumps({"memory": figures, "metrics": watch.metrics, "books": books}))  # noqa: T201 - a drill reports
    check(tmp_path / "umbel.db", size.tasks)
    assert books["discarded"] == {}
    assert books["missed_estimate"] == 0
    assert watch.metrics < 2_000_000
    for part in last:
        assert last[part] <= size.growth * second[part], figures
