"""How many bytes a store takes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from umbel.stores.clickhouse.connection import Connection
from umbel.stores.sqlfile import load

_SQL: Final = load(Path(__file__).with_name("reader.sql"))


def bytes_of(connection: Connection) -> int:
    """Bytes on disk, on all servers of a cluster together."""
    target = connection.target
    name = "cluster_bytes" if target.cluster else "bytes"
    rows = connection.query(_SQL[name], {"database": target.database, "cluster": target.cluster})
    size: int = rows[0][0]
    return size
