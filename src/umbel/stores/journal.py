"""What people enter and the store keeps beside what it captured: deploys, errors that they call resolved, shared views.

Several webs may write at once; of one kind and key the latest entry counts. One suite holds all engines to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from umbel.errors import StoreError

#: Entries kept of each kind; the oldest go first.
ENTRIES: Final = 10_000
#: Bytes of one entry's texts as JSON.
BYTES: Final = 4_096
#: Characters of a key.
KEY: Final = 200


class Kind(StrEnum):
    """What an entry is about; the value is part of the stored form."""

    DEPLOY = "deploy"
    #: The key is a failure's fingerprint.
    RESOLVED = "resolved"
    #: A search that all may come back to; the key is its name.
    VIEW = "view"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry; `at` is wall time, UTC seconds."""

    kind: Kind
    key: str
    at: float
    texts: Mapping[str, str] = field(default_factory=dict)


class Journal(Protocol):
    """May be used from any thread; raises `StoreError`, and `StoreBusy` where a later try may succeed."""

    def put(self, entry: Entry) -> None:
        """Keep the entry, in place of the one of the same kind and key."""
        ...

    def drop(self, kind: Kind, key: str) -> None:
        """Forget an entry; nothing happens where there is none."""
        ...

    def read(self, kind: Kind, limit: int = ENTRIES, since: float = 0.0) -> Sequence[Entry]:
        """The newest first, those from `since` (UTC seconds) on."""
        ...

    def close(self) -> None: ...


def packed(entry: Entry) -> str:
    """The texts as they are stored; raises `StoreError` where entry or key is longer than the bound."""
    data = msgspec.json.encode(dict(entry.texts)).decode()
    if len(data.encode()) > BYTES or not 0 < len(entry.key) <= KEY:
        raise StoreError(f"an entry may have {BYTES:,} bytes of text and a key of 1 to {KEY} characters; shorten it")
    return data


def unpacked(kind: Kind, key: str, at: float, data: str) -> Entry:
    """The entry that was stored."""
    return Entry(kind, key, at, msgspec.json.decode(data, type=dict[str, str]))
