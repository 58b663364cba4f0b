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
from umbel.errors import ControlError
from umbel.settings import Settings

#: Seconds that no call below comes near, unless it waits where it need not.
LONG = 60.0
POOLS = ("prefork", "threads", "solo")
#: One that scales its pool itself; it goes on while those of `POOLS` hang or die.
SCALED = "scaled"
#: Seconds that a worker which answers nothing is waited for.
PATIENCE = 6.0
BROKERS = ("redis", "rabbitmq")


@pytest.fixture(scope="module", params=BROKERS)
def broker_url(request: pytest.FixtureRequest) -> str:
    """A database or virtual host of one's own on the session's server."""
    if request.param == "redis":
        redis: RedisServer = request.getfixturevalue("redis_server")
        return f"{redis.url.rstrip('/').removesuffix('/0')}/11"
    rabbitmq: RabbitMQServer = request.getfixturevalue("rabbitmq_server")
    return rabbitmq.vhost(unique("commands"))


class Fleet:
    """A worker of each pool, and the one that scales its own. The prefork one lets its pool be restarted."""

    def __init__(self, broker: str, directory: Path) -> None:
        given = {"prefork": ("worker.pool_restarts=true",)}
        self.pools = {pool: CeleryWorker(broker, directory, pool=pool, args=given.get(pool, ())) for pool in POOLS}
        self.scaled = CeleryWorker(broker, directory, concurrency=1, args=("--autoscale", "2,1"))

    @property
    def names(self) -> tuple[str, ...]:
        """Those of `POOLS`, in that order."""
        return tuple(worker.hostname for worker in self.pools.values())

    def ready(self) -> None:
        """Start, at the same time, those that do not run."""
        threads = [threading.Thread(target=worker.start) for worker in self._all() if not worker.alive]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def kill(self) -> None:
        for worker in self._all():
            worker.kill()

    def _all(self) -> list[CeleryWorker]:
        return [*self.pools.values(), self.scaled]


@pytest.fixture(scope="module")
def workers(broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    made = Fleet(broker_url, tmp_path_factory.mktemp("fleet"))
    yield made
    made.kill()


@pytest.fixture
def fleet(workers: Fleet) -> Fleet:
    """All of them run, whatever another test did to them."""
    workers.ready()
    return workers


@pytest.fixture(scope="module")
def control(broker_url: str) -> Iterator[CeleryControl]:
    made = CeleryControl(Settings(broker=broker_url))

    def connected() -> bool:
        try:
            return bool(list(made.call(c.Ping(("nobody@h",)), 0.01)))
        except ControlError:
            return False

    # On a busy machine a broker may take longer than a person would wait for it.
    wait_until(connected, "a queue for replies", timeout=LONG)
    yield made
    made.close()


def answers(control: CeleryControl, command: Command, timeout: float = LONG) -> dict[str, Reply]:
    return {reply.worker: reply for reply in control.call(command, timeout)}


#: What a command is given, where it must be given something.
GIVEN: dict[type[Command], dict[str, Any]] = {
    c.Revoke: {"task_ids": ("nothing",)},
    c.Terminate: {"task_ids": ("nothing",)},
    c.RevokeByStampedHeaders: {"headers": {"customer": ("nobody",)}},
    c.RateLimit: {"task_name": "support.add", "rate_limit": 0},
    c.TimeLimit: {"task_name": "support.add", "soft": 60, "hard": 120},
    c.Autoscale: {"max": 2, "min": 1},
    c.AddConsumer: {"queue": "walked"},
    c.CancelConsumer: {"queue": "walked"},
    c.QueryTask: {"ids": ("nothing",)},
}
ANSWERED = [kind for kind in c.COMMANDS.values() if kind.answered]


class Walk:
    """Every command that is answered, all under way at once, to workers that answer nothing and to one that does."""

    def __init__(self, control: CeleryControl, silent: tuple[str, ...], answering: str) -> None:
        self._control = control
        self._silent, self._answering = silent, answering
        self._came: dict[type[Command], list[Reply]] = {kind: [] for kind in ANSWERED}
        self._threads = [threading.Thread(target=self._ask, args=(kind,)) for kind in ANSWERED]
        for thread in self._threads:
            thread.start()

    def _ask(self, kind: type[Command]) -> None:
        command = kind((*self._silent, self._answering), **GIVEN.get(kind, {}))
        for reply in self._control.call(command, PATIENCE):
            self._came[kind].append(reply)

    def wait_for_answers(self) -> None:
        """Those that can be had are given before the time of the others is up."""
        wait_until(lambda: all(self._came.values()), "an answer to every command", timeout=LONG)

    def finish(self) -> None:
        """Each silent worker is told to be silent, once, after its time and not much later."""
        for thread in self._threads:
            thread.join(LONG)
        for kind, (first, *rest) in self._came.items():
            refuses = kind in (c.PoolGrow, c.PoolShrink, c.PoolRestart)
            assert first.worker == self._answering, (kind, first)
            assert first.outcome is (Outcome.REFUSED if refuses else Outcome.OK), (kind, first)
            assert [reply.worker for reply in rest] == list(self._silent), kind
            assert all(reply.outcome is Outcome.SILENT for reply in rest), (kind, rest)
            assert all(PATIENCE <= reply.seconds < LONG for reply in rest), (kind, rest)


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
    fleet: Fleet, control: CeleryControl
) -> None:
    destination = fleet.names
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
def test_every_change_is_answered_by_every_pool(fleet: Fleet, control: CeleryControl) -> None:
    destination = fleet.names
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
    scaled = (fleet.scaled.hostname,)
    assert outcome(c.Autoscale(scaled, max=3, min=1)) == {scaled[0]: "{'ok': 'autoscale now max=3 min=1'}"}
    assert "not supported with autoscale" in outcome(c.PoolGrow(scaled, n=1))[scaled[0]]
    all_say(c.DisableEvents(destination), "task events disabled")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_hanging_workers_are_silent_alone_whatever_they_are_asked_and_answer_when_they_go_on(
    fleet: Fleet, control: CeleryControl
) -> None:
    for worker in fleet.pools.values():
        worker.pause()
    try:
        Walk(control, fleet.names, fleet.scaled.hostname).finish()
    finally:
        for worker in fleet.pools.values():
            worker.resume()
    assert {reply.outcome for reply in answers(control, c.Ping(fleet.names)).values()} == {Outcome.OK}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("by", ["id", "stamp"])
def test_a_running_task_is_revoked_with_termination(
    fleet: Fleet, control: CeleryControl, broker_url: str, by: str
) -> None:
    destination = (fleet.pools["prefork"].hostname,)
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
def test_workers_that_die_during_a_call_are_silent_and_those_told_to_stop_stop(
    fleet: Fleet, control: CeleryControl
) -> None:
    for worker in fleet.pools.values():
        worker.pause()
    walk = Walk(control, fleet.names, fleet.scaled.hostname)
    try:
        walk.wait_for_answers()
    finally:
        for worker in fleet.pools.values():
            worker.kill()
    walk.finish()

    fleet.ready()
    # They say that they are ready before they listen, and nothing answers a shutdown.
    wait_until(lambda: set(control.ask(c.Ping(fleet.names), 5.0)) == set(fleet.names), "all of them listening")
    sent = control.call(c.Shutdown(fleet.names), LONG)
    assert {reply.worker: reply.outcome for reply in sent} == dict.fromkeys(fleet.names, Outcome.SENT)
    for worker in fleet.pools.values():
        worker.wait()
    assert answers(control, c.Ping((fleet.scaled.hostname,)))[fleet.scaled.hostname].outcome is Outcome.OK


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
