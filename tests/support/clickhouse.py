"""ClickHouse's own engine as a server: the package chdb behind an HTTP interface, in a process that can be killed."""

from __future__ import annotations

import importlib.util
import sys
import urllib.error
import urllib.request
import uuid
from pathlib import Path

from tests.support.environment import free_port, missing
from tests.support.process import Process

SCRIPT = Path(__file__).with_name("clickhouse_engine.py")


def need_clickhouse() -> None:
    """Skip the test if the engine or the client is not installed."""
    for module, remedy in (
        ("chdb", "make test installs it, the PyPI package chdb-core"),
        ("clickhouse_connect", "make dev installs it"),
    ):
        if importlib.util.find_spec(module) is None:
            missing(module, remedy)


class ClickHouseServer(Process):
    """One engine on 127.0.0.1 that keeps its port and its data over restarts; `credentials` are user and password."""

    def __init__(self, directory: Path, *, credentials: tuple[str, str] | None = None) -> None:
        need_clickhouse()
        self.port = free_port()
        self.credentials = credentials
        argv: list[str | Path] = [sys.executable, SCRIPT, directory / "engine", str(self.port), *(credentials or ())]
        super().__init__(argv, log=directory / "clickhouse.log")

    def start(self) -> ClickHouseServer:
        super().start()
        self.wait_for(self.answers, "ClickHouse answering", timeout=60)
        return self

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ping", timeout=2) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def restart(self) -> None:
        """Kill it and start it on the same data."""
        self.kill()
        self.start()

    def url(self, database: str = "") -> str:
        """A store's URL; a database of its own unless one is named."""
        who = "{}:{}@".format(*self.credentials) if self.credentials else ""
        return f"clickhouse://{who}127.0.0.1:{self.port}/{database or unique()}"


def unique() -> str:
    """A database's name."""
    return f"t_{uuid.uuid4().hex[:12]}"
