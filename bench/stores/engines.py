"""What is measured: engines by name, each made with a store of its own under a directory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from stores import servers
from stores.history import DAY, END
from stores.table import Table
from umbel.clock import SystemClock
from umbel.model.query import Node, Page
from umbel.retention import Retention
from umbel.runtime.stores import open_reader, open_writer
from umbel.settings import Settings
from umbel.stores.base import Commit, StoreReader, StoreWriter
from umbel.stores.sqlite import SqliteReader, SqliteWriter
from umbel.stores.sqlite.reader import BUDGET

#: Where the URL of a server's store is, a variable of the environment.
STORE: Final = "UMBEL_STORE"
#: Rounds of upkeep in which all sums of two weeks are made.
ROUNDS: Final = 40


class Reading:
    """What an engine of Umbel's is asked, by its port for readers."""

    def __init__(self, reader: StoreReader) -> None:
        self.reader = reader

    def tasks(self, where: Node, page: Page) -> None:
        self.reader.tasks(where, page)

    def count(self, where: Node) -> None:
        self.reader.count(where)

    def task(self, task_id: str) -> None:
        self.reader.task(task_id)

    def by_name(self, start: float, end: float) -> None:
        """Counts and latencies of each name."""
        self.reader.rollup_names(start, end)

    def over_time(self, start: float, end: float, step: int) -> None:
        """Counts and latencies of each step: a heatmap."""
        self.reader.rollup(start, end, step)

    def server_cpu(self) -> float:
        """Seconds of CPU that a server has taken; 0 where there is none, or it is not ours to look at."""
        return 0.0

    def bytes_a_task(self) -> Mapping[str, float]:
        """By what they are of."""
        found = {}
        for kind, sealed in (("open", False), ("sealed", True)):
            parts = [part for part in self.reader.parts() if part.sealed == sealed]
            tasks = sum(part.tasks for part in parts)
            if tasks:
                found[kind] = sum(part.bytes for part in parts) / tasks
        return found


class Store(Reading):
    """An engine of Umbel's, by its two ports."""

    def __init__(self, writer: StoreWriter, reader: StoreReader) -> None:
        super().__init__(reader)
        self.writer = writer
        writer.open()

    def write(self, commit: Commit) -> None:
        self.writer.write(commit)

    def upkeep(self) -> None:
        self.writer.maintain(Retention(), END)

    def settle(self) -> None:
        """Upkeep until everything but the newest part is sealed."""
        while not all(part.sealed for part in self.reader.parts()[1:]):
            self.upkeep()
            time.sleep(0.05)
        # Days that are over are summed a round at a time.
        for _ in range(ROUNDS):
            self.upkeep()

    def drop_day(self) -> tuple[int, float]:
        """Drop about a day: the tasks that went, and the longest that the writer was held up (seconds)."""
        oldest = self.reader.parts()[-1]
        # What was written to on the first day, and on the second by events that came late.
        retention = Retention(age=END - (oldest.first_at or END) - 2 * DAY)
        tasks, longest = 0, 0.0
        while True:
            started = time.perf_counter()
            done = self.writer.maintain(retention, END)
            longest = max(longest, time.perf_counter() - started)
            if not done.dropped_tasks:
                return tasks, longest
            tasks += done.dropped_tasks

    def close(self) -> None:
        self.reader.close()
        self.writer.close()


class Server(Store):
    """An engine behind a server: it is settled once its size stays as it is."""

    STILL = 10.0

    def __init__(self, url: str, cpu: servers.Cpu = lambda: 0.0, stack: ExitStack | None = None) -> None:
        settings = replace(Settings(), store=url)
        self._stack = stack or ExitStack()
        self._cpu = cpu
        super().__init__(open_writer(settings, SystemClock()), open_reader(settings, SystemClock()))

    def settle(self) -> None:
        size, since = -1, time.monotonic()
        while time.monotonic() - since < self.STILL:
            self.upkeep()
            time.sleep(0.05)
            now = sum(part.bytes for part in self.reader.parts())
            if now != size:
                size, since = now, time.monotonic()

    def server_cpu(self) -> float:
        return self._cpu()

    def close(self) -> None:
        super().close()
        self._stack.close()


def server(_: Path) -> Store:
    """The store of `--store`, which should be empty."""
    return Server(os.environ[STORE])


def private(start: Callable[[Path], AbstractContextManager[tuple[str, servers.Cpu]]]) -> Callable[[Path], Store]:
    """A store in a server of its own."""

    def made(directory: Path) -> Store:
        with ExitStack() as stack:
            url, cpu = stack.enter_context(start(directory))
            return Server(url, cpu, stack.pop_all())

    return made


def sqlite(directory: Path) -> Store:
    """Segments, sealed as soon as they are full."""
    path = directory / "umbel.db"
    return Store(SqliteWriter(path, quiet=0.0), SqliteReader(path))


def kept(directory: Path, budget: float = BUDGET) -> Reading:
    """A SQLite store that was made before, to be read; answers end after `budget` seconds by the clock."""
    return Reading(SqliteReader(directory / "umbel.db", budget=budget))


#: By name; `table` is the yardstick.
ENGINES: Final[Mapping[str, Callable[[Path], Store | Table]]] = {
    "sqlite": sqlite,
    "postgresql": private(servers.postgresql),
    "clickhouse": private(servers.clickhouse),
    "server": server,
    "table": lambda directory: Table(directory / "table.db"),
}
