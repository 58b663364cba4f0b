"""What each page costs the server: processor milliseconds of an answer, from a history of many tasks in SQLite.

`python bench/answers.py --tasks 1_000_000`; `--keep DIRECTORY` fills that once and reads it again. The clock of the web
goes on by a minute between two answers, so that nothing comes out of what a page keeps for a few seconds.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from starlette.testclient import TestClient

from stores.engines import sqlite
from stores.history import END, START, windows
from umbel.clock import ManualClock, SystemClock
from umbel.metrics.prometheus import render
from umbel.model.gather import gather
from umbel.model.query import EVERYTHING, Page
from umbel.runtime.stores import open_reader
from umbel.settings import Settings
from umbel.stores.base import Commit, Position
from umbel.web.app import create_app
from umbel.web.deps import Deps

WINDOW = 2_000
SEARCHES = (
    "",
    "state:FAILURE",
    'name:="shop.app3.tasks.task_3"',
    "name:shop.app1* run:>1s",
    'worker:"celery@worker-7"',
    "exception:TimeoutError",
    "exception:ValueError",
    "args:customer-4242",
    "Dresden",
    "queue:mail -state:SUCCESS",
    "received:>-1h",
)


def fill(directory: Path, count: int) -> None:
    """Commit the history, and seal what is full."""
    engine = sqlite(directory)
    for number, events in enumerate(windows(count, WINDOW, 0.02, 2.0)):
        done = min(count, (number + 1) * WINDOW)
        at = START + (END - START) * done / count
        engine.write(Commit(at, gather(events), stored=len(events), position=Position("bench", str(number))))
        engine.upkeep()
    engine.settle()
    engine.close()


@contextmanager
def web(directory: Path) -> Iterator[tuple[TestClient, ManualClock, str]]:
    """A client, the clock that it lives by, and the id of a task."""
    settings = replace(Settings(), store=f"sqlite:///{directory / 'umbel.db'}")
    clock = ManualClock()
    clock.step(END + 1 - clock.now())
    # Its answers are bounded in time that really goes by.
    reader = open_reader(settings, SystemClock())
    task = reader.tasks(EVERYTHING, Page(1)).items[0].id
    deps = Deps(reader, dict, settings, clock, render, None, ())
    with TestClient(create_app(deps), base_url="http://127.0.0.1:5555") as client:
        yield client, clock, task
    reader.close()


def measure(client: TestClient, clock: ManualClock, path: str, count: int) -> tuple[float, float, float, int]:
    """Median, 95th percentile and longest, in processor milliseconds; and the bytes of an answer."""
    times = []
    size = 0
    for _ in range(count + 1):
        started = time.process_time()
        answer = client.get(path)
        times.append((time.process_time() - started) * 1e3)
        assert answer.status_code == 200, f"{path}: {answer.status_code}"
        size = len(answer.content)
        clock.advance(20)
    ordered = sorted(times[1:])
    return ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.95)], ordered[-1], size


def report(directory: Path, times: int, only: str) -> None:
    with web(directory) as (client, clock, task):
        listed = [f"/tasks?q={quote(q)}" for q in SEARCHES]
        name = quote("shop.app1.tasks.task_0", safe="")
        for path in (
            *("/", "/?range=24h", *listed, f"/tasks/{task}", "/names", "/names?range=24h", f"/names/{name}"),
            *("/errors", "/errors?range=24h", "/workers", "/ingest", "/storage"),
        ):
            if only not in path:
                continue
            median, high, longest, size = measure(client, clock, path, times)
            print(f"{median:>8.1f} {high:>8.1f} {longest:>8.1f} ms {size / 1024:>7.0f} KiB  {path}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--times", type=int, default=20, help="answers of each page, after one that fills caches")
    parser.add_argument("--only", default="", help="pages whose address has this in it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        directory = arguments.keep or Path(temporary)
        if not (directory / "umbel.db").exists():
            directory.mkdir(parents=True, exist_ok=True)
            fill(directory, arguments.tasks)
        print("  median      p95  longest, of processor time", flush=True)
        report(directory, arguments.times, arguments.only)


if __name__ == "__main__":
    main()
