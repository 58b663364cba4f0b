"""Time, injected: wall time to persist and show, monotonic time for durations."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What every part asks for the time."""

    def now(self) -> float:
        """Wall time, UTC seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds that never step back; only differences mean anything."""
        ...

    def work(self) -> float:
        """Seconds of processor time that the calling thread has used; only differences mean anything."""
        ...

    def sleep(self, seconds: float) -> None:
        """Pause the calling thread."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def work(self) -> float:
        return time.thread_time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class ManualClock:
    """A clock that moves only when told: `advance` moves all times, `sleep` all but that of work, `step` only wall time
    (as NTP would).
    """

    def __init__(self, now: float = 1_750_000_000.0) -> None:
        self._now = now
        self._monotonic = self._work = 0.0

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def work(self) -> float:
        return self._work

    def sleep(self, seconds: float) -> None:
        self._now += seconds
        self._monotonic += seconds

    def advance(self, seconds: float) -> None:
        self._work += seconds
        self.sleep(seconds)

    def step(self, seconds: float) -> None:
        self._now += seconds
