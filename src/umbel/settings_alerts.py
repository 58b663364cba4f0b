"""The options of alerts: what is watched, who is told, and the dead man's ping."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from umbel.retention import parse_duration
from umbel.settings_access import AccessSettings, secret
from umbel.settings_option import Option, choice, plain_text


def addresses(value: Any) -> tuple[str, ...]:
    """URLs: a list, a JSON array, or a text with spaces between; each may be file:PATH, the first line of that file."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = json.loads(value)
    given = value.split() if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not all(isinstance(one, str) for one in given):
        raise TypeError("a list of URLs is expected")
    return tuple(secret(one) for one in given if one.strip())


def web_address(value: Any) -> str:
    """A URL of HTTP, or nothing."""
    text = secret(value)
    if text and not text.startswith(("http://", "https://")):
        raise ValueError("a URL that begins with http:// or https:// is expected")
    return text


def pause(value: Any) -> float:
    """Seconds from 5 to a day."""
    seconds = parse_duration(value)
    if not 5 <= seconds <= 86_400:
        raise ValueError("5 s to 1 day are possible")
    return seconds


ALERT_OPTIONS: Final = (
    Option("alerts", "", plain_text, "TOML file of alerting rules and destinations; see docs/alerts.md.", (), "FILE"),
    Option(
        "alert_to",
        (),
        addresses,
        "Where alerts go, as URLs of Apprise with spaces between: slack://…, mailtos://…, json://…; or file:PATH.",
        (),
        "URLS",
        secret=True,
    ),
    Option(
        "public_url", "", web_address, "Umbel's own address as people reach it, for the links in alerts.", (), "URL"
    ),
    Option(
        "ping_url",
        "",
        web_address,
        "Asked for while all is well, so that a service outside notices when Umbel is gone; or file:PATH.",
        (),
        "URL",
        secret=True,
    ),
    Option("ping_every", 60.0, pause, "Seconds between two such pings.", (), "SECONDS"),
    Option("ping_method", "get", choice("get", "post", "head"), "How it is asked for.", (), "METHOD"),
)


@dataclass(frozen=True, slots=True)
class AlertSettings(AccessSettings):
    """What was set of these, parsed."""

    alerts: str = ""
    alert_to: Sequence[str] = ()
    public_url: str = ""
    ping_url: str = ""
    ping_every: float = 60.0
    ping_method: str = "get"

    @property
    def alerting(self) -> bool:
        """Whether there is anything for `umbel alert` to do."""
        return bool(self.alerts or self.alert_to or self.ping_url)
