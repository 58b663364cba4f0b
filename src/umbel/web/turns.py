"""Threads of their own for work that may take long, with a bound on those who wait for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import HTTPException

Answer = TypeVar("Answer")


class Busy(HTTPException):
    """503: too many wait already."""

    def __init__(self, message: str) -> None:
        super().__init__(503, message)


class Turns:
    """Threads apart from those of the pages, so that what is waited for there never keeps a page waiting."""

    def __init__(self, under_way: int, waiting: int, busy: str, *, abandon: bool = True) -> None:
        """`busy` is what those hear who are too many; `abandon`: whoever gives up leaves the work to its thread."""
        self._under_way = under_way
        self._waiting = waiting
        self._busy = busy
        self._abandon = abandon
        self._limiter: CapacityLimiter | None = None

    async def run(self, work: Callable[[], Answer]) -> Answer:
        """Do the work on such a thread; `Busy` if too many wait already."""
        if self._limiter is None:
            self._limiter = CapacityLimiter(self._under_way)
        if self._limiter.statistics().tasks_waiting >= self._waiting:
            raise Busy(self._busy)
        return await to_thread.run_sync(work, limiter=self._limiter, abandon_on_cancel=self._abandon)
