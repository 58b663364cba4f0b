"""Follows what the collector says has ended, and sends those tasks as traces: from the store, at its own pace.

The position moves only behind what the receiver has taken, so a restart goes on there: each end is sent at least once,
with the same ids if it comes again. While the receiver or the store is away, the queue on disk holds.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from umbel.clock import Clock
from umbel.endings import Ended, EndingsReader
from umbel.errors import StoreError
from umbel.logs import Limited
from umbel.model.merge import Task
from umbel.model.spans import Sampler, Span, spans_of
from umbel.model.task import ENDED, summarize
from umbel.stores.base import StoreReader
from umbel.telemetry.base import Delivery, Sink

log = logging.getLogger(__name__)
limited = Limited(log)

#: Seconds between looks while nothing waits, and before the same is tried again, doubled each time up to the last.
IDLE: Final = 0.5
RETRY: Final = 1.0
RETRY_MAX: Final = 30.0
#: Seconds after its commit that a task's other events, which others may have captured, have to come.
SETTLE: Final = 2.0
#: Seconds that an end may be missing in the store though commits came after it.
PATIENCE: Final = 30.0


@dataclass(slots=True)
class Traced:
    """How it fares, read by another thread."""

    #: Tasks that the receiver took, and that it was to take and did not.
    sent: int = 0
    dropped: int = 0
    #: Why nothing moves, "" while it does.
    error: str = ""


class _Waiting(Exception):
    """The line must be tried again in `seconds`."""

    def __init__(self, seconds: float, why: str = "") -> None:
        super().__init__(why)
        self.seconds = seconds
        self.why = why


class Follower:
    """One for each queue of endings."""

    def __init__(self, endings: EndingsReader, reader: StoreReader, sink: Sink, sampler: Sampler, clock: Clock) -> None:
        self._endings = endings
        self._reader = reader
        self._sink = sink
        self._sampler = sampler
        self._clock = clock
        self._retry = RETRY
        self.progress = Traced()

    def run(self, stop: threading.Event) -> None:
        """Follow until `stop` is set."""
        while not stop.is_set():
            stop.wait(self.turn())

    def turn(self) -> float:
        """Send the next line, if there is one; seconds to wait before the next turn."""
        progress = self.progress
        try:
            line = self._endings.next()
            if line is None:
                progress.error = ""
                return IDLE
            self._settle(line)
            self._send(line)
            self._endings.done(line)
        except _Waiting as waiting:
            progress.error = waiting.why
            return waiting.seconds
        except OSError as error:
            return self._later(f"the queue of ended tasks cannot be used: {error}")
        except StoreError as error:
            return self._later(f"the store cannot be read: {error}")
        progress.error, self._retry = "", RETRY
        return 0.0

    def _later(self, why: str) -> float:
        self.progress.error = why
        limited.warning("traces", f"no traces of tasks just now: {why}")
        wait, self._retry = self._retry, min(RETRY_MAX, 2 * self._retry)
        return wait

    def _settle(self, line: Ended) -> None:
        """Wait until a task's other events have had their time; a clock that was put back must not stop it."""
        wait = line.at + SETTLE - self._clock.now()
        if 0 < wait <= SETTLE:
            raise _Waiting(wait)

    def _send(self, line: Ended) -> None:
        known = self._known(line)
        chosen = 0
        spans: list[Span] = []
        for task in known.values():
            reason = self._sampler.reason(summarize(task))
            if reason:
                chosen += 1
                spans += spans_of(task, reason)
        outcome = self._sink.send(spans) if spans else Delivery.TAKEN
        if outcome is Delivery.AWAY:
            raise _Waiting(self._later("the OTLP receiver does not answer; the queue holds"), self.progress.error)
        if outcome is Delivery.TAKEN:
            self.progress.sent += chosen
        else:
            self.progress.dropped += chosen
        self.progress.dropped += len(line.ids) - len(known)

    def _known(self, line: Ended) -> Mapping[str, Task]:
        """The records of those that have ended; waits for the commit that the line was noted for."""
        found = self._reader.records(line.ids)
        ended = {id_: task for id_, task in found.items() if summarize(task).state in ENDED}
        missing = len(set(line.ids)) - len(ended)
        if missing:
            if self._reader.state().committed_at < line.at:
                raise _Waiting(RETRY, "the store has not taken the latest commit yet")
            if 0 <= self._clock.now() - line.at < PATIENCE:
                raise _Waiting(RETRY)
            limited.warning("traces-missing", "ended tasks are not in the store and have no traces", missing)
        return ended
