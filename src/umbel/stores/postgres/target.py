"""Which database and schema a store's URL names."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlencode
from zlib import crc32

import psycopg
from psycopg.conninfo import conninfo_to_dict

from umbel.errors import StoreError

#: Where the tables lie unless the URL says `?schema=`.
SCHEMA: Final = "umbel"
_EXAMPLE: Final = "give --store postgresql://USER@HOST/DATABASE, as in postgresql://umbel@db.internal/umbel"


@dataclass(frozen=True, slots=True)
class Target:
    """A schema of a database; as text it is the URL without its password."""

    #: For libpq: everything of the URL but the schema.
    conninfo: str = field(repr=False)
    schema: str
    shown: str

    def __str__(self) -> str:
        return self.shown

    @property
    def channel(self) -> str:
        """Where commits are notified."""
        return f"umbel:{self.schema}"

    @property
    def lock_space(self) -> int:
        """The first of the two numbers of every advisory lock of this store."""
        return crc32(f"umbel.{self.schema}".encode()) - (1 << 31)


def path_of(url: str) -> Target:
    """What a URL such as `postgresql://umbel@db.internal/umbel?schema=team` names; other parameters are libpq's."""
    try:
        place, _, query = url.partition("?")
        parameters = parse_qsl(query, keep_blank_values=True)
        schema = next((value for name, value in parameters if name == "schema"), SCHEMA)
        rest = urlencode([(name, value) for name, value in parameters if name != "schema"])
        conninfo = f"{place}?{rest}" if rest else place
        named = conninfo_to_dict(conninfo)
        ports = [int(port) for port in str(named.get("port") or "5432").split(",")]
    except (ValueError, psycopg.ProgrammingError) as error:
        raise StoreError(f"the store's URL cannot be read ({str(error).strip()}); {_EXAMPLE}") from error
    if not all(0 < port < 65_536 for port in ports):
        raise StoreError(f"the store's URL names a port that cannot be; {_EXAMPLE}")
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,50}", schema) or schema.startswith("pg_"):
        raise StoreError(f"{schema!r} is no name for a schema: use a-z, 0-9 and _; {_EXAMPLE}")
    user, host, port = named.get("user"), named.get("host") or "", named.get("port")
    shown = f"postgresql://{f'{user}@' if user else ''}{host}{f':{port}' if port else ''}/{named.get('dbname') or ''}"
    return Target(conninfo, schema, shown if schema == SCHEMA else f"{shown}?schema={schema}")
