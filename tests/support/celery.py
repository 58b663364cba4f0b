"""Real Celery workers."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.process import Process

#: Where tests.support.app, the workers' usual app, is found.
ROOT = Path(__file__).resolve().parents[2]

_counter = itertools.count(1)


class CeleryWorker(Process):
    """`celery -A app worker` as its own process, prefork with two children unless told; started without -E.

    `hostname` is the whole node name (`worker@host`); `args` go to `celery worker` as they are.
    """

    def __init__(
        self,
        broker: str,
        directory: Path,
        *,
        app: str = "tests.support.app",
        backend: str | None = None,
        hostname: str | None = None,
        pool: str = "prefork",
        concurrency: int = 2,
        queues: Sequence[str] = (),
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        number = next(_counter)
        self.hostname = hostname or f"worker-{number}@test"
        command = [sys.executable, "-m", "celery", "-A", app, "-b", broker]
        command += ["--result-backend", backend] if backend else []
        command += ["worker", "-n", self.hostname, "-l", "INFO", "-P", pool, "-c", str(concurrency)]
        command += ["-Q", ",".join(queues)] if queues else []
        places = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        super().__init__(
            [*command, *args],
            log=directory / f"celery-{number}.log",
            env={"PYTHONPATH": places, **(env or {})},
            cwd=cwd or directory,
        )

    def start(self) -> CeleryWorker:
        """Start it and wait until it says that it is ready."""
        before = self.output().count(" ready.")
        super().start()
        self.wait_for(lambda: self.output().count(" ready.") > before, f"{self.hostname} being ready", timeout=60)
        return self
