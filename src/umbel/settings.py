"""Every option, declared once: command line flag, `UMBEL_*` variable and key of a TOML file come from the same table.

A flag beats the environment, which beats the file, which beats the Celery app given by `-A`, which beats the default.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from umbel.errors import SettingsError
from umbel.retention import Retention, parse_duration, parse_retention
from umbel.settings_access import ACCESS_OPTIONS
from umbel.settings_alerts import ALERT_OPTIONS
from umbel.settings_option import (
    Option,
    buckets,
    choice,
    mapping,
    optional,
    parse_size,
    path_prefix,
    patience,
    plain_text,
    size_from,
    switch,
    whole,
)
from umbel.settings_telemetry import TELEMETRY_OPTIONS, TelemetrySettings

#: Prometheus' own defaults.
BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
MIB: Final = 1 << 20
GIB: Final = 1 << 30
TWO_WEEKS: Final = Retention(14 * 86400.0)

#: The table; `Settings` has a field for each row.
OPTIONS: Final = (
    Option(
        "app", "", plain_text, "Celery app to take broker and result backend from, as for `celery -A`.", ("-A",), "APP"
    ),
    Option(
        "broker",
        "",
        plain_text,
        "Broker URL, as in Celery's broker_url; several Sentinels joined by ';'.",
        ("-b",),
        "URL",
    ),
    Option("result_backend", "", plain_text, "Result backend URL, as in Celery's result_backend.", (), "URL"),
    Option(
        "broker_options",
        {},
        mapping,
        "Celery's broker_transport_options (global_keyprefix, fanout_prefix, fanout_patterns, master_name, ...).",
        (),
        "JSON",
    ),
    Option("broker_ssl", {}, mapping, "Celery's broker_use_ssl (ca_certs, certfile, keyfile, cert_reqs).", (), "JSON"),
    Option("event_exchange", "celeryev", plain_text, "Celery's event_exchange.", (), "NAME"),
    Option(
        "queue_name", "umbel.events", plain_text, "RabbitMQ: name of Umbel's own durable queue of events.", (), "NAME"
    ),
    Option(
        "queue_type",
        "classic",
        choice("classic", "quorum", "stream"),
        "RabbitMQ: type of that queue; quorum and stream survive a restart of the broker.",
        (),
        "TYPE",
    ),
    Option(
        "queue_bytes",
        GIB,
        size_from(MIB),
        "RabbitMQ: bytes that queue may hold before it drops its oldest.",
        (),
        "SIZE",
    ),
    Option(
        "broker_api",
        "",
        plain_text,
        "RabbitMQ: URL of its management API (http://user:password@host:15672/api), to count what a full queue drops"
        " and what workers hold;"
        " off: do not ask. Unless set: the broker's host, user and password.",
        (),
        "URL",
    ),
    Option(
        "queue_spread",
        "",
        plain_text,
        "RabbitMQ: consistent-hash exchange that spreads events by worker over the queues of several collectors.",
        (),
        "NAME",
    ),
    Option("enable_events", True, switch, "Tell workers that send no task events to send them."),
    Option(
        "store",
        "sqlite:///umbel.db",
        plain_text,
        "Where history is kept: sqlite:///file, postgresql://… or clickhouse://….",
        (),
        "URL",
    ),
    Option("read_only", False, switch, "Refuse everything that would change workers, tasks or queues."),
    Option(
        "allow_unauthenticated",
        False,
        switch,
        "Let whoever reaches a wider --host change workers and tasks: only behind a proxy that has a login.",
    ),
    Option("host", "127.0.0.1", plain_text, "Address to listen on; 0.0.0.0 for every interface.", (), "ADDRESS"),
    Option("port", 5555, whole(0, 65535), "Port to listen on; 0 takes a free one.", ("-p",), "PORT"),
    Option("unix_socket", "", plain_text, "Socket file to listen on instead of address and port.", (), "FILE"),
    Option("certfile", "", plain_text, "Certificate (chain) for TLS, PEM; needs --keyfile.", (), "FILE"),
    Option("keyfile", "", plain_text, "Private key for TLS, PEM; needs --certfile.", (), "FILE"),
    Option("xheaders", False, switch, "Believe X-Real-Ip and X-Scheme: only behind a proxy that sets them."),
    Option(
        "unauthenticated_api",
        False,
        switch,
        "Answer Flower's API (/api/tasks and the like) to everyone who can reach Umbel.",
    ),
    Option(
        "stuck_every",
        600.0,
        parse_duration,
        "Seconds between looks for tasks without an end for an hour, at workers and in the result backend; 0: none.",
        (),
        "SECONDS",
    ),
    Option("inspect_timeout", 1.0, patience, "Seconds that workers have to answer an inspection.", (), "SECONDS"),
    Option(
        "purge_offline_workers",
        None,
        optional(parse_duration),
        "Seconds after which an offline worker is left out of lists of workers and of metrics; never unless given.",
        (),
        "SECONDS",
    ),
    Option(
        "task_runtime_metric_buckets",
        BUCKETS,
        buckets,
        "Upper bounds of the buckets of flower_task_runtime_seconds, seconds, joined by ','.",
        (),
        "SECONDS",
    ),
    Option(
        "tasks_columns",
        "",
        plain_text,
        "Columns of the list of tasks and their order, joined by ',', unless an address or a browser names others.",
        (),
        "NAMES",
    ),
    Option("natural_time", False, switch, "Tell in the list of tasks how long ago something was, not when."),
    Option("url_prefix", "", path_prefix, "Path under which a proxy serves Umbel, such as /umbel.", (), "PATH"),
    Option("data_dir", "umbel-data", plain_text, "Directory of the spool and of the parts' status.", (), "DIRECTORY"),
    Option(
        "spool_bytes", GIB, size_from(MIB), "Bytes of events kept on disk while the store cannot keep up.", (), "SIZE"
    ),
    Option(
        "retention",
        TWO_WEEKS,
        parse_retention,
        "How long tasks are kept, such as 12h or 30d (0: forever), or by rules of which the first that matches counts: "
        "'state:FAILURE 90d, name:shop.report.* 1d, 14d'.",
        (),
        "RULES",
    ),
    Option(
        "retention_bytes",
        0,
        parse_size,
        "Bytes the store may take before the oldest tasks go; 0: no bound.",
        (),
        "SIZE",
    ),
    Option("text_bytes", 65_536, size_from(256), "Bytes kept of one argument list, result or traceback.", (), "SIZE"),
    Option("grace", 10.0, parse_duration, "Seconds a stop may take to drain and commit.", (), "SECONDS"),
    Option("reconnect_max", 60.0, parse_duration, "Longest wait between two tries to reach the broker.", (), "SECONDS"),
    *TELEMETRY_OPTIONS,
    *ACCESS_OPTIONS,
    *ALERT_OPTIONS,
)


@dataclass(frozen=True, slots=True)
class Settings(TelemetrySettings):
    """Everything that was set, parsed; see `OPTIONS` for what each means."""

    app: str = ""
    broker: str = ""
    result_backend: str = ""
    broker_options: Mapping[str, Any] = field(default_factory=dict)
    broker_ssl: Mapping[str, Any] = field(default_factory=dict)
    event_exchange: str = "celeryev"
    queue_name: str = "umbel.events"
    queue_type: str = "classic"
    queue_bytes: int = GIB
    broker_api: str = ""
    queue_spread: str = ""
    enable_events: bool = True
    store: str = "sqlite:///umbel.db"
    read_only: bool = False
    allow_unauthenticated: bool = False
    host: str = "127.0.0.1"
    port: int = 5555
    unix_socket: str = ""
    certfile: str = ""
    keyfile: str = ""
    xheaders: bool = False
    unauthenticated_api: bool = False
    stuck_every: float = 600.0
    inspect_timeout: float = 1.0
    purge_offline_workers: float | None = None
    task_runtime_metric_buckets: Sequence[float] = BUCKETS
    tasks_columns: str = ""
    natural_time: bool = False
    url_prefix: str = ""
    data_dir: str = "umbel-data"
    spool_bytes: int = GIB
    retention: Retention = TWO_WEEKS
    retention_bytes: int = 0
    text_bytes: int = 65_536
    grace: float = 10.0
    reconnect_max: float = 60.0

    @property
    def spool_dir(self) -> Path:
        return Path(self.data_dir) / "spool"

    @property
    def endings_dir(self) -> Path:
        return Path(self.data_dir) / "endings"

    @property
    def audit_file(self) -> Path:
        return Path(self.data_dir) / "audit.db"

    @property
    def status_dir(self) -> Path:
        return Path(self.data_dir) / "run"


def _parse(option: Option, value: Any, origin: str) -> Any:
    try:
        return option.parse(value)
    except (ValueError, TypeError) as error:
        shown = "the value" if option.secret else repr(value)
        raise SettingsError(f"{origin}: {shown} cannot be used: {error}") from error


def _from_file(path: str) -> dict[str, Any]:
    try:
        table = tomllib.loads(Path(path).read_text())
    except OSError as error:
        raise SettingsError(f"configuration file {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"configuration file {path} is not TOML: {error}") from error
    found = table.get("umbel", table)
    known = {option.name for option in OPTIONS}
    unknown = sorted(key for key in found if key.replace("-", "_") not in known)
    if unknown:
        raise SettingsError(f"configuration file {path} has unknown keys: {', '.join(unknown)}")
    return {key.replace("-", "_"): value for key, value in found.items()}


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    found = {option.name: environ[option.env] for option in OPTIONS if option.env in environ}
    # Kubernetes gives UMBEL_PORT=tcp://… to pods beside a service named umbel.
    if found.get("port", "").startswith("tcp://"):
        del found["port"]
    return found


def load(
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    config: str | None = None,
    app_settings: Callable[[str], Mapping[str, Any]] | None = None,
    flower: Mapping[str, tuple[Any, str]] | None = None,
) -> Settings:
    """Settings from everything that may set them; raises `SettingsError` naming the first that cannot be used.

    `flags` holds what the command line gave, by option name; `app_settings` reads the Celery app named by `-A`;
    `flower` is what Flower's configuration says, with its origin: the environment and the flags of Umbel's own beat it.
    """
    path = config or environ.get("UMBEL_CONFIG")
    values: dict[str, Any] = {}
    by_name = {option.name: option for option in OPTIONS}
    for name, value in (_from_file(path) if path else {}).items():
        values[name] = _parse(by_name[name], value, f"{name} in {path}")
    for name, (value, origin) in (flower or {}).items():
        values[name] = _parse(by_name[name], value, origin)
    for name, value in _from_environment(environ).items():
        values[name] = _parse(by_name[name], value, by_name[name].env)
    for name, value in flags.items():
        values[name] = _parse(by_name[name], value, by_name[name].flag)
    if values.get("app") and app_settings is not None:
        values = {**app_settings(values["app"]), **values}
    if bool(values.get("certfile")) != bool(values.get("keyfile")):
        raise SettingsError("--certfile and --keyfile belong together: give both or neither")
    return Settings(**values)


def to_environment(settings: Settings) -> dict[str, str]:
    """The same settings as `UMBEL_*` variables, for child processes."""
    found = {}
    for option in OPTIONS:
        value = getattr(settings, option.name)
        if value == option.default:
            continue
        found[option.env] = _written(value)
    return found


def _written(value: Any) -> str:
    if isinstance(value, Mapping):
        return json.dumps(value)
    if isinstance(value, tuple) and all(isinstance(one, str) for one in value):
        # A hash of a password has commas of its own.
        return json.dumps(value)
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
