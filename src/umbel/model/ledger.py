"""What could not be captured or kept: the ledger, the quarantine and the books."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from umbel.model.event import EventClass


class Reason(StrEnum):
    """Why an event is not in the store."""

    #: The spool was full; the lowest class went first.
    SPOOL_FULL = "spool_full"
    #: The broker's bounded queue dropped its oldest messages.
    QUEUE_FULL = "queue_full"
    #: The broker cut us off or was away; what passed meanwhile is estimated.
    DISCONNECTED = "disconnected"
    #: Fewer `task-started` arrived than a worker's `processed` counter says it started; estimated.
    NOT_SENT = "not_sent"
    #: The serializer is one that Umbel refuses to run (pickle, yaml, ...).
    CONTENT_TYPE = "content_type"
    #: Not a Celery event; its raw bytes are in the quarantine.
    MALFORMED = "malformed"
    #: The spool or store was damaged; what it held is counted or estimated.
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One kind of loss in one span of time; entries of the same kind that touch may be joined by a store."""

    reason: Reason
    event_class: EventClass
    #: UTC seconds; the span in which the events were emitted or captured.
    first_at: float
    last_at: float
    #: Events.
    count: int
    #: Lost before capture: the count is an estimate and not part of `received`.
    estimated: bool = False
    #: The worker that missed events were reckoned for, or "".
    worker: str = ""
    #: One line for people, or "".
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An event that could not be understood, with the bytes that came (cut at a bound)."""

    at: float
    reason: Reason
    #: What the decoder said.
    error: str
    content_type: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Books:
    """Counts of events since the store was made; `received = stored + sum(discarded) + in flight`."""

    received: int = 0
    stored: int = 0
    discarded: Mapping[tuple[Reason, EventClass], int] = field(default_factory=dict)
    #: Lost before capture, by worker ("" where it cannot be told).
    missed_estimate: Mapping[str, int] = field(default_factory=dict)
