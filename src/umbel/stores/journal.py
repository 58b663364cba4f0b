"""What webs enter and the store keeps beside what it captured, so that all of them know it.

People enter deploys, errors that they call resolved, views; webs themselves what no event tells: new runs of
tasks, what became of tasks without an end. Several may write at once; of one kind and key the latest entry counts. One
suite holds all engines to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Final, Protocol

import msgspec

from umbel.errors import StoreError

#: Entries kept of each kind, and of new runs; the oldest go first.
ENTRIES: Final = 10_000
RUNS: Final = 200_000
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
    #: A search of one person's own; the key is a digest of theirs, a slash, and its name (see `umbel.web.pages.views`).
    OWN_VIEW = "own-view"
    #: A new run of a task: an entry for each of the two, by its id (see `umbel.web.notes`).
    RUN = "run"
    #: What was found out about a task without an end; the key is its id.
    VERDICT = "verdict"
    #: An end that the result backend told of: it waits for a collector, which joins it into the task's record.
    END = "end"
    #: Who did last what one of several webs does for all; the key says what.
    TURN = "turn"
    #: How a part fares on another machine (see `umbel.runtime.heartbeat`); the key says which, and where.
    PART = "part"


def most(kind: Kind, entries: int = ENTRIES) -> int:
    """Entries that are kept of a kind, where `entries` are of the others."""
    return max(entries, RUNS) if kind is Kind.RUN else entries


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry; `at` is wall time, UTC seconds."""

    kind: Kind
    key: str
    at: float
    texts: Mapping[str, str] = field(default_factory=dict)


class Journal(Protocol):
    """May be used from any thread; raises `StoreError`, and `StoreBusy` where a later try may succeed."""

    def put(self, *entries: Entry) -> None:
        """Keep entries of one kind, all or none of them, each in place of the one of the same key."""
        ...

    def drop(self, kind: Kind, *keys: str) -> None:
        """Forget entries; nothing happens where there are none."""
        ...

    def read(self, kind: Kind, limit: int = ENTRIES, since: float = 0.0) -> Sequence[Entry]:
        """The newest first, those from `since` (UTC seconds) on."""
        ...

    def find(self, kind: Kind, keys: Sequence[str]) -> Mapping[str, Entry]:
        """Those of up to 1,000 keys, by key; unknown ones are left out."""
        ...

    def under(self, kind: Kind, stem: str, limit: int = ENTRIES) -> Sequence[Entry]:
        """Those whose key begins with `stem`, the newest first."""
        ...

    def close(self) -> None: ...


def key_of(text: str) -> str:
    """A key for any text: itself, or its digest where it is too long."""
    return text if 0 < len(text) <= KEY else sha256(text.encode(errors="surrogatepass")).hexdigest()


def fitted(texts: Mapping[str, str], *long: str) -> Mapping[str, str]:
    """The texts, those named `long` shortened until all of them fit the bound of an entry."""
    while len(msgspec.json.encode(dict(texts))) > BYTES and any(texts[name] for name in long):
        texts = {**texts, **{name: texts[name][: len(texts[name]) // 2] for name in long}}
    return texts


def packed(entry: Entry) -> str:
    """The texts as they are stored; raises `StoreError` where entry or key is longer than the bound."""
    data = msgspec.json.encode(dict(entry.texts)).decode()
    if len(data.encode()) > BYTES or not 0 < len(entry.key) <= KEY:
        raise StoreError(f"an entry may have {BYTES:,} bytes of text and a key of 1 to {KEY} characters; shorten it")
    return data


def unpacked(kind: Kind, key: str, at: float, data: str) -> Entry:
    """The entry that was stored."""
    return Entry(kind, key, at, msgspec.json.decode(data, type=dict[str, str]))
