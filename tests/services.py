"""Fixtures that start real servers, workers and Umbel itself, on free ports in temporary directories, and stop them.

Servers live as long as the test session and start when the first test asks for them; workers and Umbel live as long as
the test. What is missing on this machine skips the test and says what to install; with CI=true it fails it.
A test that pauses, stops or kills a shared server must leave it running, or better ask a factory for one of its own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.celery import CeleryWorker
from tests.support.clickhouse import ClickHouseServer
from tests.support.environment import PREFIXES, free_port, missing, wait_until
from tests.support.postgres import PostgresServer
from tests.support.process import Process, guard
from tests.support.rabbitmq import RabbitMQServer
from tests.support.redis import RedisSentinel, RedisServer
from tests.support.umbel import UmbelProcess

__all__ = [
    "CeleryWorker",
    "ClickHouseServer",
    "PostgresServer",
    "Process",
    "RabbitMQServer",
    "RedisSentinel",
    "RedisServer",
    "UmbelProcess",
    "free_port",
    "missing",
    "wait_until",
]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of the shell that started it."""
    for name in [name for name in os.environ if name.startswith(PREFIXES)]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session", autouse=True)
def _guarded() -> Iterator[None]:
    """Whatever a test has left running ends with the session."""
    yield
    guard.leave()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The session's Redis."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    with server:
        yield server


@pytest.fixture
def redis_factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RedisServer]]:
    """Starts Redis servers of the test's own; takes RedisServer's options (password, tls, unix_socket, options)."""
    with ExitStack() as stack:

        def start(**options: Any) -> RedisServer:
            server = RedisServer(tmp_path_factory.mktemp("redis"), **options)
            stack.callback(server.stop)
            return server.start()

        yield start


@pytest.fixture
def redis_sentinel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisSentinel]:
    """A master, a replica and a sentinel of the test's own."""
    trio = RedisSentinel(tmp_path_factory.mktemp("sentinel"))
    try:
        yield trio.start()
    finally:
        trio.stop()


@pytest.fixture(scope="session")
def rabbitmq_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQServer]:
    """The session's RabbitMQ; take a vhost of your own where what others leave would matter."""
    server = RabbitMQServer(tmp_path_factory.mktemp("rabbitmq"))
    try:
        yield server.start()
    finally:
        # Nobody needs it any more, and stopping in good order takes it six seconds.
        server.kill()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The session's PostgreSQL; take a schema or database of your own."""
    server = PostgresServer()
    try:
        yield server.start()
    finally:
        server.remove()


@pytest.fixture
def postgres_factory() -> Iterator[Callable[[], PostgresServer]]:
    """Starts PostgreSQL servers of the test's own."""
    with ExitStack() as stack:

        def start() -> PostgresServer:
            server = PostgresServer()
            stack.callback(server.remove)
            return server.start()

        yield start


@pytest.fixture(scope="session")
def clickhouse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    """The session's ClickHouse; each store in it has a database of its own."""
    with ClickHouseServer(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server


@pytest.fixture
def clickhouse_factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., ClickHouseServer]]:
    """Starts ClickHouse servers of the test's own; takes ClickHouseServer's options."""
    with ExitStack() as stack:

        def start(**options: Any) -> ClickHouseServer:
            server = ClickHouseServer(tmp_path_factory.mktemp("clickhouse"), **options)
            stack.callback(server.kill)
            return server.start()

        yield start


@pytest.fixture
def celery_worker(tmp_path: Path) -> Iterator[Callable[..., CeleryWorker]]:
    """Starts Celery workers; takes the broker's URL and CeleryWorker's options, gives a worker that is ready."""
    with ExitStack() as stack:

        def start(broker: str, **options: Any) -> CeleryWorker:
            worker = CeleryWorker(broker, tmp_path, **options)
            stack.callback(worker.stop)
            return worker.start()

        yield start


@pytest.fixture
def umbel_process(tmp_path: Path) -> Iterator[Callable[..., UmbelProcess]]:
    """Starts `umbel ARGS`, healthy where it serves, in the test's directory; `env` and `cwd` may be given."""
    with ExitStack() as stack:

        def start(*args: str | Path, **options: Any) -> UmbelProcess:
            process = UmbelProcess(*args, directory=tmp_path, **options)
            stack.callback(process.stop)
            return process.start()

        yield start


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The machine's Chromium, for Playwright's `executable_path`."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        missing("Chromium", "install it (Debian: apt-get install chromium)")
    return found
