"""The demo's world: a broker, three workers, a beat and a producer, that come and go together without a trace."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from umbel.clock import Clock, SystemClock
from umbel.demo.broker import EmbeddedBroker
from umbel.demo.child import Child
from umbel.demo.pace import RATE
from umbel.errors import ProcessError, SettingsError

log = logging.getLogger(__name__)

#: Name, queues, and options of each worker. The pool of threads is for work that only waits.
WORKERS = (
    ("shop-1", "default,mail", ("--concurrency=2",)),
    ("mail-1", "mail", ("--concurrency=2",)),
    ("media-1", "images,reports", ("--concurrency=6", "--pool=threads")),
)
#: How `celery` is told whose workers and beat they are.
SHOP = ("celery", "--app=umbel.demo.shop")
#: Seconds between two looks at the processes.
LOOK = 1.0
#: Signals that end this process and must not leave the world behind.
ENDINGS = (signal.SIGTERM, signal.SIGHUP)
#: Settings of the surroundings that would reach into the demo.
FOREIGN = ("CELERY", "UMBEL_", "FLOWER_")


class World:
    """A shop at work. Use it as ``with World() as world: ...`` from the main thread.

    Nothing of it remains after the block, however that is left: by its end, an exception, Ctrl-C, SIGTERM or SIGHUP (a
    program that handles these itself has to leave the block). On Linux its processes even die when this one is killed
    with SIGKILL; then, and only then, their directory stays. A process that dies is reported in the log, not replaced.
    """

    def __init__(self, *, rate: float = RATE, seed: int = 7, audience: float = 0.0, clock: Clock | None = None) -> None:
        """`rate` is orders a second; each makes four tasks. The same `seed` gives the same orders and accidents.

        The shop opens once somebody listens to its events, and after `audience` seconds in any case.
        """
        if not rate > 0:
            raise SettingsError(
                f"the demo's rate is {rate:g} orders a second, but must be above 0; the usual one is {RATE:g}"
            )
        self._rate = rate
        self._seed = seed
        self._audience = audience
        self._clock = clock or SystemClock()
        self._broker = EmbeddedBroker(self._clock)
        self._directory: Path | None = None
        self._children: list[Child] = []
        self._mourned: set[str] = set()
        self._stopping = threading.Event()
        self._watch: threading.Thread | None = None
        self._restore: dict[signal.Signals, signal.Handlers] = {}

    @property
    def broker_url(self) -> str:
        """Where the workers get their tasks; holds a password."""
        return f"{self._broker.url}/0"

    @property
    def result_backend(self) -> str:
        """Where the workers leave results, for ten minutes."""
        return f"{self._broker.url}/1"

    @property
    def directory(self) -> Path:
        """Where its processes run and write their output; an error before the start and after the stop."""
        if self._directory is None:
            raise ProcessError("the demo's world is not running; start it first")
        return self._directory

    @property
    def processes(self) -> dict[str, int]:
        """The process id of each part, by name; pool processes are the workers' own affair."""
        return {child.name: child.pid for child in self._everyone()}

    def start(self) -> None:
        """Start everything and return at once: workers take some seconds to come up, tasks wait for them meanwhile.

        `ProcessError` when something cannot be started, and then nothing is left running.
        """
        self._stopping.clear()
        self._mourned.clear()
        atexit.register(self.stop)
        self._handle_endings()
        try:
            self._broker.start()
            self._directory = Path(tempfile.mkdtemp(prefix="umbel-demo-"))
            for name, queues, options in WORKERS:
                self._launch(name, [*SHOP, "worker", f"--hostname={name}@%h", f"--queues={queues}", "-E",
                                    "--loglevel=WARNING", "--without-mingle", *options],
                             UMBEL_DEMO_RESULTS=self.result_backend)  # fmt: skip
            self._launch("beat", [*SHOP, "beat", "--scheduler=umbel.demo.beat:Forgetful", "--loglevel=WARNING"])
            self._launch("producer", ["umbel.demo.producer", f"--rate={self._rate}", f"--seed={self._seed}"])
        except BaseException:
            self.stop(grace=0.0)
            raise
        self._watch = threading.Thread(target=self._look_after, name="umbel-demo-watch", daemon=True)
        self._watch.start()

    def alive(self) -> bool:
        """Whether every process that was started still runs."""
        return bool(self._children) and all(child.exit_code is None for child in self._everyone())

    def stop(self, grace: float = 3.0) -> None:
        """Stop everything within about `grace` seconds, by force where need be, and remove every file."""
        deadline = self._clock.monotonic() + grace
        self._stopping.set()
        try:
            if self._watch is not None:
                self._watch.join()
                self._watch = None
            for child in reversed(self._children):
                child.ask(signal.SIGTERM)
            for child in self._children:
                child.wait(deadline - self._clock.monotonic())
        finally:
            for child in self._children:
                child.end()
            self._children.clear()
            self._broker.stop()
            if self._directory is not None:
                shutil.rmtree(self._directory, ignore_errors=True)
                self._directory = None
            for number, handler in self._restore.items():
                signal.signal(number, handler)
            self._restore.clear()
            atexit.unregister(self.stop)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _launch(self, name: str, module: list[str], **settings: str) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
        environment |= {"UMBEL_DEMO_BROKER": self.broker_url, "UMBEL_DEMO_SEED": str(self._seed), **settings}
        # What they make of temporary files goes with the rest.
        environment["TMPDIR"] = str(self.directory)
        waiting = ["umbel.demo.opening", str(self._audience)] if self._audience else []
        self._children.append(Child(name, [sys.executable, "-m", *waiting, *module], self.directory, environment))

    def _everyone(self) -> list[Child]:
        return [self._broker.child, *self._children] if self._children else []

    def _look_after(self) -> None:
        """Say which process has died, once, and keep the others' output within bounds."""
        while not self._stopping.wait(LOOK):
            for child in self._everyone():
                if child.exit_code is None:
                    child.trim()
                elif child.name not in self._mourned:
                    self._mourned.add(child.name)
                    log.error(
                        "the demo's %s has died (exit code %d) and is not replaced. Its last lines:\n%s",
                        child.name, child.exit_code, child.last_lines(), extra={"kind": "demo-death"},
                    )  # fmt: skip

    def _handle_endings(self) -> None:
        """Turn the signals that would end us at once into an exit that unwinds; only the main thread may."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in ENDINGS:
            if signal.getsignal(number) is signal.SIG_DFL:
                self._restore[number] = signal.SIG_DFL
                signal.signal(number, _exit)


def _exit(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)
