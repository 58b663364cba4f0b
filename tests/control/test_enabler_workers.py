"""Silent workers are made to send task events although they say that they are online before they listen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.conformance.source_rigs import unique
from tests.services import CeleryWorker, RabbitMQServer, RedisServer, wait_until
from tests.support.app import client
from umbel.control.client import CeleryControl, EventsEnabler
from umbel.settings import Settings

#: Seconds from worker-online within which a task's events must have come.
SOON = 10.0


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> str:
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        return server.url.rstrip("/").removesuffix("/0") + "/9"
    rabbitmq: RabbitMQServer = request.getfixturevalue("rabbitmq_server")
    return rabbitmq.vhost(unique("enabler"))


@contextmanager
def sightings(broker: str, enabler: EventsEnabler) -> Iterator[dict[str, float]]:
    """Tells the enabler of each event the moment it is heard; gives the time at which each type was heard last."""
    heard: dict[str, float] = {}
    stop, ready = threading.Event(), threading.Event()

    def online(event: dict[str, str]) -> None:
        enabler.came_online(event["hostname"])
        heard[event["type"]] = time.monotonic()

    def other(event: dict[str, str]) -> None:
        # Publishers send task-sent; only what workers send is a sighting.
        if event["type"] != "task-sent":
            enabler.saw(event["hostname"])
        heard[event["type"]] = time.monotonic()

    def listen() -> None:
        app = client(broker)
        with app.connection_for_read() as connection:
            receiver = app.events.Receiver(connection, handlers={"worker-online": online, "*": other})
            with receiver.consumer_context() as (own, _, _):
                ready.set()
                while not stop.is_set():
                    try:
                        own.drain_events(timeout=0.2)
                    except TimeoutError:
                        continue
        app.close()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield heard
    finally:
        stop.set()
        thread.join(5)


def events_flow(broker: str, heard: dict[str, float]) -> None:
    """Run tasks until the events of one have come, soon enough after worker-online."""
    app = client(broker)

    def flows() -> bool:
        app.send_task("support.add", (1, 2))
        return "task-succeeded" in heard

    try:
        wait_until(flows, "a task's events", timeout=SOON, every=0.3, explain=lambda: str(sorted(heard)))
    finally:
        app.close()
    assert heard["task-succeeded"] - heard["worker-online"] < SOON


def test_a_worker_that_was_told_before_it_listened_sends_task_events_soon(
    broker: str, celery_worker: Callable[..., CeleryWorker]
) -> None:
    enabler = EventsEnabler(CeleryControl(Settings(broker=broker)))
    try:
        with sightings(broker, enabler) as heard:
            # The broadcast at the start is over before the worker is there.
            time.sleep(2.0)
            worker = celery_worker(broker)
            events_flow(broker, heard)
            worker.stop()
            heard.clear()
            # The first may have been lucky; who comes back is certainly told too early.
            celery_worker(broker, hostname=worker.hostname, app="tests.control.slow_app")
            events_flow(broker, heard)
    finally:
        enabler.stop()


def test_stop_is_quick_while_replies_are_awaited(broker: str) -> None:
    enabler = EventsEnabler(CeleryControl(Settings(broker=broker)))
    time.sleep(2.0)
    enabler.came_online("nobody@nowhere")
    time.sleep(0.2)
    began = time.monotonic()
    enabler.stop()
    assert time.monotonic() - began < 20
