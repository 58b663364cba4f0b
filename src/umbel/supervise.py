"""`umbel up`: one process for each part, restarted with backoff, stopped in order, never left behind.

Each child runs in a process group of its own, so that Ctrl-C reaches only the supervisor, and holds the read end of a
pipe as its standard input: when the supervisor is gone, however it died, the child reads the end and stops.
"""

from __future__ import annotations

import logging
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import IO, Final

from umbel.clock import Clock, SystemClock
from umbel.errors import ProcessError
from umbel.runtime.parts import SUPERVISED

log = logging.getLogger(__name__)

#: Exit status of a part whose settings cannot work: restarting would not help.
HOPELESS: Final = 78
#: Seconds that a part must live to count as well again, and how often in a row it may fall short.
WELL: Final = 5.0
CRASHES: Final = 6
#: Seconds before the second start in a row, doubled for each further one, and at most.
BACKOFF: Final = 0.5
BACKOFF_MAX: Final = 15.0
#: Seconds between looks at the children.
TICK: Final = 0.1


@dataclass(slots=True)
class Child:
    """One part, running or waiting to be started again."""

    name: str
    process: subprocess.Popen[bytes] | None = None
    #: Monotonic times: of the last start, and of the next one while it waits.
    started_at: float = 0.0
    start_at: float = 0.0
    #: Starts in a row that did not live `WELL` seconds.
    crashes: int = 0


@dataclass(slots=True)
class Supervisor:
    """Keeps the parts alive until told to stop; `run` returns the exit status."""

    #: Names of the parts in the order of their start; they stop in the same order, capture first.
    parts: Sequence[str]
    #: Environment of every child.
    environment: Mapping[str, str]
    #: Seconds that a stop may take.
    grace: float
    clock: Clock = field(default_factory=SystemClock)
    #: The command that runs a part.
    command: Callable[[str], Sequence[str]] = lambda name: (sys.executable, "-m", "umbel", name)
    _children: list[Child] = field(default_factory=list)
    _stops: int = 0
    _wake: threading.Event = field(default_factory=threading.Event)

    def run(self) -> int:
        """Start every part and stay until SIGTERM, SIGINT or SIGHUP (0), or until one cannot be kept alive (1)."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        self._children = [Child(name) for name in self.parts]
        failure: ProcessError | None = None
        try:
            while not self._stops:
                for child in self._children:
                    self._tend(child)
                self._wake.wait(TICK)
        except ProcessError as error:
            failure = error
            log.error("%s", error)  # noqa: TRY400 - the message says it all, a traceback adds nothing
        finally:
            self._stop()
        return 1 if failure else 0

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stops += 1
        self._wake.set()

    def _tend(self, child: Child) -> None:
        """Start the child if it is due, notice its end; raises `ProcessError` when it will not live."""
        now = self.clock.monotonic()
        if child.process is None:
            if now >= child.start_at:
                self._start(child)
            return
        status = child.process.poll()
        if status is None:
            if child.crashes and now - child.started_at >= WELL:
                child.crashes = 0
            return
        _close_pipe(child.process)
        child.process = None
        if status == HOPELESS:
            raise ProcessError(f"umbel {child.name} cannot run with these settings; see its message above")
        child.crashes = child.crashes + 1 if now - child.started_at < WELL else 1
        if child.crashes >= CRASHES:
            raise ProcessError(
                f"umbel {child.name} ended {child.crashes} times within {WELL:g} s of its start; giving up"
            )
        delay = min(BACKOFF_MAX, BACKOFF * 2 ** (child.crashes - 1)) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        child.start_at = now + (0.0 if child.crashes == 1 else delay)
        log.warning("umbel %s ended (%s); starting it again", child.name, _describe(status))

    def _start(self, child: Child) -> None:
        child.started_at = self.clock.monotonic()
        child.process = subprocess.Popen(
            self.command(child.name),
            stdin=subprocess.PIPE,
            env={**self.environment, SUPERVISED: "1"},
            process_group=0,
        )
        log.info("started umbel %s (pid %d)", child.name, child.process.pid)

    def _stop(self) -> None:
        """Stop the parts one after the other, each for what is left of the grace period; then kill what remains."""
        deadline = self.clock.monotonic() + self.grace
        asked = self._stops
        for child in self._children:
            _ask(child)
            self._wait(child, deadline, asked)
        for child in self._children:
            try:
                _end(child)
            except Exception:
                log.exception("ending umbel %s failed", child.name)

    def _wait(self, child: Child, deadline: float, asked: int) -> None:
        """Until the child is gone; a further signal ends the patience at once."""
        # A part that hangs leaves the later ones a share of the time.
        end = self.clock.monotonic() + max(0.0, deadline - self.clock.monotonic()) * 0.7
        while child.process is not None and child.process.poll() is None:
            if self.clock.monotonic() >= end or self._stops > max(asked, 1):
                return
            self.clock.sleep(0.02)


def _describe(status: int) -> str:
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def _ask(child: Child) -> None:
    """Tell a child to stop, by a signal and by the end of its pipe: where one fails, the other arrives."""
    if child.process is None:
        return
    try:
        _signal(child.process, signal.SIGTERM)
    except Exception:
        # One part that cannot be told never keeps another from saving.
        log.exception("umbel %s takes no signal", child.name)
    _close_pipe(child.process)


def _end(child: Child) -> None:
    """Kill what still runs."""
    process = child.process
    if process is not None and process.poll() is None:
        log.error("umbel %s did not stop in time and is killed; what it had not committed comes again", child.name)
        process.kill()
        process.wait()


def _signal(process: subprocess.Popen[bytes] | None, number: signal.Signals) -> None:
    if process is not None and process.poll() is None:
        process.send_signal(number)


def _close_pipe(process: subprocess.Popen[bytes]) -> None:
    pipe: IO[bytes] | None = process.stdin
    if pipe is not None:
        pipe.close()
