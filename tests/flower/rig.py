"""One real worker, watched by Umbel and by Flower at once: the same questions to both."""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.flower.rows import row_of
from tests.support.celery import ROOT, CeleryWorker
from tests.support.environment import free_port, wait_until
from tests.support.process import Process
from tests.support.redis import RedisServer
from tests.support.umbel import UmbelProcess

APP = "tests.support.app"
#: Databases of the session's Redis.
BROKER, BACKEND = 14, 15
OPEN = {"FLOWER_UNAUTHENTICATED_API": "1", "PYTHONPATH": str(ROOT)}


@dataclass(frozen=True)
class Reply:
    """An answer over HTTP."""

    status: int
    media: str
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class Service:
    """Something that speaks Flower's API."""

    name: str
    port: int
    #: The rows that were asked, with the statuses of their answers.
    asked: set[tuple[str, int]] = field(default_factory=set, compare=False)

    def ask(
        self,
        method: str,
        path: str,
        form: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request; `form` as a form, `body` as JSON or, where it is a text, as it is."""
        sent = {"Host": f"127.0.0.1:{self.port}", **(headers or {})}
        raw: bytes | None = None
        if form is not None:
            raw = urllib.parse.urlencode(form).encode()
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        elif body is not None:
            raw = (body if isinstance(body, str) else json.dumps(body)).encode()
            sent["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, raw, sent)
            response = connection.getresponse()
            text = response.read().decode()
            if row := row_of(method, path):
                self.asked.add((row, response.status))
            return Reply(response.status, response.getheader("Content-Type") or "", text)
        finally:
            connection.close()

    def get(self, path: str, **query: object) -> Reply:
        """GET with a query."""
        return self.ask("GET", path + ("?" + urllib.parse.urlencode(query) if query else ""))

    def post(self, path: str, **form: str) -> Reply:
        """POST of a form."""
        return self.ask("POST", path, form)

    def apply(self, name: str, body: object, way: str = "apply") -> Reply:
        """Start a task."""
        return self.ask("POST", f"/api/task/{way}/{name}", body=body)


class Rig:
    """Broker, workers, Umbel, and Flower where it is installed; ids of one task of each kind."""

    def __init__(self, broker: str, backend: str, directory: Path, broker_api: str = "") -> None:
        """`broker_api`: of RabbitMQ's management API, which Flower asks for queues."""
        self.broker, self.backend = broker, backend
        self.directory = directory
        self.worker = CeleryWorker(self.broker, directory, backend=self.backend, hostname="w1@flower-test", args=["-E"])
        #: One that does and refuses what the first does not: it knows other tasks, and scales its pool itself.
        self.other = CeleryWorker(
            self.broker,
            directory,
            app="tests.control.again_app",
            hostname="w2@flower-test",
            queues=["elsewhere"],
            concurrency=1,
            args=["--autoscale", "2,1", "worker.pool_restarts=true"],
        )
        #: The tests that have run on it.
        self.ran: set[str] = set()
        celery = [sys.executable, "-m", "celery", "-A", APP, "-b", self.broker, "--result-backend", self.backend]
        api = ["--broker-api", broker_api] if broker_api else []
        options = ["-A", APP, "--broker", self.broker, "--result-backend", self.backend, *api]
        self.umbel = UmbelProcess("up", *options, directory=directory, env=OPEN)
        self.services = {"umbel": Service("umbel", self.umbel.port)}
        self.flower: Process | None = None
        if find_spec("flower") is not None:
            port = free_port()
            argv = [*celery, "flower", "--address=127.0.0.1", f"--port={port}"]
            argv += [f"--broker-api={broker_api}"] if broker_api else []
            self.flower = Process(argv, log=directory / "flower.log", env=OPEN, cwd=directory)
            self.services["flower"] = Service("flower", port)
        self.ids: dict[str, str] = {}

    def service(self, name: str) -> Service:
        """One of the two; skips the test where Flower is not installed."""
        if name not in self.services:
            pytest.skip("Flower is not installed: it is in the group bench (uv sync --group bench)")
        return self.services[name]

    def start(self) -> None:
        """Start everything and let both see a task of each kind to its end."""
        if self.flower is not None:
            self.flower.start()
        self.umbel.start()
        together(self.worker, self.other)
        for service in self.services.values():
            wait_until(partial(self._ready, service), f"{service.name} seeing the worker", timeout=180)
        for service in self.services.values():
            wait_until(partial(self._hears, service), f"{service.name} hearing events", timeout=180, every=1.0)
        for _ in range(5):
            if self._played():
                return
        raise AssertionError(f"not every service has seen the tasks: {self.ids}")

    def _played(self) -> bool:
        """Whether all have seen a task of each kind; Flower's queue drops what is not taken within five seconds."""
        for kind, name, body in (
            ("add", "support.add", {"args": [1, 2]}),
            ("fail", "support.fail", {"args": ["no luck"]}),
            ("flaky", "support.flaky", {"kwargs": {"retries": 1}}),
        ):
            self.ids[kind] = self.services["umbel"].apply(name, body).json["task-id"]
        end = time.monotonic() + 60
        while not (seen := all(map(self._seen, self.services.values()))) and time.monotonic() < end:
            time.sleep(0.5)
        return seen

    def _hears(self, service: Service) -> bool:
        """Whether it has seen any task: Flower answers before it listens, and what it did not hear it never shows."""
        if service.get("/api/tasks", limit=1).json:
            return True
        self.services["umbel"].ask("POST", "/api/task/async-apply/support.add", body={"args": [0, 0]})
        return False

    def _ready(self, service: Service) -> bool:
        try:
            answer = service.get("/api/workers", refresh="1")
        except OSError:
            return False
        return answer.status == 200 and {self.worker.hostname, self.other.hostname} <= set(answer.json)

    def _seen(self, service: Service) -> bool:
        tasks = service.get("/api/tasks").json
        ended = {"add": "SUCCESS", "fail": "FAILURE", "flaky": "SUCCESS"}
        return all(tasks.get(self.ids[kind], {}).get("state") == state for kind, state in ended.items())

    def stop(self) -> None:
        """Stop everything."""
        for process in (self.flower, self.umbel, self.worker, self.other):
            if process is not None:
                process.kill()


def together(*workers: CeleryWorker) -> None:
    """Start workers at the same time."""
    threads = [threading.Thread(target=worker.start) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def on_redis(server: RedisServer, number: int) -> str:
    """The URL of a database."""
    return f"{server.url.rstrip('/').removesuffix('/0')}/{number}"


@contextmanager
def running(rig: Rig) -> Iterator[Rig]:
    """The rig, started, and stopped at the end."""
    try:
        rig.start()
        yield rig
    finally:
        rig.stop()
