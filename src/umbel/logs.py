"""Logging set-up, and warnings that come at most once in five seconds with their count."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Final

from umbel.clock import Clock, SystemClock

FORMAT = "%(asctime)s %(levelname)-7s %(process)d %(name)s: %(message)s"
#: Seconds between two lines of the same kind.
INTERVAL = 5.0
#: Kinds remembered at once; the oldest is forgotten first.
KINDS = 1_000
#: A password within a URL, as in what drivers say of a connection that failed.
_PASSWORD: Final = re.compile(r"(://[^/@:\s]*):[^/@\s]+@")


def setup(level: str, form: str = "text") -> None:
    """Log to standard error at `level` (a name of the logging module, any case); `form` is text or json."""
    logging.basicConfig(level=level.upper(), stream=sys.stderr, force=True)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonLines() if form == "json" else Lines(FORMAT))
    # The adapters say in one line what these tell in twenty.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    for chatty in ("kombu", "amqp", "httpx2", "mcp"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))


def _without_passwords(text: str) -> str:
    return _PASSWORD.sub(r"\1:***@", text)


class Lines(logging.Formatter):
    """Lines for people."""

    def format(self, record: logging.LogRecord) -> str:
        return _without_passwords(super().format(record))


class JsonLines(logging.Formatter):
    """One JSON object a line.

    Always `time` (RFC 3339, UTC), `level`, `logger`, `process` (its id), `message`; `kind` and `times` of what is held
    back (see `Limited`), and `error`, a traceback, where there are such.
    """

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")
        told: dict[str, str | int | None] = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": _without_passwords(record.getMessage()),
        }
        for key in ("kind", "times"):
            if hasattr(record, key):
                told[key] = getattr(record, key)
        if record.exc_info:
            told["error"] = _without_passwords(self.formatException(record.exc_info))
        # Escaped to ASCII: no character of a message can end the line.
        return json.dumps(told)


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
            times = f" ({held} times)" if held > 1 else ""
            self._logger.warning("%s%s", message, times, extra={"kind": kind, "times": held})
            last, held = now, 0
        self._kinds[kind] = (last, held)
        if len(self._kinds) > KINDS:
            self._kinds.pop(next(iter(self._kinds)))
