"""The demo's world: everything that can happen to a task happens in it, and nothing of it stays."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import redis

from tests.demo.processes import running_in
from tests.demo.watcher import Watcher
from tests.support.environment import wait_until
from tests.support.process import Process
from umbel.demo.world import World
from umbel.errors import ProcessError, SettingsError

#: A broker, three workers of two pools of two and one of threads, a beat and a producer.
PROCESSES = 1 + (3 + 2 * 2) + 2

STARTER = """
import signal, sys, time
from umbel.demo.world import World
signal.signal(signal.SIGINT, signal.default_int_handler)
with World() as world:
    print("started", flush=True)
    {body}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(place))
        with World() as world:
            yield world
    assert running_in(place) == {}
    assert list(place.iterdir()) == []


@pytest.fixture(scope="module")
def watcher(world: World) -> Watcher:
    watcher = Watcher(world.broker_url)
    watcher.start()
    return watcher


def outcomes(world: World) -> set[str]:
    """Every state that the result backend holds."""
    with redis.Redis.from_url(world.result_backend) as results:
        values = results.mget(list(results.scan_iter("celery-task-meta-*", count=1_000)) or ["-"])
    return {msgspec.json.decode(value)["status"] for value in values if value is not None}


@pytest.mark.slow
def test_the_result_backend_has_tasks_of_every_outcome_within_forty_seconds(world: World, watcher: Watcher) -> None:
    """Counted from the first task's end: a busy machine takes its time to start workers, an idle one three seconds."""
    wait_until(lambda: "SUCCESS" in outcomes(world), "a task that succeeded", timeout=40.0)
    wanted = {"SUCCESS", "FAILURE", "RETRY", "STARTED", "REVOKED"}
    wait_until(lambda: wanted <= outcomes(world), f"tasks in {wanted}", timeout=40.0, every=1.0)
    assert world.alive()


@pytest.mark.slow
def test_some_task_runs_and_some_waits_for_its_next_try_at_any_moment(world: World, watcher: Watcher) -> None:
    wait_until(lambda: {"task-started", "task-retried"} <= watcher.last().keys(), "one of each", timeout=40.0)
    for _ in range(20):
        assert {"STARTED", "RETRY"} <= outcomes(world)
        time.sleep(0.25)


@pytest.mark.slow
def test_events_of_every_type_go_over_the_wire(world: World, watcher: Watcher) -> None:
    """All of Celery's but three: elections are no shop's business, and cancelling takes a broken connection."""
    wanted = {
        "task-sent", "task-received", "task-started", "task-succeeded", "task-failed", "task-rejected", "task-revoked",
        "task-retried", "task-progress", "worker-online", "worker-heartbeat",
    }  # fmt: skip
    wait_until(
        lambda: wanted <= watcher.types().keys(), f"{wanted}", timeout=90.0, explain=lambda: f"{watcher.types()}"
    )


@pytest.mark.slow
def test_tasks_are_revoked_in_every_way(world: World, watcher: Watcher) -> None:

    def ways() -> set[tuple[bool, bool]]:
        return {(event["terminated"], event["expired"]) for event in watcher.events if event["type"] == "task-revoked"}

    wait_until(
        lambda: len(ways()) == 3, "taken back, terminated and expired", timeout=60.0, explain=lambda: f"{ways()}"
    )


@pytest.mark.slow
def test_failures_are_of_several_kinds_and_their_tracebacks_lead_into_the_shop(world: World, watcher: Watcher) -> None:
    def kinds() -> set[str]:
        return {event["exception"].partition("(")[0] for event in watcher.events if event["type"] == "task-failed"}

    wait_until(lambda: len(kinds()) >= 2, "two kinds of failure", timeout=60.0, explain=lambda: f"{kinds()}")
    failed = next(event for event in watcher.events if event["type"] == "task-failed")
    assert "umbel/demo/shop/" in failed["traceback"]


@pytest.mark.slow
def test_an_order_is_a_chain_and_the_index_a_chord(world: World, watcher: Watcher) -> None:
    wait_until(
        lambda: watcher.some("task-received", lambda event: event["name"] == "shop.search.summarise"),
        "the end of the chord",
        timeout=60.0,
    )
    received = {event["uuid"]: event for event in watcher.events if event["type"] == "task-received"}
    mails = [event for event in received.values() if event["name"] == "shop.mail.send_confirmation"]
    chains = [
        [received.get(mail["root_id"], {}).get("name"), received.get(mail["parent_id"], {}).get("name")]
        for mail in mails
    ]
    assert ["shop.orders.place", "shop.payments.charge"] in chains


@pytest.mark.slow
def test_huge_arguments_are_cut_in_events(world: World, watcher: Watcher) -> None:
    def imported() -> list[str]:
        return [event["args"] for event in watcher.events if event.get("name") == "shop.orders.import_batch"]

    wait_until(imported, "a batch of orders", timeout=60.0)
    assert max(map(len, imported())) > 1_000


@pytest.mark.slow
def test_workers_send_events_from_the_first_task_and_do_not_share_all_queues(world: World, watcher: Watcher) -> None:
    wait_until(lambda: watcher.types()["worker-online"] >= 3, "three workers", timeout=120.0)
    names = {event["hostname"].partition("@")[0] for event in watcher.events if event["type"] == "worker-online"}
    assert names == {"shop-1", "mail-1", "media-1"}
    for name, pid in world.processes.items():
        if name in names:
            # Where the worker has a title for itself, its arguments stand in it with spaces between.
            assert " -E " in Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


@pytest.mark.slow
def test_stop_says_goodbye_and_leaves_no_process_and_no_file(place: Path) -> None:
    world = World()
    world.start()
    watcher = Watcher(world.broker_url)
    watcher.start()
    wait_until(lambda: watcher.types()["worker-online"] >= 3, "three workers", timeout=120.0)
    wait_until(lambda: len(running_in(place)) == PROCESSES, "all processes", explain=lambda: str(running_in(place)))
    assert world.alive()
    begun = time.monotonic()
    world.stop()
    assert time.monotonic() - begun < 40
    assert running_in(place) == {}
    assert list(place.iterdir()) == []
    assert not world.alive()
    watcher.join(10.0)
    assert watcher.types()["worker-offline"] >= 2
    world.stop()  # harmless
    with pytest.raises(ProcessError, match="not running"):
        _ = world.directory


@pytest.mark.slow
def test_a_process_that_dies_is_reported_with_its_last_lines_and_not_replaced(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR), World() as world:
        (world.directory / "producer.log").write_text("the till is empty\n")
        os.kill(world.processes["producer"], signal.SIGKILL)
        wait_until(lambda: "the demo's producer has died" in caplog.text, "the report", timeout=10.0)
        assert "exit code -9" in caplog.text
        assert "the till is empty" in caplog.text
        time.sleep(1.5)
        assert caplog.text.count("has died") == 1
        assert not world.alive()
    assert running_in(place) == {}


def test_signals_are_as_before_afterwards(place: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    world = World()
    world.start()
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    world.stop(grace=0.0)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_what_cannot_start_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("umbel.demo.world.WORKERS", (("bad/name", "default", ()),))
    with pytest.raises(OSError, match="bad/name"):
        World().start()
    assert running_in(place) == {}
    assert list(place.iterdir()) == []


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(SettingsError, match="above 0"):
        World(rate=0.0)


def starter(place: Path, body: str = "time.sleep(600)") -> Process:
    return Process(
        [sys.executable, "-c", STARTER.format(body=body)], log=place.parent / "starter.log", env={"TMPDIR": str(place)}
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_nothing_is_left_by_a_starter_that_is_told_to_end(place: Path, number: signal.Signals) -> None:
    with starter(place) as process:
        process.wait_for(lambda: len(running_in(place)) == PROCESSES, "all processes")
        process.signal(number)
        assert process.wait(60.0) != 0
    assert running_in(place) == {}
    assert list(place.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("moment", [0.0, 0.05, 0.15, 0.4])
def test_nothing_is_left_when_it_is_told_to_end_while_it_starts(place: Path, moment: float) -> None:
    with starter(place) as process:
        process.wait_for(lambda: list(place.iterdir()), "the first sign of life")
        time.sleep(moment)
        process.signal(signal.SIGTERM)
        assert process.wait(60.0) == 128 + signal.SIGTERM
    assert running_in(place) == {}
    assert list(place.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("body", ["raise RuntimeError('the shop burns')", "sys.exit(5)", "world.start = None; 1 / 0"])
def test_nothing_is_left_by_a_starter_that_fails(place: Path, body: str) -> None:
    with starter(place, body) as process:
        assert process.wait(15.0) != 0
        assert "started" in process.output()
    assert running_in(place) == {}
    assert list(place.iterdir()) == []


@pytest.mark.slow
def test_a_second_ctrl_c_hurries_and_still_leaves_nothing(place: Path) -> None:
    with starter(place) as process:
        process.wait_for(lambda: len(running_in(place)) == PROCESSES, "all processes")
        process.signal(signal.SIGINT)
        time.sleep(0.1)
        process.signal(signal.SIGINT)
        assert process.wait(60.0) != 0
    assert running_in(place) == {}
    assert list(place.iterdir()) == []


@pytest.mark.slow
def test_no_process_outlives_a_starter_that_is_killed(place: Path) -> None:
    with starter(place) as process:
        process.wait_for(lambda: len(running_in(place)) == PROCESSES, "all processes")
        process.signal(signal.SIGKILL)
        wait_until(lambda: not running_in(place), "their end", timeout=30, explain=lambda: str(running_in(place)))
