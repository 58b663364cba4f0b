"""The yardstick: one SQLite table with the usual indexes, as one would write it at first."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from stores.history import DAY, START
from umbel.model.query import And, Compare, Field, Node, Op, Page
from umbel.model.task import summarize
from umbel.stores.base import Commit

_COLUMNS: Final = (
    *("id", "name", "state", "worker", "queue", "sent", "received", "started", "finished", "wait", "run"),
    *("args", "kwargs", "result", "exception", "traceback"),
)
_SCHEMA: Final = f"""
CREATE TABLE task ({", ".join(_COLUMNS)}, PRIMARY KEY (id));
CREATE INDEX task_received ON task (received);
CREATE INDEX task_name ON task (name, received);
CREATE INDEX task_state ON task (state, received);
CREATE INDEX task_worker ON task (worker, received);
"""
_PUT: Final = f"INSERT INTO task VALUES ({', '.join('?' * len(_COLUMNS))}) ON CONFLICT DO UPDATE SET " + ", ".join(
    f"{name} = coalesce(excluded.{name}, {name})" for name in _COLUMNS[1:]
)
_ANY: Final = ("args", "kwargs", "result", "exception")


class Table:
    """Writes and answers; each event that comes later overwrites what it tells."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("PRAGMA cache_size = -64000")
        self._connection.executescript(_SCHEMA)

    def write(self, commit: Commit) -> None:
        rows = []
        for task in commit.tasks.values():
            s, what = summarize(task), task.description
            failed = task.failed or task.retried
            who = (s.id, s.name or None, s.state, s.worker or None, s.queue or None)
            when = (s.sent_at, s.received_at, s.started_at, s.finished_at, s.wait_seconds, s.run_seconds)
            args, kwargs = (what.args, what.kwargs) if what else (None, None)
            result = task.succeeded.result if task.succeeded else None
            rows.append((*who, *when, args, kwargs, result, s.exception or None, failed.traceback if failed else None))
        self._connection.execute("BEGIN")
        self._connection.executemany(_PUT, rows)
        self._connection.execute("COMMIT")

    def upkeep(self) -> None:
        """There is none."""

    def settle(self) -> None:
        """There is nothing to do."""

    def tasks(self, where: Node, page: Page) -> None:
        sql, values = _where(where)
        self._ask(f"SELECT * FROM task WHERE {sql} ORDER BY received DESC LIMIT {page.limit}", values)

    def count(self, where: Node) -> None:
        sql, values = _where(where)
        self._ask(f"SELECT count(*) FROM (SELECT 1 FROM task WHERE {sql} LIMIT 10001)", values)

    def task(self, task_id: str) -> None:
        self._ask("SELECT * FROM task WHERE id = ?", [task_id])

    def by_name(self, start: float, end: float) -> None:
        sql = "SELECT name, state, CAST(ln(max(run, 1e-4)) * 25.5 AS INT) AS bucket, count(*) FROM task NOT INDEXED"
        self._ask(f"{sql} WHERE received >= ? AND received < ? GROUP BY 1, 2, 3", [start, end])

    def over_time(self, start: float, end: float, step: int) -> None:
        sql = "SELECT CAST(received / ? AS INT), state, CAST(ln(max(run, 1e-4)) * 25.5 AS INT), count(*) FROM task"
        self._ask(f"{sql} NOT INDEXED WHERE received >= ? AND received < ? GROUP BY 1, 2, 3", [step, start, end])

    def _ask(self, sql: str, values: list[Any]) -> None:
        self._connection.execute(sql, values).fetchall()

    def server_cpu(self) -> float:
        """There is none."""
        return 0.0

    def bytes_a_task(self) -> Mapping[str, float]:
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        count = self._connection.execute("SELECT count(*) FROM task").fetchone()[0]
        return {"all": self._path.stat().st_size / count}

    def drop_day(self) -> tuple[int, float]:
        started = time.perf_counter()
        dropped = self._connection.execute("DELETE FROM task WHERE received < ?", (START + DAY,)).rowcount
        return dropped, time.perf_counter() - started

    def close(self) -> None:
        self._connection.close()


def _where(node: Node) -> tuple[str, list[Any]]:
    if isinstance(node, And):
        parts = [_where(part) for part in node.nodes]
        return " AND ".join(sql for sql, _ in parts) or "1", [value for _, values in parts for value in values]
    assert isinstance(node, Compare)
    if node.field is Field.TEXT:
        return "(" + " OR ".join(f"{name} LIKE ?" for name in _ANY) + ")", [f"%{node.value}%"] * len(_ANY)
    sign = "=" if node.op is Op.EQ else node.op.value
    return f"{node.field.value} {sign} ?", [node.value]
