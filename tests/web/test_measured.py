"""What the metrics tell of broker and workers: the latest look, and nobody waits for a worker that is slow."""

from __future__ import annotations

import threading
import time
from typing import Any, cast

import pytest

from tests.web import events
from tests.web.stage import Stage
from umbel.web import measured
from umbel.web.measured import FRESH, Surroundings


class Slow:
    """Workers whose answers wait until they may come."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.may.set()
        self.size = 4

    def ask(self, *_: object) -> dict[str, Any]:
        assert self.may.wait(60)
        return {events.WORKER: {"pool": {"max-concurrency": self.size}}}


def test_a_scrape_tells_the_last_look_while_a_worker_is_slow_and_the_new_one_once_it_is_there(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, now = Slow(), stage.clock.now()
    stage.commit([events.online(at=now), events.heartbeat(at=now)])
    stage.control = cast(Any, slow)
    surroundings = Surroundings(stage.deps())
    assert surroundings.measured().concurrency == {events.WORKER: 4}
    monkeypatch.setattr(measured, "PATIENCE", 3_600.0)
    slow.may.clear()
    slow.size = 8
    stage.clock.advance(FRESH + 1)
    stage.commit([events.heartbeat(at=stage.clock.now())])
    assert surroundings.measured().concurrency == {events.WORKER: 4}
    slow.may.set()
    deadline = time.monotonic() + 60
    while surroundings.measured().concurrency != {events.WORKER: 8}:
        assert time.monotonic() < deadline
        time.sleep(0.01)
