"""A web app over a real SQLite store, with a clock that the test moves and parts that say what the test wants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.support.commits import collected
from umbel import status
from umbel.brokers.base import QueueDepths, QueueMessages
from umbel.clock import ManualClock
from umbel.control.audit import Audit
from umbel.control.commands import Control
from umbel.control.runs import Runs
from umbel.control.schedules import ReadPlan
from umbel.errors import StoreError
from umbel.metrics.prometheus import render
from umbel.model.event import AnyEvent, EventClass
from umbel.model.ledger import LedgerEntry, Quarantined, Reason
from umbel.runtime.access import open_login
from umbel.runtime.stores import open_journal, open_reader, open_writer
from umbel.settings import Settings
from umbel.status import PartStatus
from umbel.stores.base import StoreReader, StoreState, StoreWriter
from umbel.stores.journal import Journal
from umbel.web.alerting import Alerts
from umbel.web.app import create_app
from umbel.web.deps import Deps
from umbel.web.login import Login

PARTS = ("receive", "collect")


class Unreadable:
    """A store that is there and cannot be read; it may tell its state."""

    def __init__(self, state: StoreState | None = None) -> None:
        self.state_told = state

    def state(self) -> StoreState:
        if self.state_told is None:
            raise StoreError("disk I/O error")
        return self.state_told

    def __getattr__(self, name: str) -> Any:
        def fails(*_args: object, **_kwargs: object) -> Any:
            raise StoreError("disk I/O error")

        return fails


@dataclass
class Stage:
    """What one test plays with."""

    directory: Path
    clock: ManualClock = field(default_factory=ManualClock)
    statuses: dict[str, PartStatus] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    queues: QueueDepths | None = None
    reader: Any = None
    parts: Sequence[str] = PARTS
    control: Control | None = None
    audit: Audit | None = None
    runs: Runs | None = None
    messages: QueueMessages | None = None
    plan: ReadPlan | None = None
    login: Login | None = None
    alerts: Alerts | None = None
    #: The app made last.
    served: FastAPI | None = None
    _writer: StoreWriter | None = None
    _readers: list[StoreReader] = field(default_factory=list)
    _journal: Journal | None = None

    def __post_init__(self) -> None:
        self.settings = replace(self.settings, store=f"sqlite:///{self.directory / 'umbel.db'}")

    @property
    def writer(self) -> StoreWriter:
        if self._writer is None:
            self._writer = open_writer(self.settings, self.clock)
            self._writer.open()
        return self._writer

    @property
    def journal(self) -> Journal:
        if self._journal is None:
            self._journal = open_journal(self.settings, self.clock)
        return self._journal

    def commit(
        self,
        events: Iterable[AnyEvent] = (),
        *,
        discarded: Mapping[tuple[Reason, EventClass], int] | None = None,
        ledger: Sequence[LedgerEntry] = (),
        quarantine: Sequence[Quarantined] = (),
    ) -> None:
        """Store events as the collector does, now."""
        made = collected(events, self.clock.now(), discarded=discarded, ledger=ledger, quarantine=quarantine)
        self.writer.write(made)

    def says(self, part: str, values: Mapping[str, float] | None = None, *, error: str = "", age: float = 0.0) -> None:
        """A part's status as of `age` seconds ago."""
        at, told = self.clock.now() - age, dict(values or {})
        self.statuses[part] = PartStatus(part=part, pid=4711, started_at=at - 60, at=at, error=error, values=told)

    def well(self) -> None:
        """Both parts run, connected, with nothing waiting."""
        now = self.clock.now()
        connected = {status.CONNECTED: 1.0, status.SINCE: now - 60, status.RECONNECTS: 2.0}
        spool = {status.BUFFER: 1024.0, status.BUFFER_LIMIT: 1024.0 * 1024}
        self.says("receive", connected | spool)
        self.says("collect", {status.BACKLOG: 0.0, status.OLDEST: 0.0, status.COMMITTED_AT: now})

    def deps(self) -> Deps:
        if self.reader is None:
            self.reader = open_reader(self.settings, self.clock)
            self._readers.append(self.reader)
        return Deps(
            reader=self.reader,
            statuses=lambda: dict(self.statuses),
            settings=self.settings,
            clock=self.clock,
            render_metrics=render,
            queues=self.queues,
            parts=self.parts,
            control=lambda: self.control,
            audit=self.audit,
            runs=lambda: self.runs,
            messages=self.messages,
            journal=self.journal,
            plan=self.plan,
            login=self.login,
            alerts=self.alerts,
        )

    def sign_in_by(self, **settings: Any) -> Login:
        """Let people sign in as these settings say."""
        self.settings = replace(self.settings, **settings)
        self.login = open_login(self.settings, self.clock)
        assert self.login is not None
        return self.login

    def app(self) -> FastAPI:
        self.served = create_app(self.deps())
        return self.served

    def client(self, base_url: str = "http://127.0.0.1:5555") -> TestClient:
        """Use it as a context: one event loop, started and ended as a server would."""
        return TestClient(self.app(), base_url=base_url, raise_server_exceptions=False)

    def close(self) -> None:
        if self.login is not None:
            self.login.close()
        for reader in self._readers:
            reader.close()
        if self._writer is not None:
            self._writer.close()
        if self._journal is not None:
            self._journal.close()
        if self.alerts is not None:
            self.alerts.book.close()
