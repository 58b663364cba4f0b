"""As many events as one publisher can give to Redis: all are stored, nobody is cut off, memory stays small."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from tests.drills import sizes
from tests.drills.checks import check, settled, start
from tests.drills.family import memory, pids
from tests.drills.load import Publisher
from tests.support.environment import wait_until
from tests.support.redis import RedisServer
from tests.support.umbel import UmbelProcess
from umbel.status import RECONNECTS, StatusBoard

pytestmark = pytest.mark.slow

#: Bytes that the whole family may take.
FAMILY = 400 * 2**20


@dataclass
class Scales:
    """Weighs the whole family ten times a second while it is entered."""

    numbers: list[int]
    most: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._weigh)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def _weigh(self) -> None:
        while not self._over.wait(0.1):
            self.most = max(self.most, sum(memory(number) for number in self.numbers))


@sizes.BURST
def test_a_burst_is_stored_wholly_without_a_disconnection_in_little_memory(
    redis_factory: Callable[..., RedisServer],
    umbel_process: Callable[..., UmbelProcess],
    tmp_path: Path,
    size: sizes.Burst,
) -> None:
    redis = redis_factory()
    umbel = start(redis, umbel_process)
    sent = 0
    # One family takes every burst after the other: what the first left in memory weighs in the last.
    for events in size.events:
        for together in size.together:
            tasks = events // 3
            load = {"tasks": tasks, "first": sent, "together": together}
            with Scales(list(pids(umbel, tmp_path).values())) as scales:
                with Publisher(redis.url, tmp_path, **load) as publisher:
                    assert publisher.wait(timeout=600) == 0, publisher.explain()
                wait_until(lambda: settled(umbel), "everything to be stored", timeout=600)
            sent += tasks
            said = publisher.output().splitlines()[-1]
            print(f"{events} events, {together} a message: {said}, {scales.most / 2**20:.0f} MiB")  # noqa: T201
            assert umbel.json("/api/v1/ingest")["received"] == 3 * sent
            assert scales.most < FAMILY
    receiver = StatusBoard(tmp_path / "umbel-data" / "run").read()["receive"]
    assert receiver.values[RECONNECTS] == 0
    umbel.stop()
    check(tmp_path / "umbel.db", sent)
