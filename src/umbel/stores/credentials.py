"""A credential as the row that every store keeps: digest, kind, owner, created_at, expires_at, about (JSON)."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from umbel.access.base import LISTED, Credential, Kind


def row_of(credential: Credential) -> tuple[str, str, str, float, float, str]:
    """The row of a credential."""
    about = json.dumps(dict(credential.about))
    return (
        credential.digest,
        credential.kind.value,
        credential.owner,
        credential.created_at,
        credential.expires_at,
        about,
    )


def credential_of(row: Sequence[Any]) -> Credential:
    """The credential of a row."""
    digest, kind, owner, created_at, expires_at, about = row
    return Credential(digest, Kind(kind), owner, created_at, expires_at, json.loads(about))


class SqlVault(ABC):
    """`umbel.access.base.Vault` by statements of these names, whose parameters stand in the order of the arguments."""

    def put(self, credential: Credential) -> None:
        self._run("put", *row_of(credential))

    def get(self, digest: str) -> Credential | None:
        found = self._run("get", digest)
        return credential_of(found[0]) if found else None

    def listed(self, kind: Kind, owner: str | None = None) -> Sequence[Credential]:
        return [credential_of(row) for row in self._run("listed", kind.value, owner, owner, LISTED)]

    def drop(self, digest: str) -> None:
        self._run("drop", digest)

    def drop_all(self, kind: Kind, owner: str) -> None:
        self._run("drop_all", kind.value, owner)

    def prune(self, now: float) -> None:
        self._run("prune", now)

    @abstractmethod
    def _run(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
        """The rows of a named statement."""
