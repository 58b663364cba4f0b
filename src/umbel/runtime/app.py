"""What the Celery app named by `-A` says about its broker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery import Celery
from celery.app.utils import find_app

from umbel.errors import SettingsError


def load_app(name: str) -> Any:
    """The app, found as `celery -A` does; raises `SettingsError` naming what failed."""
    try:
        return find_app(name)
    except Exception as error:
        # Importing a project can raise anything.
        raise SettingsError(
            f"-A {name}: the Celery app could not be loaded: {type(error).__name__}: {error}"
        ) from error


def settings_of_app(name: str) -> dict[str, Any]:
    """Settings by option name from an app; errors are those of `load_app`."""
    return settings_of(load_app(name))


def settings_of(app: Celery) -> dict[str, Any]:
    """Settings by option name; what the app leaves open is left out."""
    conf = app.conf
    broker = conf.broker_read_url or conf.broker_url
    if isinstance(broker, list | tuple):
        broker = ";".join(broker)
    ssl = conf.broker_use_ssl
    if ssl is True:
        # py-amqp's shorthand for TLS as usual.
        broker = broker.replace("amqp://", "amqps://")
    found = {
        "broker": broker,
        "result_backend": conf.result_backend,
        "broker_options": dict(conf.broker_transport_options or {}),
        "broker_ssl": plain(ssl) if isinstance(ssl, Mapping) else {},
        "event_exchange": conf.event_exchange,
    }
    return {key: value for key, value in found.items() if value}


def plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as JSON can hold them; constants of the `ssl` module become their names."""
    return {key: getattr(value, "name", value) for key, value in options.items()}
