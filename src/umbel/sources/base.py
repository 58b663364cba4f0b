"""The collector's only view of a broker: batches of undecoded messages, and a position to commit afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from umbel.model.event import EventClass
from umbel.model.ledger import LedgerEntry, Reason


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one batch may hold, and how long to wait for the first of it."""

    messages: int = 5_000
    bytes: int = 16 * 1024 * 1024
    #: Seconds to wait while there is nothing.
    wait: float = 0.25


@dataclass(slots=True)
class Batch:
    """Messages in the order they came; exactly one of `envelopes` and `bodies` has any."""

    #: kombu virtual messages, as Redis carries them.
    envelopes: Sequence[bytes] = ()
    #: Bare bodies with their content type, as AMQP carries them.
    bodies: Sequence[tuple[bytes, str]] = ()
    #: Bytes of all messages; 0 where nobody has counted them.
    bytes: int = 0
    #: What to hand to `commit` once this batch is stored; also what the store keeps.
    position: str | None = None
    #: Wall time at which the first of the messages was captured.
    captured_at: float = 0.0
    #: What the source itself had to discard (received, not in the messages), by reason and class.
    discarded: Mapping[tuple[Reason, EventClass], int] = field(default_factory=dict)
    #: Entries for the ledger: the discarded ones with their spans, and what was lost before capture (estimated).
    ledger: Sequence[LedgerEntry] = ()
    #: Others read the same source, so that what is missing here is with them: no loss can be reckoned from it.
    shared: bool = False
    #: Whether the limits ended it although they were not reached to the message: the next one waited and did not fit.
    more: bool = False

    def __len__(self) -> int:
        return len(self.envelopes) + len(self.bodies)


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How a source fares, for pages, `/readyz` and metrics."""

    connected: bool
    #: Since when (wall time) it is connected or not.
    since: float
    #: The latest error in one line, "" while all is well.
    error: str = ""
    #: What keeps the broker from taking events although it is connected, in one line; "" while nothing does.
    alarm: str = ""
    reconnects: int = 0
    #: Events captured and not yet committed, as far as the source can tell.
    backlog_events: int = 0
    #: Bytes buffered and their bound (0 where the broker holds them).
    buffer_bytes: int = 0
    buffer_limit: int = 0
    #: Wall time at which the oldest waiting event was captured; 0 where none waits.
    oldest_at: float = 0.0
    #: Names of buffer files set aside because they could not be read, the newest first.
    set_aside: Sequence[str] = ()


class Positions(Protocol):
    """What the store keeps for sources; a `StoreWriter` is one, used by the thread that polls, once it is open."""

    def positions(self, prefix: str) -> Mapping[str, str]:
        """The position last committed for each source whose name begins with `prefix`, by its name."""
        ...

    def forget(self, source: str) -> None:
        """Drop the position of a source that will never be read again."""
        ...


class Source(Protocol):
    """One thread uses it. It reconnects by itself: `poll` returns empty batches meanwhile, `status` says why."""

    #: Under which the store keeps the position: the same after a restart, unless others share the source and their
    #: positions are looked for by how their names begin.
    name: str

    def open(self, position: str | None) -> None:
        """Begin after `position` (None: at the beginning of what there is). Raises `SourceError` or `BrokerError` only
        for what no waiting can mend.
        """
        ...

    def poll(self, limits: Limits) -> Batch:
        """The next messages; an empty batch after `limits.wait` seconds of nothing."""
        ...

    def commit(self, position: str) -> None:
        """Everything up to `position` is stored: acknowledge or delete it."""
        ...

    def finished(self) -> bool:
        """Whether nothing will ever come again (a recording at its end)."""
        ...

    def status(self) -> SourceStatus: ...

    def close(self) -> None:
        """Stop and free what is held; what was not committed comes again at the next `open`."""
        ...
