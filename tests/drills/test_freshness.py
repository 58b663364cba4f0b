"""How old an event is when the pages hear of it: from its emission to a hint after which it is there."""

from __future__ import annotations

import http.client
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import redis as redis_py

from tests.drills.checks import start
from tests.drills.load import envelope, events
from tests.support.redis import RedisServer
from tests.support.umbel import UmbelProcess

#: Events a second, and how many make a round.
RATE = 10
EVENTS = 60
#: Seconds within which 95 of 100 events must be told of.
WITHIN = 1.0
#: Rounds of which one must hold: a busy machine may stall any of them, a slow design holds in none.
ROUNDS = 3


class Listener(threading.Thread):
    """A browser's ear: fetches the newest tasks after each hint, and notes when each was first there."""

    def __init__(self, umbel: UmbelProcess) -> None:
        super().__init__(daemon=True)
        self._umbel = umbel
        self._connection = http.client.HTTPConnection("127.0.0.1", umbel.port, timeout=30)
        self.seen: dict[str, float] = {}

    def run(self) -> None:
        with closing(self._connection):
            self._connection.request("GET", "/hints", headers={"Accept": "text/event-stream"})
            answer = self._connection.getresponse()
            while line := answer.readline():
                if line.startswith(b"data:"):
                    self._look()

    def _look(self) -> None:
        for item in self._umbel.json("/api/v1/tasks?limit=1000", timeout=30)["items"]:
            self.seen.setdefault(item["id"], time.monotonic())


@pytest.mark.slow
def test_at_ten_events_a_second_an_event_is_told_of_within_a_second(
    redis_server: RedisServer, umbel_process: Callable[..., UmbelProcess], tmp_path: Path
) -> None:
    umbel = start(redis_server, umbel_process)
    listener = Listener(umbel)
    listener.start()
    found = []
    with redis_py.Redis.from_url(redis_server.url) as client:
        for number in range(ROUNDS):
            found.append(_slowest(client, listener, number))
            if found[-1] < WITHIN:
                return
    raise AssertionError(f"95 of 100 events were told of within {found} s of their emission")


def _slowest(client: redis_py.Redis, listener: Listener, number: int) -> float:
    """The 95th percentile of one round, seconds."""
    sent: dict[str, float] = {}
    for n in range(EVENTS):
        event = events(number * EVENTS + n)[0]
        assert client.publish("/0.celeryev/task.received", envelope(event)), "nobody listens"
        sent[event["uuid"]] = time.monotonic()
        time.sleep(1 / RATE)
    deadline = time.monotonic() + 60
    while not sent.keys() <= listener.seen.keys():
        assert time.monotonic() < deadline, "some events were never told of"
        time.sleep(0.05)
    return statistics.quantiles([listener.seen[id_] - at for id_, at in sent.items()], n=20)[-1]
