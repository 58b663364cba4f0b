"""One command under way: who was asked, who has answered, and until when it is waited for the others."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import uuid4

from umbel.clock import Clock
from umbel.control.commands import Outcome, Reply, refusal

#: Workers whose replies to a command to everybody are kept.
REPLIES: Final = 10_000
#: Bytes of all replies to one command.
BYTES: Final = 32 * 1024 * 1024


class Call:
    """Replies come in from the mailbox's thread, and go out where the call is iterated over."""

    def __init__(self, clock: Clock, timeout: float, expected: Sequence[str], *, open_: bool) -> None:
        self.ticket = str(uuid4())
        self._clock = clock
        self._began = clock.monotonic()
        self._deadline = self._began + timeout
        self._timeout = timeout
        #: Workers that have not answered yet, and whether others are welcome too.
        self._missing = dict.fromkeys(expected)
        self._open = open_
        #: Nobody is known who could make it complete.
        self._endless = not expected
        self._changed = threading.Condition()
        self._replies: deque[Reply] = deque()
        self._answered: set[str] = set()
        self._bytes = 0
        #: What came and could not be read, and so does not say whose it is.
        self._strange = ""
        self._strangers = 0
        self._lost = ""

    def heard(self, worker: str, value: Any, size: int) -> None:
        """A worker answered with `value`, of `size` bytes; its second answer is dropped, as is a stranger's."""
        with self._changed:
            known = worker in self._missing
            if worker in self._answered or not (known or (self._open and len(self._answered) < REPLIES)):
                return
            self._answered.add(worker)
            self._missing.pop(worker, None)
            self._bytes += size
            self._replies.append(self._reply(worker, value))
            self._changed.notify()

    def _reply(self, worker: str, value: Any) -> Reply:
        seconds = self._clock.monotonic() - self._began
        if self._bytes > BYTES:
            return Reply(worker, Outcome.UNREADABLE, None, f"all replies are over {BYTES:,} bytes", seconds)
        why = refusal(value)
        return Reply(worker, Outcome.REFUSED if why else Outcome.OK, value, why, seconds)

    def unreadable(self, why: str) -> None:
        """An answer came that does not say whose it is."""
        with self._changed:
            self._strange = why
            self._strangers += 1
            self._changed.notify()

    def lost(self, why: str) -> None:
        """No more replies can come."""
        with self._changed:
            self._lost = why
            self._changed.notify()

    def __iter__(self) -> Iterator[Reply]:
        while (reply := self._next()) is not None:
            yield reply
        yield from self._rest()

    def _next(self) -> Reply | None:
        """The next reply; None once all are here or the time is up."""
        with self._changed:
            while not self._replies and not self._complete():
                left = self._deadline - self._clock.monotonic()
                if left <= 0:
                    return None
                self._changed.wait(left)
            return self._replies.popleft() if self._replies else None

    def _complete(self) -> bool:
        return bool(self._lost) or (not self._endless and len(self._missing) <= self._strangers)

    def _rest(self) -> Iterator[Reply]:
        """What is known of those that did not answer."""
        with self._changed:
            missing, seconds = list(self._missing), self._clock.monotonic() - self._began
            strange = self._strange if len(missing) <= self._strangers else ""
            lost = f"the connection for replies was lost: {self._lost}" if self._lost else ""
        for worker in missing:
            if strange:
                yield Reply(worker, Outcome.UNREADABLE, None, strange, seconds)
            else:
                why = lost or f"no answer within {self._timeout:g} s"
                yield Reply(worker, Outcome.SILENT, None, f"{why}; it may still carry the command out", seconds)
