"""From a store's URL to its adapter; an engine's driver is loaded only when it is used."""

from __future__ import annotations

import importlib
import re
from dataclasses import replace
from typing import Any, Final, cast

from umbel.access.base import Vault
from umbel.alerts.book import AlertBook
from umbel.clock import Clock
from umbel.control.audit import Audit
from umbel.errors import SettingsError
from umbel.retention import Retention
from umbel.settings import Settings
from umbel.stores.base import StoreKeeper, StoreReader, StoreWriter
from umbel.stores.journal import Journal

_CLICKHOUSE: Final = (
    "umbel.stores.clickhouse",
    "ClickHouseWriter",
    "ClickHouseReader",
    "ClickHouseJournal",
    "ClickHouseVault",
    "ClickHouseAlertBook",
)
#: Module, writer, reader, journal, vault, book of alerts and, where there is one, keeper of each engine; all are made
#: from what the module's `path_of` finds in the URL.
_ENGINES: Final[dict[str, tuple[str, ...]]] = {
    "clickhouse": _CLICKHOUSE,
    "clickhouse+https": _CLICKHOUSE,
    "sqlite": (
        "umbel.stores.sqlite",
        "SqliteWriter",
        "SqliteReader",
        "SqliteJournal",
        "SqliteVault",
        "SqliteAlertBook",
        "SqliteKeeper",
    ),
    "postgresql": (
        "umbel.stores.postgres",
        "PostgresWriter",
        "PostgresReader",
        "PostgresJournal",
        "PostgresVault",
        "PostgresAlertBook",
        "PostgresKeeper",
    ),
}


def _make(url: str, which: int, clock: Clock) -> Any:
    scheme, separator, _ = url.partition("://")
    engine = _ENGINES.get(scheme)
    if not separator or engine is None:
        known = ", ".join(f"{name}://" for name in _ENGINES)
        raise SettingsError(f"--store: {url!r} cannot be used; a URL that begins with {known} is expected")
    if which >= len(engine):
        return None
    home = importlib.import_module(engine[0])
    return getattr(home, engine[which])(home.path_of(url), clock=clock)


def shown(url: str) -> str:
    """A store's URL as it may be shown: without its password."""
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", url)


def open_writer(settings: Settings, clock: Clock) -> StoreWriter:
    """The collector's side of the store, not opened yet."""
    return cast("StoreWriter", _make(settings.store, 1, clock))


def open_reader(settings: Settings, clock: Clock) -> StoreReader:
    """The web's side of the store; it may not exist yet."""
    return cast("StoreReader", _make(settings.store, 2, clock))


def open_journal(settings: Settings, clock: Clock) -> Journal:
    """What people enter, kept with the store; it may not exist yet."""
    return cast("Journal", _make(settings.store, 3, clock))


def open_vault(settings: Settings, clock: Clock) -> Vault:
    """Where the store keeps sessions and tokens; it may not exist yet."""
    return cast("Vault", _make(settings.store, 4, clock))


def open_alert_book(settings: Settings, clock: Clock) -> AlertBook:
    """What alerting remembers, kept with the store; it may not exist yet."""
    return cast("AlertBook", _make(settings.store, 5, clock))


def open_keeper(settings: Settings, clock: Clock) -> StoreKeeper | None:
    """The operator's side of the store; None for an engine that looks after its files itself."""
    return cast("StoreKeeper | None", _make(settings.store, 6, clock))


def retention_of(settings: Settings) -> Retention:
    """What the settings say is kept."""
    return replace(settings.retention, size=settings.retention_bytes or None)


def open_audit(settings: Settings, clock: Clock) -> Audit:
    """The audit trail, in a file of its own beside the spool: the web may not write to the store."""
    home = importlib.import_module("umbel.stores.sqlite.audit")
    return cast("Audit", home.SqliteAudit(settings.audit_file, clock))
