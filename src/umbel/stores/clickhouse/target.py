"""Which server and database a URL names, and how its tables are laid out there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from umbel.errors import StoreError

SCHEMES: Final = ("clickhouse", "clickhouse+https")
#: ClickHouse's own ports for HTTP and HTTPS.
PORT: Final = 8123
SECURE_PORT: Final = 8443

_WORD: Final = re.compile(r"[A-Za-z_]\w{0,63}", re.ASCII).fullmatch
_EXAMPLE: Final = "give --store clickhouse://user:password@host:8123/database"


@dataclass(frozen=True, slots=True)
class Layout:
    """How tasks are laid out by when they were first seen, in microseconds; fixed when the tables are made."""

    #: One partition, which retention drops whole: a day.
    part: int = 86_400_000_000
    #: One unit of rollups, of which `part` is a multiple: five minutes.
    span: int = 300_000_000

    def part_of(self, span: int) -> int:
        """The part that a span lies in."""
        return span * self.span // self.part


@dataclass(frozen=True, slots=True)
class Target:
    """A database on a server, or on every server of a cluster."""

    host: str
    port: int = PORT
    database: str = "umbel"
    user: str = "default"
    password: str = ""
    secure: bool = False
    #: Whether the server's certificate is checked, and against which authority's file instead of the system's.
    verify: bool = True
    ca_cert: str | None = None
    #: The cluster of `remote_servers` over which tables are spread and replicated; "": this server alone.
    cluster: str = ""
    layout: Layout = Layout()

    @property
    def address(self) -> str:
        """The URL without user and password, for people."""
        scheme = "clickhouse+https" if self.secure else "clickhouse"
        return f"{scheme}://{self.host}:{self.port}/{self.database}"


def target_of(url: str) -> Target:
    """What a URL such as `clickhouse://user:password@host:8123/umbel?cluster=main` names; StoreError if nothing."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as error:
        raise StoreError(f"--store: the port is no number; {_EXAMPLE}") from error
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise StoreError(f"--store names no ClickHouse server; {_EXAMPLE}")
    secure = _flag(options, "secure", parts.scheme == "clickhouse+https")
    target = Target(
        host=parts.hostname,
        port=port or (SECURE_PORT if secure else PORT),
        database=unquote(parts.path).strip("/") or "umbel",
        user=unquote(parts.username or "default"),
        password=unquote(parts.password or ""),
        secure=secure,
        verify=_flag(options, "verify", default=True),
        ca_cert=options.pop("ca_cert", None),
        cluster=options.pop("cluster", ""),
    )
    if options:
        known = "secure, verify, ca_cert and cluster"
        raise StoreError(f"--store has an unknown option {', '.join(sorted(options))}; {known} are known")
    for what, word in (("database", target.database), ("cluster", target.cluster or "_")):
        if not _WORD(word):
            raise StoreError(f"--store: {word!r} cannot be a {what}; use letters, digits and _")
    return target


def _flag(options: dict[str, str], name: str, default: bool) -> bool:
    value = options.pop(name, None)
    if value is None:
        return default
    if value.lower() not in ("0", "1", "true", "false"):
        raise StoreError(f"--store: {name}={value} cannot be used; 0 or 1 is expected")
    return value.lower() in ("1", "true")
