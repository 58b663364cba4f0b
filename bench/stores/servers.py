"""Servers of the bench's own, started for one engine and ended with it; what they have cost."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tests.support.clickhouse import ClickHouseServer
from tests.support.postgres import PostgresServer

#: PostgreSQL as one would run it: nothing is lost in a power cut, and a quarter of a small machine's memory.
SETTINGS: Final = {
    "fsync": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "maintenance_work_mem": "256MB",
}

Cpu = Callable[[], float]


@contextlib.contextmanager
def postgresql(_: Path) -> Iterator[tuple[str, Cpu]]:
    """A PostgreSQL: the URL of a store in it, and the seconds of CPU that its living processes took."""
    server = PostgresServer(SETTINGS)
    try:
        server.start()
        yield server.url(), lambda: cpu_of(server.pid)
    finally:
        server.remove()


@contextlib.contextmanager
def clickhouse(directory: Path) -> Iterator[tuple[str, Cpu]]:
    """ClickHouse's own engine: the URL of a store in it, and the seconds of CPU that it took."""
    with ClickHouseServer(directory) as server:
        yield server.url(), lambda: cpu_of(server.pid)


def cpu_of(pid: int) -> float:
    """Seconds of CPU of a process, its threads and its children that live (Linux; 0 elsewhere)."""
    found = 0
    for process in [pid, *_children(pid)]:
        for times in Path(f"/proc/{process}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                found += int(times.read_text().split()[0])
    return found / 1e9


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, children.read_text().split())
    return found
