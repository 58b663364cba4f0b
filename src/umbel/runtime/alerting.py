"""What alerts need of the settings: rules and destinations from their file, the book, the sender."""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

from umbel.alerts.config import Config, Destination, configure
from umbel.alerts.rules import Rule
from umbel.clock import Clock
from umbel.errors import SettingsError
from umbel.runtime.stores import open_alert_book
from umbel.settings import Settings
from umbel.settings_access import secret
from umbel.watch.courier import Send
from umbel.watch.failures import Seen
from umbel.watch.measure import measure
from umbel.watch.rehearse import rehearse
from umbel.watch.sight import Look
from umbel.web.alerting import Alerts, Sight, Trial

_SENDER: Final = "umbel.notify.sender"


def read_config(settings: Settings) -> Config:
    """What is watched, and who is told; raises `SettingsError` naming file, key and remedy."""
    table: Mapping[str, Any] = {}
    if settings.alerts:
        try:
            table = tomllib.loads(Path(settings.alerts).read_text(encoding="utf-8"))
        except OSError as error:
            raise SettingsError(f"--alerts: {settings.alerts} cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"--alerts: {settings.alerts} is not TOML: {error}") from error
    where = settings.alerts or "--alert-to"
    return configure({**table, **_resolved(table, where)}, where, settings.alert_to)


def _resolved(table: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The destinations with what stands in the files that they name."""
    destinations = table.get("destinations")
    if not isinstance(destinations, Mapping):
        return {}
    return {
        "destinations": {name: _opened(value, f"{where}: destination {name!r}") for name, value in destinations.items()}
    }


def _opened(value: Any, where: str) -> Any:
    if isinstance(value, list):
        return [_opened(one, where) for one in value]
    try:
        return secret(value) if isinstance(value, str) else value
    except ValueError as error:
        raise SettingsError(f"{where}: {error}") from error


def open_alerts(settings: Settings, clock: Clock) -> Alerts | None:
    """What the web shows of alerts; None where none are set up. Raises `SettingsError`."""
    if not settings.alerts and not settings.alert_to:
        return None
    config, book = read_config(settings), open_alert_book(settings, clock)

    def trial(rule: Rule, sight: Sight) -> Trial:
        look = Look(sight, clock.now(), Seen(book).known())
        return Trial(measure(rule, look), rehearse(rule, look))

    return Alerts(config, book, trial)


def open_sender(destinations: Sequence[Destination]) -> Send:
    """What sends notices; raises `SettingsError` where Apprise is missing, or refuses a URL."""
    if not destinations:
        return lambda _destination, _notice, _once: "no destination is set"
    try:
        home: Any = importlib.import_module(_SENDER)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "apprise":
            raise
        raise SettingsError("alerts are sent through Apprise, which is missing: pip install 'umbel[alerts]'") from error
    return cast("Send", home.Sender(destinations))
