"""What the metrics tell of broker and workers: the latest look, and nobody waits for a worker that is slow."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, cast

import pytest

from tests.web import events
from tests.web.stage import Stage
from umbel.brokers.base import QueueDepth
from umbel.control.commands import ActiveQueues, Command
from umbel.web import measured
from umbel.web.measured import FRESH, LEAD, Pool, Surroundings


class Depths:
    """A broker that does not know who consumes."""

    def depths(self, names: Sequence[str]) -> list[QueueDepth]:
        return [QueueDepth(name, 3) for name in names]

    def close(self) -> None: ...


class Consumers:
    """Workers that tell their queues, but for those that say nothing."""

    def __init__(self) -> None:
        self.silent: set[str] = set()

    def ask(self, command: Command, *_: object) -> dict[str, Any]:
        if not isinstance(command, ActiveQueues):
            return {}
        told = [{"name": "mail"}, {"name": "pay"}]
        return {
            worker: told[: 1 + (worker == "w2@shop")] for worker in command.destination if worker not in self.silent
        }


def test_consumers_are_counted_by_the_workers_own_word_where_the_broker_does_not_know(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "queue_names", lambda _: ["mail", "pay", "dead"])
    stage.commit([])
    stage.queues = cast(Any, Depths())
    stage.control = cast(Any, workers := Consumers())
    assert dict(queue[::3] for queue in Surroundings(stage.deps()).measured().queues) == {
        "mail": None, "pay": None, "dead": None
    }  # fmt: skip
    now = stage.clock.now()
    for name in ("w1@shop", "w2@shop"):
        stage.commit([events.online(name, at=now), events.heartbeat(name, at=now)])
    counted = Surroundings(stage.deps()).measured().queues
    assert counted == [("mail", 3, None, 2), ("pay", 3, None, 1), ("dead", 3, None, 0)]
    # One that is slow may be the only consumer of any of them.
    workers.silent.add("w1@shop")
    assert {queue[3] for queue in Surroundings(stage.deps()).measured().queues} == {None}
    stage.clock.advance(3_600)
    assert {queue[3] for queue in Surroundings(stage.deps()).measured().queues} == {0}


class Slow:
    """Workers whose answers wait until they may come."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.may.set()
        self.size = 4
        #: Free again with each answer.
        self.answered = threading.Semaphore(0)

    def ask(self, *_: object) -> dict[str, Any]:
        assert self.may.wait(60)
        self.answered.release()
        return {events.WORKER: {"pool": {"max-concurrency": self.size}, "prefetch_count": 2 * self.size}}


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


def test_scrapes_at_a_steady_pace_have_a_look_made_shortly_before_the_next_one(stage: Stage) -> None:
    slow, now = Slow(), stage.clock.now()
    stage.commit([events.online(at=now), events.heartbeat(at=now)])
    stage.control = cast(Any, slow)
    surroundings = Surroundings(stage.deps())
    surroundings.measured()
    assert slow.answered.acquire(timeout=60)
    stage.clock.advance(60)
    stage.commit([events.heartbeat(at=stage.clock.now())])
    surroundings.measured()
    assert slow.answered.acquire(timeout=60)
    ahead = surroundings._ahead
    assert ahead is not None
    assert ahead.interval == 60 - LEAD
    ahead.cancel()
    # What it does when it is due, nobody asking.
    stage.clock.advance(60 - LEAD)
    stage.commit([events.heartbeat(at=stage.clock.now())])
    deadline = time.monotonic() + 60
    while not slow.answered.acquire(blocking=False):
        assert time.monotonic() < deadline
        ahead.function()
        time.sleep(0.01)


def test_a_page_waits_for_no_worker_and_has_the_pools_once_they_are_told(stage: Stage) -> None:
    slow, now = Slow(), stage.clock.now()
    stage.commit([events.online(at=now), events.heartbeat(at=now)])
    stage.control = cast(Any, slow)
    slow.may.clear()
    surroundings = Surroundings(stage.deps())
    assert surroundings.pools() == {}
    slow.may.set()
    deadline = time.monotonic() + 60
    while surroundings.pools() != {events.WORKER: Pool(4, 8)}:
        assert time.monotonic() < deadline
        time.sleep(0.01)
