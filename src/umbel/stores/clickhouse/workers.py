"""Worker processes as rows of `worker`, a join like tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from umbel.model.worker import Heartbeat, Software, Tally, Worker
from umbel.stores.clickhouse.connection import Connection
from umbel.stores.sqlfile import load

#: Worker processes that are told of, the most recently seen.
ROWS: Final = 10_000

#: Names and types of the columns, in the order of `row_of`.
COLUMNS: Final = {
    "hostname": "String",
    "pid": "UInt64",
    "online_at": "Float64",
    "offline_at": "Float64",
    "heartbeat": "Tuple(Float64, Float64, UInt64, UInt64, Array(Float64), UInt64)",
    "software": "Tuple(Float64, String, String, String)",
    "first_seen_at": "Float64",
    "seen_at": "Float64",
    "task_seen_at": "Float64",
    "tally": "Tuple(Int64, UInt64, UInt64, Int64, Float64)",
}
_NO_HEARTBEAT: Final[tuple[Any, ...]] = (-1.0, 0.0, 0, 0, [], 0)
_NO_SOFTWARE: Final = (-1.0, "", "", "")
_NO_TALLY: Final = (-1, 0, 0, 0, 0.0)

_SQL: Final = load(Path(__file__).with_name("reader.sql"))
_fields: Final = msgspec.structs.astuple


def row_of(worker: Worker) -> tuple[Any, ...]:
    """The row of a worker, or of a piece of its record."""
    return (
        worker.hostname,
        worker.pid,
        worker.online_at,
        worker.offline_at,
        _fields(worker.heartbeat) if worker.heartbeat is not None else _NO_HEARTBEAT,
        _fields(worker.software) if worker.software is not None else _NO_SOFTWARE,
        worker.first_seen_at,
        worker.seen_at,
        worker.task_seen_at,
        _fields(worker.tally) if worker.tally is not None else _NO_TALLY,
    )


def read(connection: Connection) -> list[Worker]:
    """Worker processes, the most recently seen first."""
    return [_worker(row) for row in connection.query(_SQL["workers"], {"limit": ROWS})]


def _worker(row: Sequence[Any]) -> Worker:
    hostname, pid, online_at, offline_at, heartbeat, software, first_seen_at, seen_at, task_seen_at, tally = row
    at, freq, active, processed, loadavg, clock = heartbeat
    return Worker(
        hostname,
        pid,
        online_at,
        offline_at,
        Heartbeat(at, freq, active, processed, tuple(loadavg), clock) if at >= 0 else None,
        Software(*software) if software[0] >= 0 else None,
        first_seen_at,
        seen_at,
        task_seen_at,
        Tally(*tally) if tally[0] >= 0 else None,
    )
