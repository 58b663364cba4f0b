"""A real child process in its own process group, that cannot outlive the tests."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.environment import clean_environment, wait_until

#: Bytes of a log that are read when somebody asks what a process said.
TAIL = 4_000


class _Guard:
    """The one guardian process of this test run; see guardian.py."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def tell(self, sign: str, group: int) -> None:
        if self._process is None:
            script = Path(__file__).with_name("guardian.py")
            # Never waited for: it ends when our end of the pipe closes, which is when this process is gone.
            self._process = subprocess.Popen(
                [sys.executable, str(script)], stdin=subprocess.PIPE, text=True, start_new_session=True
            )
        assert self._process.stdin is not None
        self._process.stdin.write(f"{sign}{group}\n")
        self._process.stdin.flush()

    def leave(self) -> None:
        """Close the pipe and wait, so that nothing of this run is left when pytest returns."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(timeout=60)
            self._process = None


guard = _Guard()


class Process:
    """A program, started by `start()` or by entering it; its output goes to the file `log`.

    It leads a process group of its own: `stop` asks the program alone, everything else concerns the whole group.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.argv = [str(argument) for argument in argv]
        self.log = log
        self.cwd = cwd
        self.env = {**clean_environment(), "PYTHONUNBUFFERED": "1", **(env or {})}
        self._popen: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it; an earlier run must have ended."""
        assert not self.alive, f"{self.argv[0]} runs already"
        with self.log.open("ab") as output:
            self._popen = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.env,
                cwd=self.cwd,
                start_new_session=True,
            )
        guard.tell("+", self._popen.pid)
        return self

    @property
    def pid(self) -> int:
        """Of the program, and of its process group."""
        assert self._popen is not None, f"{self.argv[0]} was never started"
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Has it been started and not ended?"""
        return self._popen is not None and self._popen.poll() is None

    @property
    def returncode(self) -> int | None:
        """Its exit code, minus the signal that ended it, or None while it runs."""
        return None if self._popen is None else self._popen.poll()

    def output(self) -> str:
        """All it has written so far, of every run."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def explain(self) -> str:
        """The command, its exit code and the end of its output: for a message."""
        return f"$ {' '.join(self.argv)}\n(exit code: {self.returncode})\n{self.output()[-TAIL:]}"

    def wait_for(self, check: Callable[[], object], what: str, timeout: float = 90.0) -> None:
        """Wait until `check()` is true; AssertionError with the end of the output if it dies first or time is up."""

        def checked() -> bool:
            done = bool(check())
            assert done or self.alive, f"it ended before: {what}\n{self.explain()}"
            return done

        wait_until(checked, what, timeout=timeout, explain=self.explain)

    def wait(self, timeout: float = 90.0) -> int:
        """Wait for its end; gives its exit code."""
        assert self._popen is not None
        wait_until(lambda: not self.alive, f"the end of {self.argv[0]}", timeout=timeout, explain=self.explain)
        return self._popen.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program alone."""
        os.kill(self.pid, number)

    def pause(self) -> None:
        """Stop the whole group in its tracks (SIGSTOP)."""
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused group go on (SIGCONT)."""
        os.killpg(self.pid, signal.SIGCONT)

    def stop(self, grace: float = 60.0) -> int:
        """Ask it to end (SIGTERM), kill it after `grace` seconds; gives its exit code, -9 when it had to be killed."""
        if self._popen is not None and self.alive:
            self.resume()
            self.signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(grace)
        return self.kill()

    def kill(self) -> int:
        """Kill the whole group at once (SIGKILL), whatever is left of it; gives the exit code."""
        if self._popen is None:
            return 0
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        code = self._popen.wait(timeout=60)
        guard.tell("-", self.pid)
        return code

    def __enter__(self) -> Self:
        return self if self.alive else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
