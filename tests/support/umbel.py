"""Umbel itself as a real process."""

from __future__ import annotations

import itertools
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.environment import free_port
from tests.support.process import Process

#: Commands that serve the web, and so take a port and answer /healthz.
SERVING = ("up", "web", "demo")

_counter = itertools.count(1)


class UmbelProcess(Process):
    """`python -m umbel ARGS`; a command that serves is given a free port unless `args` name one."""

    def __init__(
        self,
        *args: str | Path,
        directory: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        python: Path | str = sys.executable,
    ) -> None:
        words = [str(argument) for argument in args]
        self.serves = any(word in SERVING for word in words)
        if "--port" in words:
            self.port = int(words[words.index("--port") + 1])
        else:
            self.port = free_port()
            words += ["--port", str(self.port)] if self.serves else []
        log = directory / f"umbel-{next(_counter)}.log"
        super().__init__([str(python), "-m", "umbel", *words], log=log, env=env, cwd=cwd or directory)

    @property
    def url(self) -> str:
        """Of the web part, without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, timeout: float = 60.0) -> bytes:
        """The body of a 2xx answer; urllib.error.HTTPError otherwise."""
        with urllib.request.urlopen(self.url + path, timeout=timeout) as response:
            body: bytes = response.read()
        return body

    def json(self, path: str, timeout: float = 60.0) -> Any:
        """As `get`, decoded."""
        return json.loads(self.get(path, timeout))

    def healthy(self) -> bool:
        """Does /healthz answer 200?"""
        try:
            self.get("/healthz", timeout=2.0)
        except (urllib.error.URLError, OSError):
            return False
        return True

    def start(self) -> UmbelProcess:
        """Start it; a command that serves is waited for until it is healthy."""
        super().start()
        if self.serves:
            self.wait_for(self.healthy, "/healthz answering", timeout=180)
        return self
