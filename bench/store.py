"""How stores take and give back a long history: rates as it grows, answers, bytes a task, the drop of a day.

`python bench/store.py --tasks 10_000_000 --engine sqlite --engine table`; two weeks of tasks, four events each, by one
generator (`stores/history.py`), committed by each engine's own writer. With `--burst 2` the tasks of a commit begin
within two seconds, as in life: evenly spread, a commit of a small history touches thousands of minutes and names.
`postgresql` and `clickhouse` start a server of their own on this machine; `server` is an empty store at the URL in
UMBEL_STORE. `table` is the yardstick: one plain SQLite table. Questions are asked at a tenth of the tasks and at all of
them, after upkeep has finished. With `--keep DIRECTORY` the store stays there, before the drop of a day; `--ask
DIRECTORY` asks one that was kept again, as often as one likes, and fills nothing. What it prints is Markdown.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import resource
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

# The servers are those that the tests start.
sys.path.append(str(Path(__file__).parent.parent))

from stores.engines import ENGINES, Store, kept
from stores.history import END, START, windows
from stores.questions import measure
from stores.table import Table
from umbel.model.gather import gather
from umbel.stores.base import Commit, Position

#: Seconds by the clock that an answer may take where only its CPU time is told.
PATIENCE: Final = 60.0
#: Shares of the history after which a rate is told.
STEPS = 10


class Fill:
    """Takes the windows of the generator into an engine; the time of the generator is left out."""

    def __init__(self, engine: Store | Table) -> None:
        self._engine = engine
        self.spent = self.cpu = self.server = 0.0
        self.tasks = self.writes = 0
        self.commits: list[float] = []

    def take(self, number: int, events: list, at: float) -> None:  # type: ignore[type-arg]
        tasks = gather(events)
        commit = Commit(at, tasks, stored=len(events), position=Position("bench", str(number)))
        server, started, cpu = self._engine.server_cpu(), time.perf_counter(), time.process_time()
        self._engine.write(commit)
        self.commits.append(time.perf_counter() - started)
        self._engine.upkeep()
        self.spent += time.perf_counter() - started
        self.cpu += time.process_time() - cpu
        self.server += self._engine.server_cpu() - server
        self.writes += len(tasks)


def head(name: str, what: str, *, cpu: bool) -> None:
    kind = "CPU time of this process" if cpu else "time by the clock"
    load = ", ".join(f"{average:.1f}" for average in os.getloadavg())
    print(f"\n### {name}, {what}\n")
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}; load average before {load}; "
        f"answers in {kind}.\n",
        flush=True,
    )


def ask(directory: Path, arguments: argparse.Namespace) -> None:
    """Ask a SQLite store that was kept; it is only read."""
    head("sqlite", "a store that was kept", cpu=arguments.cpu)
    # On a busy machine the clock would end answers that take little CPU.
    engine = kept(directory, PATIENCE) if arguments.cpu else kept(directory)
    clock = time.process_time if arguments.cpu else time.perf_counter
    table({engine.reader.state().tasks: measure(engine, clock, arguments.only)})
    print("- bytes a task: " + ", ".join(f"{kind} {size:.0f}" for kind, size in engine.bytes_a_task().items()))
    print(f"- {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB of memory at most")
    engine.reader.close()


def run(name: str, directory: Path, arguments: argparse.Namespace) -> None:
    head(name, f"{arguments.tasks:,} tasks", cpu=arguments.cpu)
    with closing(ENGINES[name](directory)) as engine:
        fill_and_ask(engine, arguments)


def fill_and_ask(engine: Store | Table, arguments: argparse.Namespace) -> None:
    fill = Fill(engine)
    clock = time.process_time if arguments.cpu else time.perf_counter
    count, window = arguments.tasks, arguments.window
    marks = {count * step // STEPS // window * window for step in range(1, STEPS + 1)}
    asked = {}
    before = (0, 0.0, 0.0, 0.0)
    for number, events in enumerate(windows(count, window, arguments.late, arguments.burst)):
        done = min(count, (number + 1) * window)
        fill.take(number, events, START + (END - START) * done / count)
        if done in marks and done > before[0]:
            tell_rate(fill, done, before)
            if done == min(marks):
                engine.settle()
                asked[done] = measure(engine, clock)
            before = (done, fill.spent, fill.cpu, fill.server)
    ordered = sorted(fill.commits)
    print(
        f"- {count / fill.spent:,.0f} tasks/s in all, {fill.writes / count:.2f} writes a task, "
        f"{window:,} tasks a commit"
    )
    print(f"- commit: p50 {ordered[len(ordered) // 2] * 1e3:.0f} ms, longest {ordered[-1] * 1e3:.0f} ms")
    started = time.perf_counter()
    engine.settle()
    print(f"- upkeep finished after {time.perf_counter() - started:.0f} s more")
    asked[count] = measure(engine, clock)
    table(asked)
    print("- bytes a task: " + ", ".join(f"{kind} {size:.0f}" for kind, size in engine.bytes_a_task().items()))
    print(f"- {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB of memory at most")
    if not arguments.keep:
        drop(engine)


def drop(engine: Store | Table) -> None:
    started = time.perf_counter()
    dropped, longest = engine.drop_day()
    took = (time.perf_counter() - started) * 1e3
    print(
        f"- a day dropped, {dropped:,} tasks, in {took:.0f} ms; the writer held up for at most {longest * 1e3:.0f} ms"
    )


def tell_rate(fill: Fill, done: int, before: tuple[int, float, float, float]) -> None:
    tasks, spent, cpu, server = before
    new = done - tasks
    beside = f", {(fill.server - server) / new * 1e6:.1f} in the server" if fill.server else ""
    rate = f"{new / (fill.spent - spent):,.0f} tasks/s, {(fill.cpu - cpu) / new * 1e6:.1f} us CPU a task"
    print(f"- {done:,} tasks: {rate}{beside}", flush=True)


def table(asked: dict[int, dict[str, tuple[float, float, float]]]) -> None:
    counts = list(asked)
    print("\n| ms: p50 / p95 / longest | " + " | ".join(f"{count:,} tasks" for count in counts) + " |")
    print("|---|" + "---|" * len(counts))
    for title in asked[counts[0]]:
        cells = (" / ".join(f"{ms:.3g}" for ms in asked[count][title]) for count in counts)
        print(f"| {title} | " + " | ".join(cells) + " |")
    print()


def main(arguments: argparse.Namespace, engines: Iterable[str]) -> None:
    for name in engines:
        if arguments.keep:
            run(name, arguments.keep, arguments)
            continue
        directory = Path(tempfile.mkdtemp(prefix="umbel-bench-", dir=arguments.directory))
        try:
            run(name, directory, arguments)
        finally:
            shutil.rmtree(directory)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=200_000, help="tasks in the history")
    parser.add_argument("--window", type=int, default=4_000, help="tasks that begin in one commit")
    parser.add_argument("--late", type=float, default=0.25, help="share of the ends that come in the next commit")
    parser.add_argument(
        "--burst", type=float, default=0.0, help="seconds in which the tasks of a commit begin (0: evenly in two weeks)"
    )
    parser.add_argument("--engine", action="append", choices=sorted(ENGINES), help="may be given several times")
    parser.add_argument("--cpu", action="store_true", help="answers in CPU time of this process: for a busy machine")
    parser.add_argument("--directory", help="where the stores are made")
    parser.add_argument("--keep", type=Path, help="leave the store in this empty directory; for one engine")
    parser.add_argument("--ask", type=Path, help="ask a SQLite store that was kept, and no more")
    parser.add_argument("--only", default="", help="with --ask: only questions whose title has this")
    gc.freeze()
    given = parser.parse_args()
    if given.ask:
        ask(given.ask, given)
    else:
        main(given, given.engine or (["sqlite"] if given.keep else ["sqlite", "table"]))
