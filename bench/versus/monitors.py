"""Flower and Umbel as the comparison sees them: a program, its pages, and what it says that it has kept."""

from __future__ import annotations

import http.client
import json
import shutil
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import quote

from versus.servers import Program, Redis, free_port, get, until

#: More than any load here has, so that Flower evicts nothing.
MAX_TASKS = 1_000_000


class Monitor(ABC):
    """One program on a port, in an empty directory of its own."""

    name: ClassVar[str]
    health: ClassVar[str]
    #: What a browser fetches to show the newest tasks, in this order.
    page: ClassVar[tuple[str, ...]]

    def __init__(self, redis: Redis, *extra: str) -> None:
        self._redis = redis
        self.home = Path(tempfile.mkdtemp(prefix="umbel-bench-"))
        self.port = free_port()
        self.program = self._program(*extra)

    @abstractmethod
    def _program(self, *extra: str) -> Program: ...

    @abstractmethod
    def kept_events(self) -> int:
        """Events that it says it has taken in since its start (Umbel: ever)."""

    @abstractmethod
    def kept_tasks(self) -> int:
        """Tasks that it can show."""

    @abstractmethod
    def ended(self, task_id: str) -> bool:
        """Whether its API tells the end of this task."""

    def start(self) -> float:
        """Start it; seconds until it is subscribed and serves its pages."""
        began = time.monotonic()
        self.program.start()
        if not until(lambda: bool(get(self.port, self.health)) and self._redis.subscribers() > 0, 60):
            raise SystemExit(f"{self.name} does not start:\n{self.program.log.read_text()[-2_000:]}")
        return time.monotonic() - began

    def kill(self) -> None:
        """SIGKILL for all its processes."""
        self.program.kill()
        if not until(lambda: self._redis.subscribers() == 0, 10):
            raise SystemExit(f"{self.name} was killed and is subscribed still")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        if kind is None:
            shutil.rmtree(self.home)
        else:
            print(f"{self.name}'s files are left in {self.home}", file=sys.stderr)

    def json(self, path: str) -> Any:
        """The API's answer."""
        return json.loads(get(self.port, path))

    def _known(self, path: str) -> Any:
        """As `json`; None where there is no such thing yet."""
        try:
            return self.json(path)
        except http.client.HTTPException:
            return None


class Flower(Monitor):
    """Flower with its defaults, but room for all tasks and its API open."""

    name = f"Flower {version('flower')}"
    health = "/healthcheck"
    #: As Flower's own page asks: 15 rows, the latest received first.
    _table = "/tasks/datatable?draw=1&start=0&length={}&columns[0][data]=received&order[0][column]=0&order[0][dir]=desc"
    page = ("/tasks", _table.format(15))

    def _program(self, *extra: str) -> Program:
        words = [f"--port={self.port}", "--address=127.0.0.1", f"--max_tasks={MAX_TASKS}", *extra]
        argv = [sys.executable, "-m", "celery", "-b", self._redis.url, "flower", *words]
        return Program(argv, self.home, "flower.log", {"FLOWER_UNAUTHENTICATED_API": "true"})

    def kept_events(self) -> int:
        lines = get(self.port, "/metrics").decode().splitlines()
        return round(sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("flower_events_total{")))

    def kept_tasks(self) -> int:
        return int(self.json(self._table.format(1))["recordsTotal"])

    def ended(self, task_id: str) -> bool:
        found = self._known(f"/api/task/info/{task_id}")
        return bool(found) and found["state"] in ("SUCCESS", "FAILURE")


class Umbel(Monitor):
    """`umbel up` with its defaults."""

    name = f"Umbel {version('umbel')}"
    health = "/healthz"
    page = ("/tasks",)

    def _program(self, *extra: str) -> Program:
        where = ["--data-dir", f"{self.home}/data", "--store", f"sqlite:///{self.home}/umbel.db"]
        argv = [sys.executable, "-m", "umbel", "up", "-b", self._redis.url, "-p", str(self.port), *where, *extra]
        return Program(argv, self.home, "umbel.log")

    def kept_events(self) -> int:
        return int(self.json("/api/v1/ingest")["stored"])

    def kept_tasks(self) -> int:
        count = self.json("/api/v1/tasks/count")
        return int(count["count"]) if not count["capped"] else self._paged()

    def _paged(self) -> int:
        """Beyond its bound, a count tells only "more": the tasks themselves are counted."""
        seen: set[str] = set()
        cursor = ""
        while True:
            answer = self.json(f"/api/v1/tasks?limit=1000&cursor={quote(cursor)}")
            seen.update(item["id"] for item in answer["items"])
            cursor = answer["next"] or ""
            if not cursor:
                return len(seen)

    def ended(self, task_id: str) -> bool:
        found = self._known(f"/api/v1/tasks/{task_id}")
        return bool(found) and found["state"] in ("SUCCESS", "FAILURE")
