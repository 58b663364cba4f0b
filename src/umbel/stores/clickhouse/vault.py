"""Credentials as rows that replace each other: what is dropped is a row that says so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from umbel.access.base import LISTED, Credential, Kind
from umbel.clock import Clock
from umbel.stores.clickhouse.connection import Connection
from umbel.stores.clickhouse.schema import Prepared
from umbel.stores.clickhouse.target import Target
from umbel.stores.credentials import credential_of, row_of
from umbel.stores.sqlfile import load

_SQL: Final = load(Path(__file__).with_name("vault.sql"))
_COLUMNS: Final = {
    "digest": "String",
    "kind": "LowCardinality(String)",
    "owner": "String",
    "created_at": "Float64",
    "expires_at": "Float64",
    "about": "String",
    "gone": "UInt8",
}
#: Seconds that the server has for an answer.
PATIENCE: Final = 5.0


class ClickHouseVault:
    """`umbel.access.base.Vault`; on a cluster, another replica sees a change once it has it, within seconds."""

    def __init__(self, target: Target, *, clock: Clock) -> None:
        self._connection = Connection(target)
        self._opened = Prepared(self._connection, clock).opened

    def put(self, credential: Credential) -> None:
        self._opened().insert("credential", _COLUMNS, [(*row_of(credential), 0)])

    def get(self, digest: str) -> Credential | None:
        found = self._query("get", digest=digest)
        return credential_of(found[0]) if found else None

    def listed(self, kind: Kind, owner: str | None = None) -> Sequence[Credential]:
        rows = self._query("listed", kind=kind.value, any=int(owner is None), owner=owner or "", limit=LISTED)
        return [credential_of(row) for row in rows]

    def drop(self, digest: str) -> None:
        self._opened().command(_SQL["drop"], {"digest": digest})

    def drop_all(self, kind: Kind, owner: str) -> None:
        self._opened().command(_SQL["drop_all"], {"kind": kind.value, "owner": owner})

    def prune(self, now: float) -> None:
        self._opened().command(_SQL["prune"], {"now": now})

    def close(self) -> None:
        self._connection.close()

    def _query(self, statement: str, **parameters: Any) -> Sequence[Sequence[Any]]:
        return self._opened().query(_SQL[statement], parameters, seconds=PATIENCE)
