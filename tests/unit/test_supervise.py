"""The supervisor with real child processes: restarts, crash loops, order and time of a stop, its own death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from umbel.supervise import CRASHES, HOPELESS

#: A supervisor over children that log what befalls them.
PARENT = """
import sys
from umbel.supervise import Supervisor
directory, grace, *parts = sys.argv[1:]
def command(name):
    return (sys.executable, "-c", open(f"{directory}/child.py").read(), directory, name)
sys.exit(Supervisor(parts, {"PATH": ""}, float(grace), command=command).run())
"""

CHILD = """
import os, signal, sys, threading, time
from umbel.runtime.parts import stop_with_parent
directory, name = sys.argv[1:]
def say(word):
    with open(f"{directory}/log", "a") as file:
        file.write(f"{name} {word} {os.getpid()}\\n")
stop = threading.Event()
if "deaf" in name:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
say("started")
if name == "crash":
    sys.exit(3)
if name == "hopeless":
    sys.exit(78)
if "deaf" not in name:
    stop_with_parent(stop)
while not stop.is_set():
    time.sleep(0.01)
say("stopped")
"""


class Family:
    """A supervisor in a process of its own, and what its children logged."""

    def __init__(self, directory: Path, parts: Sequence[str], grace: float) -> None:
        self.log = directory / "log"
        self.log.touch()
        (directory / "child.py").write_text(CHILD)
        self.process = subprocess.Popen([sys.executable, "-c", PARENT, str(directory), str(grace), *parts])

    def said(self, word: str) -> list[tuple[str, int]]:
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return [(name, int(pid)) for name, what, pid in lines if what == word]

    def wait_for(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)

    def alive(self) -> list[int]:
        return [pid for _, pid in self.said("started") if _lives(pid)]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Callable[..., Family]]:
    families: list[Family] = []

    def make(*parts: str, grace: float = 5.0) -> Family:
        families.append(Family(tmp_path, parts, grace))
        return families[-1]

    yield make
    for one in families:
        one.process.kill()
        one.process.wait()
        for pid in one.alive():
            os.kill(pid, signal.SIGKILL)


def test_a_killed_part_is_started_again_and_the_others_go_on(family: Callable[..., Family]) -> None:
    one = family("a", "b")
    one.wait_for(lambda: len(one.said("started")) == 2)
    victim = dict(one.said("started"))["a"]
    os.kill(victim, signal.SIGKILL)
    one.wait_for(lambda: len(one.said("started")) == 3)
    assert [name for name, _ in one.said("started")].count("b") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_the_parts_in_order_with_status_0(family: Callable[..., Family], number: signal.Signals) -> None:
    one = family("a", "b", "c")
    one.wait_for(lambda: len(one.said("started")) == 3)
    one.process.send_signal(number)
    assert one.process.wait(timeout=90) == 0
    assert [name for name, _ in one.said("stopped")] == ["a", "b", "c"]


def test_a_part_that_ignores_the_stop_is_killed_in_time_and_the_others_stop_cleanly(
    family: Callable[..., Family],
) -> None:
    one = family("deaf", "b", "c", grace=4.0)
    one.wait_for(lambda: len(one.said("started")) == 3)
    began = time.monotonic()
    one.process.terminate()
    assert one.process.wait(timeout=90) == 0
    assert time.monotonic() - began > 1.0
    assert [name for name, _ in one.said("stopped")] == ["b", "c"]
    assert one.alive() == []


def test_a_second_ctrl_c_ends_the_patience(family: Callable[..., Family]) -> None:
    one = family("deaf", "b", grace=60.0)
    one.wait_for(lambda: len(one.said("started")) == 2)
    one.process.send_signal(signal.SIGINT)
    threading.Timer(0.5, lambda: one.process.send_signal(signal.SIGINT)).start()
    assert one.process.wait(timeout=90) == 0
    assert one.alive() == []


@pytest.mark.slow
def test_a_crash_loop_stops_everything_with_status_1(family: Callable[..., Family]) -> None:
    one = family("a", "crash")
    assert one.process.wait(timeout=60) == 1
    assert [name for name, _ in one.said("started")].count("crash") == CRASHES
    assert [name for name, _ in one.said("stopped")] == ["a"]


def test_settings_that_cannot_work_stop_everything_at_once(family: Callable[..., Family]) -> None:
    assert HOPELESS == 78
    one = family("a", "hopeless")
    assert one.process.wait(timeout=90) == 1
    assert [name for name, _ in one.said("started")].count("hopeless") == 1
    assert one.alive() == []


def test_children_stop_when_the_supervisor_is_killed(family: Callable[..., Family]) -> None:
    one = family("a", "b")
    one.wait_for(lambda: len(one.said("started")) == 2)
    one.process.kill()
    one.wait_for(lambda: len(one.said("stopped")) == 2)
