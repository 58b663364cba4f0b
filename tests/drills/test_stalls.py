"""The store stalls, the collector hangs, the disk or the spool fills, the supervisor is told to stop: under load."""

from __future__ import annotations

import errno
import os
import resource
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.drills import sizes
from tests.drills.checks import check, settled, start, storing
from tests.drills.family import pid_of
from tests.drills.load import Publisher
from tests.support.environment import wait_until
from tests.support.redis import RedisServer
from tests.support.umbel import UmbelProcess
from umbel.model.event import EventClass
from umbel.model.ledger import Reason
from umbel.model.query import EVERYTHING
from umbel.stores.sqlite import SqliteReader

Redises = Callable[..., RedisServer]
Umbels = Callable[..., UmbelProcess]

pytestmark = pytest.mark.slow

#: Events a second, and tasks in all of the drill that stops in the middle: some 15 s of load.
RATE = 3_000
TASKS = 15_000
#: More tasks than a stall lets the publisher send: it is stopped afterwards.
ENDLESS = 10**7


@contextmanager
def locked(home: Path, _collector: int) -> Iterator[None]:
    """Another program holds the store."""
    with closing(sqlite3.connect(home / "store" / "umbel.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def stopped(_home: Path, collector: int) -> Iterator[None]:
    """The writer does not move."""
    os.kill(collector, signal.SIGSTOP)
    yield
    os.kill(collector, signal.SIGCONT)


@contextmanager
def full(home: Path, collector: int) -> Iterator[None]:
    """The store's disk has no room: a small one is filled, or else its files may not grow."""
    if os.path.ismount(home / "store"):
        filler = home / "store" / "filler"
        with filler.open("wb", buffering=0) as opened:
            try:
                while opened.write(bytes(1 << 20)):
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC  # noqa: PT017 - the loop ends in no other way
        yield
        filler.unlink()
    else:
        _soft, hard = resource.prlimit(collector, resource.RLIMIT_FSIZE)
        resource.prlimit(collector, resource.RLIMIT_FSIZE, (16_384, hard))
        yield
        resource.prlimit(collector, resource.RLIMIT_FSIZE, (hard, hard))


@pytest.fixture
def place(tmp_path: Path, size: sizes.Stall) -> Iterator[Path]:
    """A directory for the store: a small disk of its own where one may be mounted, which root may."""
    place = tmp_path / "store"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size.disk}", "tmpfs", place], check=False, capture_output=True
    )
    yield place
    if mounted.returncode == 0:
        subprocess.run(["umount", "--lazy", place], check=True)


#: How the store stalls, and a word that its complaint has; "" where it cannot complain.
STALLS = {"locked": (locked, "locked"), "stopped": (stopped, ""), "full": (full, "umbel.db")}


@pytest.mark.parametrize("stall", STALLS)
@sizes.STALL
def test_a_stalled_store_is_told_of_delays_and_loses_nothing(
    redis_factory: Redises, umbel_process: Umbels, tmp_path: Path, place: Path, stall: str, size: sizes.Stall
) -> None:
    redis = redis_factory()
    umbel = start(redis, umbel_process, "--store", f"sqlite:///{place / 'umbel.db'}")
    block, complaint = STALLS[stall]

    def told() -> bool:
        # A collector that says nothing for long counts as gone: 503.
        try:
            told = umbel.json("/readyz", timeout=120)
        except OSError:
            return True
        return bool(told["status"] != "ok" and complaint in str(told["checks"]["collector"]))

    with Publisher(redis.url, tmp_path, rate=size.rate, tasks=ENDLESS) as publisher:
        wait_until(lambda: storing(umbel), "the first commits", timeout=120)
        with block(tmp_path, pid_of(tmp_path, "collect")):
            began = time.monotonic()
            wait_until(told, "/readyz telling of it", timeout=120)
            wait_until(lambda: umbel.json("/api/v1/ingest")["lag_seconds"] > 3, "the lag to show", timeout=120)
            assert umbel.get("/tasks")
            assert umbel.get("/healthz") == b"ok"
            time.sleep(max(0.0, began + size.seconds - time.monotonic()))
            lag = umbel.json("/api/v1/ingest")["lag_seconds"]
        publisher.signal(signal.SIGTERM)
        assert publisher.wait(timeout=600) == 0
    sent = time.monotonic()
    wait_until(lambda: settled(umbel), "everything to be stored", timeout=600)
    print(f"{stall} on {place}: lag {lag:.0f} s, drained in {time.monotonic() - sent:.0f} s")  # noqa: T201 - a report
    umbel.stop()
    check(place / "umbel.db", int(publisher.output().split()[-1]))


@sizes.FILL
def test_a_full_spool_sheds_by_class_and_the_books_balance_to_the_event(
    redis_factory: Redises, umbel_process: Umbels, tmp_path: Path, size: sizes.Fill
) -> None:
    redis = redis_factory()
    umbel = start(redis, umbel_process, "--spool-bytes", size.spool)
    before = umbel.json("/api/v1/ingest")["received"]
    collector = pid_of(tmp_path, "collect")
    os.kill(collector, signal.SIGSTOP)
    with Publisher(redis.url, tmp_path, rate=size.rate, tasks=size.tasks) as publisher:
        assert publisher.wait(timeout=600) == 0
    os.kill(collector, signal.SIGCONT)
    wait_until(lambda: settled(umbel), "everything to be stored", timeout=600)
    umbel.stop()
    with closing(SqliteReader(tmp_path / "umbel.db")) as reader:
        books = reader.state().books
        ends = reader.count(EVERYTHING, cap=1_000_000)
    shed = {class_: n for (reason, class_), n in books.discarded.items() if reason is Reason.SPOOL_FULL}
    print({class_.value: n for class_, n in shed.items()})  # noqa: T201 - a drill reports
    assert books.received - before == 3 * size.tasks
    assert books.received == books.stored + sum(books.discarded.values())
    assert shed[EventClass.QUEUED] > 0
    assert shed.get(EventClass.TERMINAL, 0) <= shed.get(EventClass.RUNNING, 0) <= shed[EventClass.QUEUED]
    assert ends.n > 0


@pytest.mark.timeout(240)
def test_a_stop_under_load_is_in_time_and_what_was_captured_is_there_after_the_restart(
    redis_factory: Redises, umbel_process: Umbels, tmp_path: Path
) -> None:
    redis = redis_factory()
    umbel = start(redis, umbel_process)
    with Publisher(redis.url, tmp_path, rate=RATE, tasks=TASKS) as publisher:
        wait_until(lambda: storing(umbel), "the first commits", timeout=120)
        umbel.signal(signal.SIGTERM)
        # Far less than an Umbel that does not stop would take, and more than its 10 s on a busy machine.
        assert umbel.wait(timeout=40) == 0
        again = start(redis, umbel_process)
        assert publisher.wait(timeout=120) == 0
    wait_until(lambda: settled(again), "everything to be stored", timeout=120)
    again.stop()
    with closing(SqliteReader(tmp_path / "umbel.db")) as reader:
        found = reader.count(EVERYTHING, cap=1_000_000).n
        assert any(entry.reason is Reason.DISCONNECTED for entry in reader.ledger())
    assert 0 < found < TASKS
    check(tmp_path / "umbel.db", found)
