"""A process of the demo: alone in its session, on a leash, its output in a file of bounded size."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from umbel.demo.leash import leashed
from umbel.errors import ProcessError

log = logging.getLogger(__name__)

#: Bytes of output kept of one process; beyond, the file begins again.
OUTPUT_LIMIT = 1 << 20
#: Bytes read from the end of the output to show its last lines.
TAIL = 8_192


class Child:
    """Starts at construction; `end` must be called once it is no longer wanted, also when it has died by itself."""

    def __init__(self, name: str, command: list[str], directory: Path, environment: Mapping[str, str]) -> None:
        #: What people call it.
        self.name = name
        self._output = directory / f"{name}.log"
        self._ended = False
        with self._output.open("ab") as output:
            try:
                self._process = subprocess.Popen(
                    leashed(command),
                    cwd=directory,
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    # Ctrl-C in the terminal is for the one who started us: it stops us in order.
                    start_new_session=True,
                )
            except OSError as error:
                raise ProcessError(f"cannot start {name} ({command[0]}): {error}") from error

    @property
    def pid(self) -> int:
        """Its process id, which is also the id of its process group."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """What it exited with, minus the signal that killed it, or None while it lives."""
        return self._process.poll()

    def ask(self, number: signal.Signals) -> None:
        """Send a signal to the process alone; one that is gone already is no error."""
        self._process.send_signal(number)

    def wait(self, seconds: float) -> bool:
        """Whether it has exited within `seconds`."""
        try:
            self._process.wait(max(seconds, 0.0))
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self) -> None:
        """Kill what is left of its process group, and forget it. Harmless when repeated."""
        if self._ended:
            return
        self._ended = True
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            log.debug("%s had left nothing to kill", self.name)
        self._process.wait()

    def last_lines(self, count: int = 12) -> str:
        """The end of what it has written, for a person who wonders why it died."""
        with self._output.open("rb") as output:
            output.seek(max(0, self._output.stat().st_size - TAIL))
            return "\n".join(output.read().decode(errors="replace").splitlines()[-count:])

    def trim(self) -> None:
        """Begin the output again when it has outgrown its limit; the process appends, so it notices nothing."""
        if self._output.stat().st_size > OUTPUT_LIMIT:
            os.truncate(self._output, 0)
