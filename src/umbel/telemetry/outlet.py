"""Spans of Umbel's own work on their way out: a bounded queue, and a thread that delivers it."""

from __future__ import annotations

import logging
import random
import secrets
import threading
from collections import deque
from collections.abc import Mapping
from typing import Final

from umbel.logs import Limited
from umbel.model.spans import Kind, Span, Value
from umbel.telemetry.base import Delivery, Sink

log = logging.getLogger(__name__)
limited = Limited(log)

#: Spans that may wait, how many go at once, and seconds between two deliveries.
SPANS: Final = 2_048
BATCH: Final = 512
INTERVAL: Final = 1.0


class Outlet:
    """`umbel.telemetry.base.Tracer`."""

    def __init__(self, sink: Sink, share: float, interval: float = INTERVAL) -> None:
        self._sink = sink
        self._share = share
        self._interval = interval
        self._queue: deque[Span] = deque()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="otlp-spans", daemon=True)
        self._thread.start()

    def wanted(self) -> bool:
        return random.random() < self._share  # noqa: S311 - a sample, no secret

    def record(
        self,
        name: str,
        kind: Kind,
        begin: float,
        end: float,
        attributes: Mapping[str, Value],
        *,
        failure: str | None = None,
    ) -> None:
        ids = secrets.token_bytes(24)
        span = Span(ids[:16], ids[16:], None, name, kind, begin, max(begin, end), attributes, failure)
        with self._lock:
            if len(self._queue) >= SPANS:
                self.dropped += 1
            else:
                self._queue.append(span)

    def _run(self) -> None:
        while not self._closing.wait(self._interval):
            self._deliver()

    def _deliver(self) -> None:
        while True:
            with self._lock:
                batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            if not batch:
                return
            try:
                outcome = self._sink.send(batch)
            except Exception as error:  # noqa: BLE001 - whatever a driver raises: counted, said, and the work goes on
                limited.warning("outlet", f"spans could not be sent: {error!r}")
                outcome = Delivery.REFUSED
            if outcome is not Delivery.TAKEN:
                self.dropped += len(batch)
                return

    def close(self) -> None:
        """Send what waits, for two seconds at most."""
        self._closing.set()
        self._thread.join(timeout=2.0)
        last = threading.Thread(target=self._deliver, name="otlp-last", daemon=True)
        last.start()
        last.join(timeout=2.0)
        with self._lock:
            self.dropped += len(self._queue)
            self._queue.clear()
        self._sink.close()
