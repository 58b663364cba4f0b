"""How often something may be tried: a bounded number of times within a span, for each who tries."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Final

from umbel.clock import Clock

#: Tellers at once; the one heard of least recently is forgotten.
KNOWN: Final = 10_000


class Throttle:
    """A bucket for each key, refilled evenly; safe to use from several threads."""

    def __init__(self, clock: Clock, times: int, seconds: float) -> None:
        self._clock = clock
        self._times = times
        self._seconds = seconds
        self._lock = Lock()
        #: By key: how full, and when that was (monotonic seconds).
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, key: str) -> float:
        """Seconds until the key may try again; 0: now."""
        with self._lock:
            level = self._level(key)
        return 0.0 if level + 1 <= self._times else (level + 1 - self._times) * self._seconds / self._times

    def count(self, key: str) -> None:
        """Note a try."""
        with self._lock:
            self._buckets[key] = (self._level(key) + 1, self._clock.monotonic())
            self._buckets.move_to_end(key)
            while len(self._buckets) > KNOWN:
                self._buckets.popitem(last=False)

    def forget(self, key: str) -> None:
        """Let the key begin anew."""
        with self._lock:
            self._buckets.pop(key, None)

    def _level(self, key: str) -> float:
        level, at = self._buckets.get(key, (0.0, 0.0))
        return max(0.0, level - (self._clock.monotonic() - at) * self._times / self._seconds)
