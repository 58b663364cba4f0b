"""What every process of Umbel does: its title in `ps`, its signals, its status each second."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import Final, Self

from setproctitle import setproctitle

from umbel import logs, status
from umbel.clock import Clock
from umbel.logs import Limited
from umbel.settings import Settings
from umbel.sources.base import SourceStatus
from umbel.status import PartStatus, StatusFile

log = logging.getLogger(__name__)
limited = Limited(log)

#: Set in the environment of a child whose standard input is the supervisor's pipe.
SUPERVISED: Final = "UMBEL_SUPERVISED"
#: Seconds between two statuses.
TICK: Final = 1.0


@dataclass(slots=True)
class Report:
    """What a part says of itself in one status."""

    values: dict[str, float] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    error: str = ""


class Part:
    """One process: `with Part(...) as part:` runs it until `part.stop` is set by a signal or the supervisor's end."""

    def __init__(self, name: str, settings: Settings, clock: Clock, report: Callable[[], Report] = Report) -> None:
        self.name = name
        #: Set when the process should end.
        self.stop = threading.Event()
        self._clock = clock
        self._report = report
        self._directory = settings.status_dir
        self._started_at = clock.now()
        self._ticker = threading.Thread(target=self._tick, name="status", daemon=True)
        self._ended = threading.Event()
        logs.setup(settings.log_level, settings.log_format)

    def __enter__(self) -> Self:
        setproctitle(f"umbel {self.name}")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        stop_with_parent(self.stop)
        self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._ticker.join(timeout=2 * TICK)

    def reports(self, report: Callable[[], Report]) -> None:
        """Let `report`, called once a second from another thread, say how the part fares from now on."""
        self._report = report

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        log.info("%s: stopping", signal.Signals(number).name)
        self.stop.set()

    def _tick(self) -> None:
        try:
            file = StatusFile(self._directory, self.name)
        except OSError as error:
            log.warning("no status can be written under %s: %s", self._directory, error)
            return
        while True:
            try:
                file.write(self._status())
            except OSError as error:
                log.debug("status could not be written: %s", error)
            if self._ended.wait(TICK):
                break
        try:
            file.close(remove=True)
        except OSError as error:
            log.warning("the status of %s stays behind: %s", self.name, error)

    def _status(self) -> PartStatus:
        try:
            report = self._report()
        except Exception as error:  # noqa: BLE001 - a status that fails says so; the part itself goes on
            limited.warning("status", f"the status of {self.name} could not be made: {error!r}")
            report = Report(error=f"status failed: {error!r}")
        return PartStatus(
            part=self.name,
            pid=os.getpid(),
            started_at=self._started_at,
            at=self._clock.now(),
            error=report.error,
            values=report.values,
            texts=report.texts,
        )


def stop_with_parent(stop: threading.Event, environ: Mapping[str, str] = os.environ) -> None:
    """In a supervised child: set `stop` when the supervisor is gone, however it went; else do nothing."""
    if not environ.get(SUPERVISED):
        return

    def watch() -> None:
        while os.read(0, 1):
            pass
        stop.set()

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def source_values(source: SourceStatus) -> dict[str, float]:
    """The numbers of a source's status, by the names of `umbel.status`."""
    return {
        status.CONNECTED: float(source.connected),
        status.SINCE: source.since,
        status.RECONNECTS: source.reconnects,
        status.BACKLOG: source.backlog_events,
        status.BUFFER: source.buffer_bytes,
        status.BUFFER_LIMIT: source.buffer_limit,
        status.OLDEST: source.oldest_at,
    }
