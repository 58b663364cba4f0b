"""A part that does not listen, a user without patience: Umbel ends in time, and what was captured is there later."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.drills.checks import check, ready, settled, start
from tests.drills.family import alive, pid_of
from tests.drills.load import Publisher
from tests.support.environment import wait_until
from tests.support.redis import RedisServer
from tests.support.umbel import UmbelProcess
from umbel.status import CAPTURED, StatusBoard

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

TASKS = 2_000


@pytest.mark.parametrize(
    ("signals", "grace", "within"),
    [([signal.SIGTERM], 4, 30), ([signal.SIGINT, signal.SIGINT], 200, 60)],
    ids=["a child that ignores SIGTERM", "Ctrl-C twice"],
)
def test_it_ends_in_time_though_the_collector_hangs_and_loses_nothing(
    redis_factory: Callable[..., RedisServer],
    umbel_process: Callable[..., UmbelProcess],
    tmp_path: Path,
    signals: list[signal.Signals],
    grace: int,
    within: float,
) -> None:
    redis = redis_factory()
    umbel = start(redis, umbel_process, "--grace", str(grace))
    collector = pid_of(tmp_path, "collect")
    # Stopped in its tracks it takes no SIGTERM, whatever it would do with it.
    os.kill(collector, signal.SIGSTOP)
    with Publisher(redis.url, tmp_path, rate=3_000, tasks=TASKS) as publisher:
        assert publisher.wait(timeout=120) == 0
    spool = tmp_path / "umbel-data" / "spool"
    wait_until(lambda: sum(path.stat().st_size for path in spool.glob("*.spool")) > 300 * TASKS, "the capture")
    time.sleep(1)
    for number in signals:
        umbel.signal(number)
        time.sleep(1)
    assert umbel.wait(timeout=within) == 0
    assert not Path(f"/proc/{collector}").exists()
    again = start(redis, umbel_process)
    wait_until(lambda: settled(again), "everything to be stored", timeout=120)
    again.stop()
    check(tmp_path / "umbel.db", TASKS)


#: What fails at the stop, by part: in every form, and only in the long one.
FAILING = {
    # It is closed once before it is opened.
    "source": "umbel.sources.spool:SpoolSource.close:1",
    "store": "umbel.stores.sqlite.writer:SqliteWriter.close",
    "session": "umbel.sources.redis_session:Session.close",
    "supervisor": "umbel.supervise:_signal",
}
FAILING_TOO = {
    "spool": "umbel.buffer.writer:SpoolWriter.close",
    "enabler": "umbel.control.client_enabler:EventsEnabler.stop",
    "status": "umbel.status:StatusFile.close",
    "hub": "umbel.web.hints:Hub.close",
    "reader": "umbel.stores.sqlite.reader:SqliteReader.close",
}
HERE = Path(__file__).parent


@pytest.mark.parametrize(
    "target",
    [
        *(pytest.param(target, id=name) for name, target in FAILING.items()),
        *(pytest.param(target, id=name, marks=pytest.mark.drill) for name, target in FAILING_TOO.items()),
    ],
)
def test_whatever_fails_at_the_stop_the_rest_drains_and_commits(
    redis_factory: Callable[..., RedisServer],
    umbel_process: Callable[..., UmbelProcess],
    tmp_path: Path,
    target: str,
) -> None:
    redis = redis_factory()
    environment = {"DRILL_FAIL": target, "PYTHONPATH": str(HERE / "inject")}
    umbel = umbel_process("up", "--broker", redis.url, "--grace", "60", env=environment)
    wait_until(lambda: ready(umbel), "the subscription", timeout=120)
    collector = pid_of(tmp_path, "collect")
    os.kill(collector, signal.SIGSTOP)
    with Publisher(redis.url, tmp_path, rate=3_000, tasks=TASKS) as publisher:
        assert publisher.wait(timeout=120) == 0
    board = StatusBoard(tmp_path / "umbel-data" / "run")
    wait_until(lambda: board.read()["receive"].values[CAPTURED] == 3 * TASKS, "the capture")
    umbel.signal(signal.SIGTERM)
    # It goes on when the stop has begun, with all that was captured before it.
    os.kill(collector, signal.SIGCONT)
    umbel.wait(timeout=90)
    assert f"injected into {target}" in umbel.output()
    assert not alive(collector)
    check(tmp_path / "umbel.db", TASKS)
    again = start(redis, umbel_process)
    wait_until(lambda: settled(again), "everything to be stored", timeout=120)
    again.stop()
    check(tmp_path / "umbel.db", TASKS)
