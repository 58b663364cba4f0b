"""What travels in the spool beside the messages: counts of what was shed, and entries for the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from umbel.model.event import EventClass
from umbel.model.ledger import LedgerEntry, Reason

#: Characters of a ledger entry's texts that are kept.
TEXT: Final = 500
#: Ledger entries held back at once while nothing can be written; beyond it entries of one reason are joined.
HELD: Final = 16


@dataclass(slots=True)
class Span:
    """How many events of one class were shed, and when the first and the last of them had been captured."""

    count: int
    first_at: float
    last_at: float


@dataclass(slots=True)
class Notes:
    """Shed counts by class, and ledger entries in the order in which they were made."""

    shed: dict[EventClass, Span] = field(default_factory=dict)
    ledger: list[LedgerEntry] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.shed or self.ledger)

    @property
    def events(self) -> int:
        """Events that these notes account for: shed, or captured and lost."""
        counted = sum(entry.count for entry in self.ledger if not entry.estimated)
        return counted + sum(span.count for span in self.shed.values())

    def add(self, event_class: EventClass, count: int, at: float) -> None:
        """Count `count` events captured at `at` as shed."""
        self.join(event_class, Span(count, at, at))

    def join(self, event_class: EventClass, span: Span) -> None:
        """Join a span of shed events to those of its class."""
        known = self.shed.get(event_class)
        if known is None:
            self.shed[event_class] = Span(span.count, span.first_at, span.last_at)
            return
        known.count += span.count
        known.first_at = min(known.first_at, span.first_at)
        known.last_at = max(known.last_at, span.last_at)

    def update(self, other: Notes) -> None:
        """Join all of another's notes to these."""
        for event_class, span in other.shed.items():
            self.join(event_class, span)
        self.ledger.extend(other.ledger)

    def entries(self) -> list[LedgerEntry]:
        """Everything as ledger entries."""
        shed = [
            LedgerEntry(Reason.SPOOL_FULL, event_class, span.first_at, span.last_at, span.count)
            for event_class, span in self.shed.items()
        ]
        return [*shed, *self.ledger]

    def bound(self) -> None:
        """Join ledger entries of one kind until at most `HELD` are left; their texts become the newest one's."""
        if len(self.ledger) <= HELD:
            return
        joined: dict[tuple[Reason, EventClass, bool], LedgerEntry] = {}
        for entry in self.ledger:
            key = (entry.reason, entry.event_class, entry.estimated)
            known = joined.get(key)
            joined[key] = entry if known is None else _join(known, entry)
        # Reasons, classes and the flag are enumerations, so what is left is bounded too.
        self.ledger = list(joined.values())


def _join(one: LedgerEntry, other: LedgerEntry) -> LedgerEntry:
    return replace(
        other,
        first_at=min(one.first_at, other.first_at),
        last_at=max(one.last_at, other.last_at),
        count=one.count + other.count,
    )


def to_value(notes: Notes) -> dict[str, Any]:
    """The notes as plain JSON values."""
    return {
        "shed": [[event_class, span.count, span.first_at, span.last_at] for event_class, span in notes.shed.items()],
        "ledger": [_fields(entry) for entry in notes.ledger],
    }


def _fields(entry: LedgerEntry) -> dict[str, Any]:
    return {
        "reason": entry.reason,
        "event_class": entry.event_class,
        "first_at": entry.first_at,
        "last_at": entry.last_at,
        "count": entry.count,
        "estimated": entry.estimated,
        "worker": entry.worker[:TEXT],
        "detail": entry.detail[:TEXT],
    }


def from_value(value: dict[str, Any]) -> Notes:
    """The notes that `to_value` gave; raises `ValueError`, `KeyError` or `TypeError` for anything else."""
    return Notes(
        {EventClass(name): Span(int(count), float(first), float(last)) for name, count, first, last in value["shed"]},
        [_entry(fields) for fields in value["ledger"]],
    )


def _entry(fields: dict[str, Any]) -> LedgerEntry:
    known = {"reason": Reason(fields["reason"]), "event_class": EventClass(fields["event_class"])}
    return LedgerEntry(**(fields | known))


def encode(notes: Notes) -> bytes:
    """The notes as they lie in a frame; nothing for none."""
    return json.dumps(to_value(notes), separators=(",", ":")).encode() if notes else b""


def decode(raw: bytes) -> Notes:
    """The notes of a frame; raises as `from_value` does."""
    return from_value(json.loads(raw)) if raw else Notes()


def merged(several: Iterable[Notes]) -> Notes:
    """The notes of all."""
    out = Notes()
    for notes in several:
        out.update(notes)
    return out
