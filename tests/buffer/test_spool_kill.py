"""Two real processes, and kill -9."""

from __future__ import annotations

import random
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.buffer import processes
from tests.support.environment import wait_until
from umbel.buffer.reader import SpoolReader
from umbel.buffer.writer import SpoolWriter
from umbel.clock import SystemClock
from umbel.model.event import EventClass

ROOT = Path(__file__).resolve().parents[2]


def start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.buffer.processes", *arguments], cwd=ROOT)


def appends_of(directory: Path, life: int) -> int:
    """How many appends this life of the writer is certain to have finished."""
    progress = directory / f"life-{life}"
    return int(struct.unpack("<Q", progress.read_bytes().ljust(8, b"\0"))[0]) if progress.exists() else 0


def wrote(directory: Path, life: int) -> bool:
    """Whether a life of the writer left something worth losing: 25 appends of 40 events."""
    return appends_of(directory, life) >= 25


@contextmanager
def killed_in_the_end(processes_: list[subprocess.Popen[bytes]]) -> Iterator[None]:
    try:
        yield
    finally:
        for process in processes_:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_kill_9_of_either_side_loses_nothing_and_brings_nothing_twice(tmp_path: Path) -> None:
    chance = random.Random(5)
    lives = 8
    running = [start("write", str(tmp_path), "0"), start("read", str(tmp_path))]
    with killed_in_the_end(running):
        for life in range(1, lives):
            wait_until(partial(wrote, tmp_path, life - 1), f"life {life - 1} writing")
            time.sleep(chance.uniform(0.0, 0.9))
            for index, again in enumerate([("write", str(tmp_path), str(life)), ("read", str(tmp_path))]):
                if index == 0 or chance.random() < 0.7:
                    running[index].send_signal(signal.SIGKILL)
                    running[index].wait()
                    running[index] = start(*again)
        time.sleep(1.0)

    writer = SpoolWriter(tmp_path / "spool", processes.LIMIT, SystemClock())
    store = processes.open_store(tmp_path)
    reader = SpoolReader(tmp_path / "spool", SystemClock())
    reader.open(processes.position(store))
    while processes.keep(store, reader, 0.0):
        writer.sync()
    assert reader.backlog() == (0, 0, 0.0)
    reader.close()
    writer.close()

    rows = {number for (number,) in store.execute("SELECT number FROM rows")}
    shed: Counter[str] = Counter()
    for kind, count in store.execute("SELECT class, count FROM shed"):
        shed[kind] += count
    certain, doubtful = set[int](), set[int]()
    for life in range(lives):
        appends = appends_of(tmp_path, life)
        certain.update(range(life * processes.LIFE, life * processes.LIFE + appends * processes.BATCH))
        doubtful.update(processes.numbers(life, appends))
    assert len(certain) > 5_000
    assert shed
    assert rows <= certain | doubtful
    for kind in (EventClass.HEARTBEAT, EventClass.QUEUED, EventClass.RUNNING, EventClass.TERMINAL):
        missing = sum(processes.class_of(number) is kind for number in certain - rows)
        unsure = sum(processes.class_of(number) is kind for number in doubtful - rows)
        assert missing <= shed.pop(f"spool_full/{kind}", 0) <= missing + unsure
    assert shed == {}
    store.close()
