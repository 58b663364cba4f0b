"""`umbel demo` as a newcomer meets it: within a minute a shop at work on every page, and nothing left at the end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.environment import wait_until
from tests.support.umbel import UmbelProcess

#: States that a newcomer should see at any moment.
STATES = ("SUCCESS", "FAILURE", "RETRY", "STARTED")


def count(umbel: UmbelProcess, query: str) -> int:
    return int(umbel.json(f"/api/v1/tasks/count?{urllib.parse.urlencode({'q': query})}")["count"])


def family(root: int) -> set[int]:
    """A process and all its descendants that live."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal():
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                parents.update({int(entry.name): int(parent)} if state != "Z" else {})
    found = {root} & parents.keys()
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_demo_shows_a_shop_at_work_and_leaves_nothing(
    umbel_process: Callable[..., UmbelProcess], tmp_path: Path
) -> None:
    temp = tmp_path / "temp"
    temp.mkdir()
    umbel = umbel_process("demo", env={"TMPDIR": str(temp)})
    end = time.monotonic() + 150
    seen: dict[str, int] = {}
    online: list[str] = []
    while time.monotonic() < end and not (all(seen.get(state) for state in STATES) and len(online) >= 2):
        time.sleep(1)
        seen = {state: count(umbel, f"state:{state}") for state in STATES}
        online = [w["hostname"] for w in umbel.json("/api/v1/workers")["items"] if w["online"]]
    assert all(seen.values()), seen
    assert len(online) >= 2
    wait_until(lambda: umbel.json("/api/v1/alerts")["items"], "an alert", timeout=90)
    task = umbel.json("/api/v1/tasks?limit=1")["items"][0]["id"]
    for path in (
        "/",
        "/tasks",
        f"/tasks/{task}",
        "/workers",
        "/ingest",
        "/alerts",
        "/metrics",
        "/readyz",
        "/api/v1/openapi.json",
    ):
        assert umbel.get(path)
    processes = family(umbel.pid)
    assert len(processes) > 8
    umbel.signal(signal.SIGINT)
    assert umbel.wait() == 0
    wait_until(lambda: not processes & family(1), "every process to end", timeout=60)
    assert list(temp.iterdir()) == []
    assert not list(tmp_path.glob("umbel.db*")), "the demo wrote beside itself"


def test_the_port_being_taken_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = subprocess.run(
            [sys.executable, "-m", "umbel", "web", "--port", str(taken.getsockname()[1])],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=dict(os.environ),
        )
    assert done.returncode == 1
    assert "is taken by another program" in done.stderr
    assert "Traceback" not in done.stderr
