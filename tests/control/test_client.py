"""Remote control against real workers on real brokers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis

from tests.conformance.source_rigs import unique
from tests.services import CeleryWorker, RabbitMQServer, RedisServer, free_port, wait_until
from tests.support.app import client
from umbel.control.client import CeleryControl, EventsEnabler
from umbel.control.client_listen import listen
from umbel.control.commands import EnableEvents, Ping
from umbel.errors import ControlError
from umbel.settings import Settings


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> str:
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        return server.url.rstrip("/").removesuffix("/0") + "/7"
    rabbitmq: RabbitMQServer = request.getfixturevalue("rabbitmq_server")
    return rabbitmq.vhost(unique("control"))


@pytest.fixture
def control(broker: str) -> Iterator[CeleryControl]:
    made = CeleryControl(Settings(broker=broker))
    yield made
    made.close()


@contextmanager
def task_events(broker: str) -> Iterator[list[tuple[str, str]]]:
    """What a listener hears: type and hostname of each event."""
    heard: list[tuple[str, str]] = []
    stop, ready = threading.Event(), threading.Event()

    def listen() -> None:
        app = client(broker)
        with app.connection_for_read() as connection:
            handlers = {"*": lambda event: heard.append((event["type"], event["hostname"]))}
            with app.events.Receiver(connection, handlers=handlers).consumer_context() as (own, _, _):
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
    yield heard
    stop.set()
    thread.join(5)


def run_a_task(broker: str) -> None:
    app = client(broker)
    app.send_task("support.add", (1, 2))
    app.close()


def task_events_come(
    broker: str, heard: list[tuple[str, str]], hostname: str, sighting: Callable[[], None] = lambda: None
) -> None:
    """Send tasks, a second apart, until one of them makes events; `sighting` is what the worker's events would do."""

    def heard_of_a_task() -> bool:
        sighting()
        run_a_task(broker)
        return ("task-succeeded", hostname) in heard

    wait_until(heard_of_a_task, "a task's events", every=1.0, explain=lambda: str(heard))


def test_ping_is_answered_by_name(
    control: CeleryControl, broker: str, celery_worker: Callable[..., CeleryWorker]
) -> None:
    worker = celery_worker(broker, pool="solo")
    assert control.ask(Ping(), timeout=10.0) == {worker.hostname: {"ok": "pong"}}
    began = time.monotonic()
    assert control.ask(Ping((worker.hostname,)), timeout=60.0) == {worker.hostname: {"ok": "pong"}}
    assert time.monotonic() - began < 30


def test_nobody_answering_is_an_empty_answer_in_time(control: CeleryControl) -> None:
    began = time.monotonic()
    assert control.ask(Ping(("nobody@nowhere",)), timeout=0.5) == {}
    assert time.monotonic() - began < 20


def test_a_silent_worker_sends_task_events_once_told(
    control: CeleryControl, broker: str, celery_worker: Callable[..., CeleryWorker]
) -> None:
    worker = celery_worker(broker, pool="solo")
    with task_events(broker) as heard:
        run_a_task(broker)
        wait_until(lambda: ("worker-heartbeat", worker.hostname) in heard, "a heartbeat")
        time.sleep(0.5)
        assert {type_ for type_, hostname in heard if hostname == worker.hostname} == {"worker-heartbeat"}
        control.send(EnableEvents((worker.hostname,)))
        task_events_come(broker, heard, worker.hostname)


def test_a_worker_that_was_seen_is_told_again_when_it_comes_back(
    broker: str, celery_worker: Callable[..., CeleryWorker]
) -> None:
    with task_events(broker) as heard:
        enabler = EventsEnabler(CeleryControl(Settings(broker=broker)), interval=0.1)
        try:
            worker = celery_worker(broker, pool="solo")
            task_events_come(broker, heard, worker.hostname, lambda: enabler.saw(worker.hostname))
            worker.stop()
            worker.start()
            heard.clear()
            enabler.came_online(worker.hostname)
            task_events_come(broker, heard, worker.hostname, lambda: enabler.saw(worker.hostname))
        finally:
            enabler.stop()


def test_redis_is_left_without_reply_keys(
    redis_server: RedisServer, celery_worker: Callable[..., CeleryWorker]
) -> None:
    url = redis_server.url.rstrip("/").removesuffix("/0") + "/8"
    worker = celery_worker(url, pool="solo")
    control = CeleryControl(Settings(broker=url))
    for _ in range(3):
        assert worker.hostname in control.ask(Ping((worker.hostname,)), timeout=60.0)
    # Nobody waits for these answers any more when they come.
    app = client(url)
    app.send_task("support.sleep", (1.5,))
    app.close()
    time.sleep(0.3)
    control.ask(Ping(), timeout=0.2)
    time.sleep(2.5)
    control.close()
    with redis.Redis.from_url(url) as server:
        left = [key for key in server.scan_iter("*reply.celery.pidbox*") if b"_kombu.binding" not in key]
        assert left == []


def test_a_broker_that_is_away_is_named_and_found_again(rabbitmq_server: RabbitMQServer) -> None:
    control = CeleryControl(Settings(broker=f"amqp://127.0.0.1:{free_port()}//"))
    began = time.monotonic()
    with pytest.raises(ControlError, match="Is the broker reachable"):
        control.send(Ping())
    assert time.monotonic() - began < 30
    control.close()
    with pytest.raises(ControlError, match="closed"):
        control.send(Ping())


def test_a_connection_that_died_meanwhile_is_made_anew(rabbitmq_server: RabbitMQServer) -> None:
    control = CeleryControl(Settings(broker=rabbitmq_server.vhost(unique("control"))))
    control.send(Ping())
    rabbitmq_server.ctl("close_all_connections", "a test")
    control.send(Ping())
    control.close()


def test_control_may_be_used_from_many_threads(
    control: CeleryControl, broker: str, celery_worker: Callable[..., CeleryWorker]
) -> None:
    worker = celery_worker(broker, pool="solo")
    answers: list[object] = []
    threads = [
        threading.Thread(target=lambda: answers.append(control.ask(Ping((worker.hostname,)), timeout=60.0)))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert answers == [{worker.hostname: {"ok": "pong"}}] * 5


def test_listening_tells_who_sends_what(broker: str, celery_worker: Callable[..., CeleryWorker]) -> None:
    silent = celery_worker(broker, pool="solo", queues=["elsewhere"])
    loud = celery_worker(broker, pool="solo", args=["-E"])
    run_a_task(broker)
    timer = threading.Timer(1.0, run_a_task, (broker,))
    timer.start()
    heard = listen(Settings(broker=broker), 5.0)
    timer.join()
    assert heard.workers == {silent.hostname, loud.hostname}
    assert heard.task_workers == {loud.hostname}
    assert heard.task_events >= 2
