"""Every command against real workers of every pool, some of which hang, die or refuse."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.source_rigs import unique
from tests.services import CeleryWorker, RabbitMQServer, RedisServer, wait_until
from tests.support.app import client
from umbel.control import commands as c
from umbel.control.client import CeleryControl
from umbel.control.commands import Command, Outcome, Reply
from umbel.settings import Settings

#: Seconds that no call below comes near, unless it waits where it need not.
LONG = 60.0
POOLS = ("prefork", "threads", "solo")


BROKERS = ("redis", "rabbitmq")


def fresh(request: pytest.FixtureRequest, broker: str, database: int) -> str:
    """A database or virtual host of one's own on the session's server."""
    if broker == "redis":
        redis: RedisServer = request.getfixturevalue("redis_server")
        return f"{redis.url.rstrip('/').removesuffix('/0')}/{database}"
    rabbitmq: RabbitMQServer = request.getfixturevalue("rabbitmq_server")
    return rabbitmq.vhost(unique("commands"))


@pytest.fixture(scope="module", params=BROKERS)
def broker_url(request: pytest.FixtureRequest) -> str:
    return fresh(request, request.param, 11)


def start_together(
    broker: str, directory: Path, pools: tuple[str, ...] = POOLS, args: tuple[str, ...] = ()
) -> dict[str, CeleryWorker]:
    """A worker of each pool, started at the same time; all are ready. `args` go to the prefork one."""
    given = {"prefork": args}
    workers = {pool: CeleryWorker(broker, directory, pool=pool, args=given.get(pool, ())) for pool in pools}
    threads = [threading.Thread(target=worker.start) for worker in workers.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return workers


@pytest.fixture(scope="module")
def fleet(broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, CeleryWorker]]:
    """The prefork one lets its pool be restarted, the others refuse that."""
    workers = start_together(broker_url, tmp_path_factory.mktemp("fleet"), args=("worker.pool_restarts=true",))
    yield workers
    for worker in workers.values():
        worker.kill()


@pytest.fixture(scope="module")
def control(broker_url: str) -> Iterator[CeleryControl]:
    made = CeleryControl(Settings(broker=broker_url))
    yield made
    made.close()


def answers(control: CeleryControl, command: Command, timeout: float = LONG) -> dict[str, Reply]:
    return {reply.worker: reply for reply in control.call(command, timeout)}


def names(fleet: dict[str, CeleryWorker]) -> tuple[str, ...]:
    return tuple(worker.hostname for worker in fleet.values())


def check(kind: type[Command], value: Any) -> None:
    """An inspection's answer has the shape that protocol and Celery give it."""
    shapes: dict[type[Command], type | tuple[type, ...]] = {
        c.Active: list,
        c.Reserved: list,
        c.Scheduled: list,
        c.Revoked: list,
        c.Registered: list,
        c.ActiveQueues: list,
        c.Stats: dict,
        c.Conf: dict,
        c.Report: dict,
        c.QueryTask: dict,
        c.Ping: dict,
        c.Clock: dict,
    }
    assert isinstance(value, shapes[kind]), (kind, value)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_inspection_is_answered_by_every_pool_and_nothing_is_waited_for(
    fleet: dict[str, CeleryWorker], control: CeleryControl
) -> None:
    destination = names(fleet)
    inspections = [kind for kind in c.COMMANDS.values() if kind.looks]
    assert len(inspections) == 12
    began = time.monotonic()
    for kind in inspections:
        command = kind(destination) if kind is not c.QueryTask else c.QueryTask(destination, ids=("x",))
        replies = answers(control, command)
        assert set(replies) == set(destination), kind
        for reply in replies.values():
            assert reply.outcome is Outcome.OK, reply
            check(kind, reply.value)
    assert time.monotonic() - began < LONG
    registered = answers(control, c.Registered(destination))
    assert all("support.add" in reply.value for reply in registered.values())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_change_is_answered_by_every_pool(fleet: dict[str, CeleryWorker], control: CeleryControl) -> None:
    destination = names(fleet)
    prefork, *others = destination

    def outcome(command: Command) -> dict[str, str]:
        return {reply.worker: str(reply.error or reply.value) for reply in answers(control, command).values()}

    def all_say(command: Command, text: str) -> None:
        said = outcome(command)
        assert set(said) == set(destination), said
        assert all(text in one for one in said.values()), said

    def consume(queue: str) -> list[bool]:
        replies = answers(control, c.ActiveQueues(destination)).values()
        return [queue in {one["name"] for one in reply.value} for reply in replies]

    all_say(c.EnableEvents(destination), "task events")
    all_say(c.RateLimit(destination, task_name="support.add", rate_limit="10/m"), "new rate limit set successfully")
    all_say(c.RateLimit(destination, task_name="support.add", rate_limit=0), "rate limit disabled successfully")
    all_say(c.RateLimit(destination, task_name="no.such", rate_limit="1/s"), "unknown task")
    all_say(c.TimeLimit(destination, task_name="support.add", soft=60, hard=120), "time limits set successfully")
    all_say(c.AddConsumer(destination, queue="another"), "add consumer another")

    # A worker answers first and does it when it next looks at its connection.
    wait_until(lambda: consume("another") == [True] * 3, "all consuming from it")
    all_say(c.CancelConsumer(destination, queue="another"), "no longer consuming from another")
    wait_until(lambda: consume("another") == [False] * 3, "none consuming from it")
    all_say(c.Revoke(destination, task_ids=("one", "two")), "flagged as revoked")
    revoked = answers(control, c.Revoked(destination))
    assert all({"one", "two"} <= set(reply.value) for reply in revoked.values())
    all_say(c.RevokeByStampedHeaders(destination, headers={"customer": ("7",)}), "revoked")
    all_say(c.Terminate(destination, task_ids=("one",)), "tasks unknown")
    assert "pool will grow" in outcome(c.PoolGrow((prefork,), n=1))[prefork]
    assert "pool will shrink" in outcome(c.PoolShrink((prefork,), n=1))[prefork]
    assert "reload started" in outcome(c.PoolRestart((prefork,)))[prefork]
    # What a pool cannot do, or a worker does not allow, is a refusal and not a silence.
    refusals: tuple[tuple[Command, str], ...] = (
        (c.PoolGrow(tuple(others), n=1), ""),
        (c.PoolShrink(tuple(others), n=1), ""),
        (c.Autoscale(destination, max=3, min=1), "Autoscale not enabled"),
        (c.PoolRestart(tuple(others)), "Pool restarts not enabled"),
    )
    for command, why in refusals:
        replies = answers(control, command)
        assert set(replies) == set(command.destination)
        assert all(reply.outcome is Outcome.REFUSED and why in reply.error for reply in replies.values()), replies
    all_say(c.DisableEvents(destination), "task events disabled")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_hanging_worker_is_silent_alone_and_commands_beside_it_do_not_wait(
    fleet: dict[str, CeleryWorker], control: CeleryControl
) -> None:
    hanging, *others = fleet.values()
    hanging.pause()
    try:
        came: list[tuple[float, Reply]] = []
        began = time.monotonic()
        patience = 8.0

        def ask_all() -> None:
            came.extend((time.monotonic() - began, reply) for reply in control.call(c.Ping(names(fleet)), patience))

        slow = threading.Thread(target=ask_all)
        slow.start()
        # Meanwhile others are asked and answer, many times.
        rounds = 0
        while slow.is_alive() and rounds < 20:
            beside = answers(control, c.Ping(tuple(worker.hostname for worker in others)))
            assert all(reply.outcome is Outcome.OK for reply in beside.values())
            rounds += 1
        assert rounds >= 2
        slow.join(LONG)
        assert [reply.outcome for _, reply in came] == [Outcome.OK, Outcome.OK, Outcome.SILENT]
        assert came[-1][1].worker == hanging.hostname
        assert came[1][0] < patience <= came[-1][0] + 0.1
    finally:
        hanging.resume()
    assert answers(control, c.Ping((hanging.hostname,)))[hanging.hostname].outcome is Outcome.OK


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("by", ["id", "stamp"])
def test_a_running_task_is_revoked_with_termination(
    fleet: dict[str, CeleryWorker], control: CeleryControl, broker_url: str, by: str
) -> None:
    destination = (fleet["prefork"].hostname,)
    queue = unique("terminated")
    assert answers(control, c.AddConsumer(destination, queue=queue))[destination[0]].outcome is Outcome.OK
    app = client(broker_url)
    try:
        id_ = app.send_task("support.sleep", (600,), queue=queue, stamped_headers=["customer"], customer=queue).id

        def active() -> list[str]:
            return [task["id"] for task in answers(control, c.Active(destination))[destination[0]].value]

        wait_until(lambda: active() == [id_], "the task running")
        state = answers(control, c.QueryTask(destination, ids=(id_,)))[destination[0]].value[id_][0]
        assert state == "active"
        command: Command = c.Revoke(destination, task_ids=(id_,), terminate=True, signal="SIGKILL")
        if by == "stamp":
            headers: dict[str, tuple[str, ...]] = {"customer": (queue, "somebody else")}
            command = c.RevokeByStampedHeaders(destination, headers=headers, terminate=True, signal="SIGKILL")
        assert answers(control, command)[destination[0]].outcome is Outcome.OK
        wait_until(lambda: active() == [], "the task's end")
    finally:
        app.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("broker", BROKERS)
def test_a_worker_that_dies_during_the_call_is_silent_and_one_told_to_stop_stops(
    broker: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = fresh(request, broker, 12)
    workers = start_together(url, tmp_path, ("prefork", "solo"), args=("--autoscale", "4,2"))
    control = CeleryControl(Settings(broker=url))
    try:
        dying, living = workers["prefork"], workers["solo"]
        both = (dying.hostname, living.hostname)
        stats = answers(control, c.Stats(both))
        assert all(reply.value["pid"] for reply in stats.values())
        scaled = answers(control, c.Autoscale((dying.hostname,), max=3, min=1))[dying.hostname]
        assert (scaled.outcome, scaled.value) == (Outcome.OK, {"ok": "autoscale now max=3 min=1"})
        dying.pause()
        threading.Timer(0.5, dying.kill).start()
        replies = answers(control, c.Ping(both), 3.0)
        assert {name: reply.outcome for name, reply in replies.items()} == {
            dying.hostname: Outcome.SILENT,
            living.hostname: Outcome.OK,
        }
        sent = answers(control, c.Shutdown((living.hostname,)))
        assert sent[living.hostname].outcome is Outcome.SENT
        wait_until(lambda: not living.alive, "the worker's end", timeout=60)
    finally:
        control.close()
        for worker in workers.values():
            worker.kill()


@pytest.mark.slow
def test_the_mailbox_is_one_for_all_commands_and_gone_after_the_stop(redis_server: RedisServer) -> None:
    control = CeleryControl(Settings(broker=redis_server.url.rstrip("/").removesuffix("/0") + "/13"))
    with redis_server.client(db=13) as server:
        for _ in range(5):
            assert control.ask(c.Ping(("nobody@h",)), 0.1) == {}
        assert server.scard("_kombu.binding.reply.celery.pidbox") == 1
        control.close()
        assert server.scard("_kombu.binding.reply.celery.pidbox") == 0
        assert not [key for key in server.scan_iter("*reply.celery.pidbox") if b"binding" not in key]
