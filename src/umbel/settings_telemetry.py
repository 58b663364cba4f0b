"""The options of what Umbel tells of itself and of tasks: logs, OpenTelemetry, Sentry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from umbel.retention import parse_duration
from umbel.settings_access import secret
from umbel.settings_alerts import AlertSettings
from umbel.settings_option import Option, choice, optional, plain_text, switch


def ratio(value: Any) -> float:
    """A share, 0 to 1."""
    try:
        share = float(value)
    except (TypeError, ValueError):
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise ValueError("a share from 0 to 1 is expected, such as 0.05")
    return share


TELEMETRY_OPTIONS: Final = (
    Option(
        "log_level",
        "info",
        choice("debug", "info", "warning", "error"),
        "What to log to standard error.",
        ("-l",),
        "LEVEL",
    ),
    Option("log_format", "text", choice("text", "json"), "text, or json: one object a line.", (), "FORM"),
    Option(
        "trace_tasks",
        None,
        optional(ratio),
        "Share of workflows whose tasks are sent as traces by OTLP, by their root's id; 0: none but those that failed "
        "or were slow. No traces unless given. Where to: OTEL_EXPORTER_OTLP_ENDPOINT.",
        (),
        "SHARE",
    ),
    Option("trace_failures", True, switch, "With --trace-tasks: send every task that failed, whatever the share."),
    Option(
        "trace_slow",
        None,
        optional(parse_duration),
        "With --trace-tasks: send every task that waited or ran so long, whatever the share.",
        (),
        "DURATION",
    ),
    Option("trace_service", "celery", plain_text, "service.name of the tasks' traces.", (), "NAME"),
    Option(
        "trace_self",
        0.0,
        ratio,
        "Share of Umbel's own requests and commits that are sent as traces by OTLP.",
        (),
        "SHARE",
    ),
    Option("otel_metrics", False, switch, "Send what /metrics tells by OTLP too, from each web."),
    Option(
        "sentry_dsn",
        "",
        secret,
        "Where to report Umbel's own errors, or file:PATH; no values of arguments or variables are sent.",
        (),
        "DSN",
        secret=True,
    ),
)


@dataclass(frozen=True, slots=True)
class TelemetrySettings(AlertSettings):
    """What was set of these, parsed; heir of the other tables, as classes with slots have one ancestor."""

    log_level: str = "info"
    log_format: str = "text"
    trace_tasks: float | None = None
    trace_failures: bool = True
    trace_slow: float | None = None
    trace_service: str = "celery"
    trace_self: float = 0.0
    otel_metrics: bool = False
    sentry_dsn: str = ""

    @property
    def needs_otel(self) -> bool:
        """Whether anything is to be sent by OTLP."""
        return self.trace_tasks is not None or self.trace_self > 0 or self.otel_metrics
