"""What Celery's broker settings mean for Redis: where it is, how its keys and channels are named. No I/O.

Everything follows kombu's Redis and Sentinel transports, so that Umbel finds what workers with these settings publish.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from umbel.errors import SettingsError
from umbel.settings import Settings

#: What kombu puts before a fanout exchange's name unless told otherwise.
FANOUT_PREFIX: Final = "/{db}."
#: kombu's separator between a queue and its priority step, and its steps; 0 is the highest.
SEPARATOR: Final = "\x06\x16"
PRIORITY_STEPS: Final = (0, 3, 6, 9)
#: Seconds to wait for a connection and for an answer unless broker_options say otherwise.
TIMEOUT: Final = 5.0

_SCHEMES: Final = ("redis", "rediss", "redis+socket", "unix", "sentinel")
_CERT_REQS: Final = {"0": "none", "1": "optional", "2": "required"}
#: Up to the last "@", as passwords are not always escaped as they should be.
_PASSWORD: Final = re.compile(r"(?<=://)([^:@/?#;]*):[^;]*(?=@)")
_SECRET_QUERY: Final = re.compile(r"(?i)([?&][^=&;]*(?:password|secret|token)[^=&;]*=)[^&;#]*")


def mask_url(url: str) -> str:
    """The URL (or several joined by ';') without its passwords, fit for logs and pages."""
    return _SECRET_QUERY.sub(r"\1***", _PASSWORD.sub(r"\1:***", url))


def escape_glob(text: str) -> str:
    """The pattern that matches exactly `text` in PSUBSCRIBE."""
    return re.sub(r"([*?\[\]\\^])", r"\\\1", text)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server (or Sentinel): `host` and `port`, or the `path` of a unix socket."""

    host: str = "127.0.0.1"
    port: int = 6379
    path: str = ""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    db: int = 0

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Channels:
    """What to subscribe to; no channel is matched twice."""

    #: For PSUBSCRIBE, special characters escaped.
    patterns: tuple[str, ...]
    #: For SUBSCRIBE.
    exact: tuple[str, ...]
    #: Events may be published on two of these channels at once (kombu's `sentinel_fanout_compat`).
    twice: bool = False


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """The broker as Celery's settings describe it."""

    #: Servers to try in turn; where `master_name` is set, the Sentinels to ask.
    endpoints: tuple[Endpoint, ...]
    #: The URL without passwords.
    shown: str
    db: int
    #: Name of the master that Sentinels watch, "" without Sentinel.
    master_name: str = ""
    sentinel_kwargs: Mapping[str, Any] = field(default_factory=dict, repr=False)
    min_other_sentinels: int = 0
    #: redis-py's `ssl_*` arguments; None for a plain connection.
    tls: Mapping[str, Any] | None = field(default=None, repr=False)
    #: Dotted name of a redis.CredentialProvider, "" for none.
    credential_provider: str = ""
    connect_timeout: float = TIMEOUT
    timeout: float = TIMEOUT
    global_keyprefix: str = ""
    #: As configured: `{db}` not yet replaced; "" for none.
    fanout_prefix: str = FANOUT_PREFIX
    sentinel_fanout_compat: bool = False
    separator: str = SEPARATOR
    priority_steps: tuple[int, ...] = PRIORITY_STEPS
    unacked_key: str = "unacked"

    def key(self, name: str) -> str:
        """A key as it is in the database."""
        return self.global_keyprefix + name

    def queue_keys(self, queue: str) -> tuple[tuple[int, str], ...]:
        """The lists that make up a queue: (priority step, key)."""
        return tuple(
            (step, self.key(f"{queue}{self.separator}{step}" if step else queue)) for step in self.priority_steps
        )

    def channel(self, exchange: str) -> str:
        """The channel that `exchange` publishes to where there is no routing key."""
        return self.global_keyprefix + self.fanout_prefix.format(db=self.db) + exchange

    def channels(self, exchange: str) -> Channels:
        """What carries the events of `exchange`: with routing keys (`…/task.sent`) and without."""
        names = [self.channel(exchange)]
        literal = self.global_keyprefix + self.fanout_prefix + exchange
        # kombu before 5.4 published to a literal "{db}" through Sentinel.
        if self.master_name and literal not in names:
            names.append(literal)
        return Channels(
            patterns=tuple(escape_glob(name) + "/*" for name in names),
            exact=tuple(names),
            twice=self.sentinel_fanout_compat and len(names) > 1,
        )

    @classmethod
    def from_settings(cls, settings: Settings) -> RedisOptions:
        """Read broker URL, broker_options and broker_ssl; raises `SettingsError`."""
        try:
            return cls._read(settings)
        except (TypeError, ValueError) as error:
            raise SettingsError(f"broker or broker_options of {mask_url(settings.broker)!r}: {error}") from error

    @classmethod
    def _read(cls, settings: Settings) -> RedisOptions:
        options = settings.broker_options
        urls = [_split(url) for url in settings.broker.split(";") if url.strip()]
        if not urls:
            raise SettingsError("no broker URL is set. Give one by --broker, such as redis://localhost:6379/0")
        sentinel = urls[0].scheme == "sentinel"
        query = dict(parse_qsl(urls[0].query))
        endpoints = tuple(_endpoint(url) for url in urls)
        return cls(
            endpoints=endpoints,
            shown=mask_url(settings.broker),
            db=endpoints[0].db,
            master_name=_master_name(options) if sentinel else "",
            sentinel_kwargs=dict(options.get("sentinel_kwargs") or {}),
            min_other_sentinels=int(options.get("min_other_sentinels") or 0),
            tls=_tls(urls[0].scheme, query, settings.broker_ssl),
            credential_provider=query.get("credential_provider", ""),
            connect_timeout=_seconds(options, "socket_connect_timeout"),
            timeout=_seconds(options, "socket_timeout"),
            global_keyprefix=str(options.get("global_keyprefix") or ""),
            fanout_prefix=_fanout_prefix(options.get("fanout_prefix", True)),
            sentinel_fanout_compat=bool(options.get("sentinel_fanout_compat", False)),
            separator=str(options.get("sep") or SEPARATOR),
            priority_steps=tuple(int(step) for step in options.get("priority_steps") or PRIORITY_STEPS),
            unacked_key=str(options.get("unacked_key") or "unacked"),
        )


def _split(url: str) -> SplitResult:
    parts = urlsplit(url.strip())
    if parts.scheme not in _SCHEMES:
        raise SettingsError(
            f"broker {mask_url(url)!r} is no Redis URL. It begins with one of {', '.join(s + '://' for s in _SCHEMES)}"
        )
    return parts


def _endpoint(url: SplitResult) -> Endpoint:
    query = dict(parse_qsl(url.query))
    username = unquote(url.username) if url.username else None
    password = unquote(url.password) if url.password else None
    if url.scheme in ("redis+socket", "unix"):
        # kombu calls the database of a socket virtual_host, redis-py calls it db.
        db = _database(query.get("virtual_host", query.get("db", "")))
        return Endpoint(path=unquote(url.path), username=username, password=password, db=db)
    port = url.port or (26379 if url.scheme == "sentinel" else 6379)
    host = unquote(url.hostname) if url.hostname else "127.0.0.1"
    return Endpoint(host, port, "", username, password, _database(unquote(url.path).lstrip("/")))


def _database(text: str) -> int:
    try:
        return int(text) if text else 0
    except ValueError as error:
        raise SettingsError(
            f"broker: the database is a number such as the 3 in redis://host/3, not {text!r}"
        ) from error


def _master_name(options: Mapping[str, Any]) -> str:
    name = options.get("master_name")
    if not name:
        raise SettingsError(
            "a sentinel:// broker needs the name of its master. "
            """Give it by --broker-options '{"master_name": "mymaster"}', as in Celery's broker_transport_options"""
        )
    return str(name)


def _seconds(options: Mapping[str, Any], name: str) -> float:
    value = options.get(name)
    try:
        # A bound of our own, as "for ever" is kombu's default.
        return min(float(value), 30.0) if value else TIMEOUT
    except (TypeError, ValueError) as error:
        raise SettingsError(f"broker_options: {name} is a number of seconds, not {value!r}") from error


def _fanout_prefix(value: Any) -> str:
    if not value:
        return ""
    prefix = value if isinstance(value, str) else FANOUT_PREFIX
    try:
        prefix.format(db=0)
    except (KeyError, IndexError, ValueError) as error:
        raise SettingsError(
            f"broker_options: fanout_prefix {prefix!r} may hold {{db}} and no other braces (kombu formats it)"
        ) from error
    return prefix


def _tls(scheme: str, query: Mapping[str, str], broker_ssl: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """redis-py's arguments, from names with and without `ssl_`; the server's certificate is verified unless told."""
    given = {key if key.startswith("ssl_") else f"ssl_{key}": value for key, value in broker_ssl.items()}
    given |= {key: value for key, value in query.items() if key.startswith("ssl_")}
    if scheme != "rediss" and not given:
        return None
    if "ssl_cert_reqs" in given:
        raw = given["ssl_cert_reqs"]
        text = str(int(raw)) if isinstance(raw, int) else str(raw).lower().removeprefix("cert_")
        given["ssl_cert_reqs"] = _CERT_REQS.get(text, text)
        if given["ssl_cert_reqs"] not in _CERT_REQS.values():
            raise SettingsError(f"broker_ssl: ssl_cert_reqs is none, optional or required, not {raw!r}")
    if "ssl_check_hostname" in given:
        given["ssl_check_hostname"] = str(given["ssl_check_hostname"]).lower() != "false"
    return given
