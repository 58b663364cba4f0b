"""What several browsers look at is computed once for all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from fastapi import FastAPI

from umbel.clock import Clock

T = TypeVar("T")


@dataclass(slots=True)
class _Entry(Generic[T]):
    lock: threading.Lock = field(default_factory=threading.Lock)
    value: T | None = None
    #: Monotonic seconds until which the value is fresh.
    until: float = 0.0


class Shared(Generic[T]):
    """Keeps one value for each app and key; keys are few and fixed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._apps: WeakKeyDictionary[FastAPI, dict[str, _Entry[T]]] = WeakKeyDictionary()

    def get(self, app: FastAPI, key: str, age: float, clock: Clock, make: Callable[[], T]) -> T:
        """A value at most `age` seconds old; while one thread renews it, the others get the one before."""
        with self._lock:
            entry = self._apps.setdefault(app, {}).setdefault(key, _Entry())
        known = entry.value
        if known is None:
            entry.lock.acquire()
        elif clock.monotonic() < entry.until or not entry.lock.acquire(blocking=False):
            return known
        try:
            if entry.value is None or clock.monotonic() >= entry.until:
                entry.value = make()
                entry.until = clock.monotonic() + age
            return entry.value
        finally:
            entry.lock.release()
