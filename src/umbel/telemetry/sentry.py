"""Umbel's own errors to Sentry: where it failed and with what kind of error, and nothing of what it was working on."""

from __future__ import annotations

from typing import Any, Final

import sentry_sdk
from sentry_sdk.integrations.excepthook import ExcepthookIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.integrations.threading import ThreadingIntegration

from umbel import __version__
from umbel.errors import SettingsError

#: What is left of an event. Not: request, user, breadcrumbs, extra, modules, the host's name.
_KEPT: Final = frozenset(
    {"event_id", "timestamp", "platform", "level", "logger", "release", "environment", "exception", "logentry", "tags",
     "sdk", "threads", "type"}
)  # fmt: skip
#: Of what it would gather by itself.
_COLLECTED: Final[dict[str, Any]] = {
    "user_info": False,
    "cookies": {"mode": "off"},
    "http_bodies": [],
    "url_query_params": {"mode": "off"},
    "database_query_data": False,
    "queues": False,
    "stack_frame_variables": False,
    "frame_context_lines": 0,
}


def start(dsn: str, part: str) -> None:
    """Report errors of this process (`part`, such as web); raises `SettingsError` for a DSN that is none."""
    try:
        sentry_sdk.init(
            dsn=dsn,
            release=f"umbel@{__version__}",
            default_integrations=False,
            auto_enabling_integrations=False,
            integrations=[LoggingIntegration(level=None), ExcepthookIntegration(), ThreadingIntegration()],
            data_collection=_COLLECTED,  # type: ignore[arg-type]  # its type is not exported
            max_breadcrumbs=0,
            auto_session_tracking=False,
            before_send=scrubbed,
        )
    except ValueError as error:
        # The DSN holds a key: it is not repeated.
        raise SettingsError("--sentry-dsn is no DSN: https://KEY@HOST/PROJECT is expected") from error
    sentry_sdk.set_tag("umbel.part", part)


def stop() -> None:
    """Send what waits, for two seconds at most."""
    sentry_sdk.flush(timeout=2.0)


def scrubbed(event: Any, _hint: Any = None) -> Any:
    """An event with its kinds and places alone: messages of errors quote rows, arguments and answers."""
    kept = {key: value for key, value in event.items() if key in _KEPT}
    for raised in (kept.get("exception") or {}).get("values") or ():
        raised["value"] = ""
    if "logentry" in kept:
        # The words of the source, without what was filled in.
        kept["logentry"] = {"message": str(kept["logentry"].get("message", ""))[:1_000]}
    return kept
