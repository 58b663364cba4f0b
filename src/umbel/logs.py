"""Logging set-up, and warnings that come at most once in five seconds with their count."""

from __future__ import annotations

import logging
import sys

from umbel.clock import Clock, SystemClock

FORMAT = "%(asctime)s %(levelname)-7s %(process)d %(name)s: %(message)s"
#: Seconds between two lines of the same kind.
INTERVAL = 5.0
#: Kinds remembered at once; the oldest is forgotten first.
KINDS = 1_000


def setup(level: str) -> None:
    """Log to standard error at `level` (a name of the logging module, any case)."""
    logging.basicConfig(level=level.upper(), format=FORMAT, stream=sys.stderr, force=True)
    # The adapters say in one line what these tell in twenty.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    for chatty in ("kombu", "amqp", "httpx2", "mcp"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))


class Limited:
    """A logger that writes at most one line each `INTERVAL` seconds for each kind, and says how many it held back."""

    def __init__(self, logger: logging.Logger, clock: Clock | None = None) -> None:
        self._logger = logger
        self._clock = clock or SystemClock()
        self._kinds: dict[str, tuple[float, int]] = {}

    def warning(self, kind: str, message: str, count: int = 1) -> None:
        """Log `message` for `kind`, standing for `count` events; held-back counts are added to the next line."""
        now = self._clock.monotonic()
        last, held = self._kinds.pop(kind, (now - INTERVAL, 0))
        held += count
        if now - last >= INTERVAL:
            self._logger.warning("%s%s", message, f" ({held} times)" if held > 1 else "", extra={"action": kind})
            last, held = now, 0
        self._kinds[kind] = (last, held)
        if len(self._kinds) > KINDS:
            self._kinds.pop(next(iter(self._kinds)))
