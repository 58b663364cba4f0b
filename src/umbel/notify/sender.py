"""Sends notices through Apprise, which knows Slack, mail, PagerDuty, webhooks and a hundred others by their URLs."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import apprise

from umbel.alerts.config import Destination
from umbel.alerts.notice import Notice
from umbel.errors import SettingsError

#: Characters kept of what a service says of a failure.
SAID: Final = 300
#: What takes the place of a secret.
HIDDEN: Final = "***"
#: Parts of a URL that are no secrets: shorter ones, and these.
_SHORT: Final = 5
_PLAIN: Final = frozenset({"https", "http", "localhost"})
#: The header by which a webhook can tell that it has had a message before.
IDEMPOTENCY: Final = "Idempotency-Key"
_KINDS: Final[Mapping[str, Any]] = {
    "critical": apprise.NotifyType.FAILURE,
    "warning": apprise.NotifyType.WARNING,
    "recovered": apprise.NotifyType.SUCCESS,
}


class Sender:
    """One for each process; may be used from several threads. Raises `SettingsError` for a URL that Apprise refuses."""

    def __init__(self, destinations: Sequence[Destination]) -> None:
        for name in ("apprise", "urllib3", "requests"):
            # They would write addresses with their secrets; what they say is caught, cleaned and told by us.
            logging.getLogger(name).setLevel(logging.WARNING)
            logging.getLogger(name).propagate = False
            logging.getLogger(name).addHandler(logging.NullHandler())
        self._said = _Said()
        apprise.logger.addHandler(self._said)
        self._plugins = {one.name: _plugin(one) for one in destinations}
        #: Those whose owner has set a key: it is theirs to say what is the same.
        self._keyed = {name for name, plugin in self._plugins.items() if _key_of(plugin)}
        self._secrets = {one.name: _secrets(one.url) for one in destinations}

    def __call__(self, destination: Destination, notice: Notice, once: str = "") -> str:
        """Send it; "" if the service took it, else why not, without a secret. Takes a minute at most.

        `once` is the same whenever the same notice is sent again; one thread at a time sends to a destination.
        """
        plugin = self._plugins.get(destination.name)
        if plugin is None:
            return "this destination is no longer set"
        if destination.name not in self._keyed:
            _mark(plugin, notice.incident or once, once)
        with self._said.kept() as said:
            try:
                kind = _KINDS.get(notice.kind, apprise.NotifyType.INFO)
                sent = plugin.notify(notice.body, notice.title, kind, body_format=apprise.NotifyFormat.TEXT)
            except Exception as error:  # noqa: BLE001 - a hundred plugins raise what they like; it is told and tried again
                said.append(repr(error))
                sent = False
        if sent:
            return ""
        why = "; ".join(said) or f"{destination.scheme} did not take it"
        return cleaned(why, self._secrets[destination.name])[:SAID]


def _plugin(destination: Destination) -> Any:
    plugin: Any = apprise.Apprise.instantiate(destination.url, suppress_exceptions=True)
    if plugin is None:
        raise SettingsError(
            f"destination {destination.name}: Apprise cannot use this {destination.scheme}:// URL (which is not shown: "
            "it may hold secrets); https://appriseit.com/services/ tells how each is written"
        )
    if destination.incidents and "action=" not in destination.url:
        # PagerDuty's would open one more incident when something is over.
        plugin.action = "map"
    return plugin


def _key_of(plugin: Any) -> str:
    """The key that its URL gives, "" for none."""
    headers = getattr(plugin, "headers", None)
    given = headers.get(IDEMPOTENCY, "") if isinstance(headers, dict) else ""
    return str(getattr(plugin, "dedup", "") or getattr(plugin, "alias", "") or given or "")


def _mark(plugin: Any, incident: str, once: str) -> None:
    """Give the next message a key, where the service heeds one."""
    for field in ("dedup", "alias"):
        if hasattr(plugin, field):
            setattr(plugin, field, incident or None)
    headers = getattr(plugin, "headers", None)
    if once and isinstance(headers, dict):
        headers[IDEMPOTENCY] = once


def _secrets(url: str) -> list[str]:
    """The parts of a URL that must not be told, the longest first."""
    parts = re.split(r"[/:@?&=#,+]", url.partition("://")[2])
    found = {part for part in parts if len(part) >= _SHORT and part.lower() not in _PLAIN}
    return sorted(found, key=len, reverse=True)


def cleaned(text: str, secrets: Sequence[str]) -> str:
    """The text without the secrets."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text


class _Said(logging.Handler):
    """Keeps what Apprise warns of while this thread sends."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._here = threading.local()

    @contextmanager
    def kept(self) -> Iterator[list[str]]:
        """The list of what is said from now on."""
        said: list[str] = []
        self._here.said = said
        try:
            yield said
        finally:
            self._here.said = None

    def emit(self, record: logging.LogRecord) -> None:
        said: list[str] | None = getattr(self._here, "said", None)
        if said is not None and len(said) < 5:
            said.append(record.getMessage())
