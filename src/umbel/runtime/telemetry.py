"""What tells of Umbel to others, loaded only where it is asked for: OTLP and Sentry come with extras of their own."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, cast

from umbel.errors import SettingsError
from umbel.settings import Settings
from umbel.settings_option import switch
from umbel.telemetry.base import Sink
from umbel.telemetry.outlet import Outlet

#: Package, the extra that brings it, the option that asks for it.
_OTEL: Final = ("opentelemetry.sdk", "otel", "--trace-tasks, --trace-self and --otel-metrics need")
_SENTRY: Final = ("sentry_sdk", "sentry", "--sentry-dsn needs")
_PROTOCOLS: Final = (
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
)


def otel_wanted(settings: Settings, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether anything is sent by OTLP; raises `SettingsError` where it is to be and cannot."""
    if not settings.needs_otel or _disabled(environ):
        return False
    _require(*_OTEL)
    for name in _PROTOCOLS:
        if environ.get(name, "http/protobuf").strip() not in ("", "http/protobuf"):
            raise SettingsError(
                f"{name}={environ[name]}: Umbel speaks OTLP by http/protobuf alone; unset it, and give the receiver's "
                "HTTP address (port 4318 by custom)"
            )
    return True


def traces_tasks(settings: Settings, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether tasks are sent as traces; raises as `otel_wanted`."""
    return otel_wanted(settings, environ) and settings.trace_tasks is not None


def check(settings: Settings) -> None:
    """Raise `SettingsError` for what is asked for and not installed, before any part starts."""
    otel_wanted(settings)
    if settings.sentry_dsn:
        _require(*_SENTRY)


def _disabled(environ: Mapping[str, str]) -> bool:
    try:
        return switch(environ.get("OTEL_SDK_DISABLED", ""))
    except ValueError:
        return False


def _require(package: str, extra: str, asks: str) -> None:
    try:
        found = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise SettingsError(f"{asks} what `pip install 'umbel[{extra}]'` brings; install it, then start Umbel again")


def open_sink(service: str = "", timeout: float | None = None) -> Sink:
    """Where spans go."""
    home: Any = importlib.import_module("umbel.telemetry.otlp")
    return cast("Sink", home.OtlpSpans(service, timeout))


@contextmanager
def own_work(settings: Settings) -> Iterator[Outlet | None]:
    """Takes spans of this process's own work; None where none are wanted."""
    if not (otel_wanted(settings) and settings.trace_self):
        yield None
        return
    outlet = Outlet(open_sink(), settings.trace_self)
    try:
        yield outlet
    finally:
        outlet.close()


@contextmanager
def pushed_metrics(settings: Settings, families: Any, now: Any) -> Iterator[None]:
    """While it lasts, the metrics are sent where that is wanted; see `umbel.telemetry.metrics.OtlpMetrics`."""
    if not (otel_wanted(settings) and settings.otel_metrics):
        yield
        return
    home: Any = importlib.import_module("umbel.telemetry.metrics")
    pushing = home.OtlpMetrics(families, now)
    try:
        yield
    finally:
        pushing.close()


@contextmanager
def reported_errors(settings: Settings, part: str) -> Iterator[None]:
    """While it lasts, this process's errors go to Sentry, where there is a DSN."""
    if not settings.sentry_dsn:
        yield
        return
    _require(*_SENTRY)
    home: Any = importlib.import_module("umbel.telemetry.sentry")
    home.start(settings.sentry_dsn, part)
    try:
        yield
    finally:
        home.stop()
