"""The real web server on the real SQLite store, in threads of the test's process."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.support.commits import collected
from umbel import status
from umbel.clock import SystemClock
from umbel.control.commands import Control
from umbel.control.runs import Runs
from umbel.metrics.prometheus import render
from umbel.model.event import AnyEvent, EventClass
from umbel.model.ledger import LedgerEntry, Quarantined, Reason
from umbel.runtime.alerting import open_alerts
from umbel.runtime.stores import open_journal, open_reader, open_writer
from umbel.settings import Settings
from umbel.status import PartStatus
from umbel.watch.watch import Watch
from umbel.web.app import create_app
from umbel.web.deps import Deps
from umbel.web.server import serve


@dataclass
class Served:
    """A store that the test commits to, and its pages at `url`."""

    directory: Path
    url_prefix: str = ""
    url: str = ""
    clock: SystemClock = field(default_factory=SystemClock)
    #: What the parts say; None: as if both were well.
    told: Mapping[str, PartStatus] | None = None
    #: How workers are reached; None: no broker is known.
    control: Control | None = None
    #: A file of rules of alerts; "": there are none.
    alerts: str = ""
    #: How tasks are sent and results read.
    runs: Runs | None = None

    def __enter__(self) -> Self:
        store = f"sqlite:///{self.directory / 'umbel.db'}"
        broker = "redis://localhost:1/0" if self.control else ""
        settings = replace(
            Settings(), store=store, port=0, url_prefix=self.url_prefix, broker=broker, alerts=self.alerts
        )
        self._writer = open_writer(settings, self.clock)
        self._writer.open()
        self._reader = open_reader(settings, self.clock)
        deps = Deps(
            self._reader,
            self.statuses,
            settings,
            self.clock,
            render,
            None,
            ("receive", "collect"),
            journal=open_journal(settings, self.clock),
            alerts=open_alerts(settings, self.clock),
        )
        deps.control = lambda: self.control
        deps.runs = lambda: self.runs
        self._journal = deps.journal
        self._deps, self._settings = deps, settings
        self.start_web()
        return self

    def start_web(self) -> None:
        """Serve the pages; after `stop_web` at the address that they had."""
        stop, ready = threading.Event(), threading.Event()

        def announce(url: str) -> None:
            self.url = url.rstrip("/")
            ready.set()

        settings = replace(self._settings, port=int(urlsplit(self.url).port or 0) if self.url else 0)
        app = create_app(self._deps)
        self._stop = stop
        self._thread = threading.Thread(target=serve, args=(app, settings, stop, announce), name="web", daemon=True)
        self._thread.start()
        assert ready.wait(90), "the server did not start"

    def stop_web(self) -> None:
        """As if its process had ended; the store stays open."""
        self._stop.set()
        self._thread.join(90)
        assert not self._thread.is_alive(), "the server did not stop"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_web()
        if self._deps.alerts is not None:
            self._deps.alerts.book.close()
        self._reader.close()
        self._writer.close()
        if self._journal is not None:
            self._journal.close()

    def judge(self) -> None:
        """Judge the rules of alerts once, as `umbel alert` does; nobody takes what it tells."""
        alerts = self._deps.alerts
        assert alerts is not None
        watch = Watch(alerts.config, alerts.book, self._deps, lambda *_: "nobody is there", "test")
        watch.lead.renew()
        watch.look()

    def statuses(self) -> Mapping[str, PartStatus]:
        if self.told is not None:
            return self.told
        now = self.clock.now()
        spool = {status.BUFFER: 41.0 * 1024**2, status.BUFFER_LIMIT: 1024.0**3}
        link = {status.CONNECTED: 1.0, status.SINCE: now - 4_000, status.RECONNECTS: 2.0, status.CAPTURED: 61_204.0}
        done = {status.BACKLOG: 12.0, status.OLDEST: now - 0.2, status.COMMITTED_AT: now, status.COMMIT_SECONDS: 0.011}
        texts = {"broker": "redis://localhost:6379/0"}
        receive = PartStatus(
            part="receive", pid=4_711, started_at=now - 5_000, at=now, values=link | spool, texts=texts
        )
        return {
            "receive": receive,
            "collect": PartStatus(part="collect", pid=4_712, started_at=now - 5_000, at=now, values=done),
        }

    def commit(
        self,
        events: Iterable[AnyEvent] = (),
        *,
        discarded: Mapping[tuple[Reason, EventClass], int] | None = None,
        ledger: Sequence[LedgerEntry] = (),
        quarantine: Sequence[Quarantined] = (),
    ) -> None:
        """Store events as the collector does."""
        made = collected(events, self.clock.now(), discarded=discarded, ledger=ledger, quarantine=quarantine)
        self._writer.write(made)
