"""Commits as the collector makes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from umbel.model.event import AnyEvent, EventClass
from umbel.model.gather import gather
from umbel.model.ledger import LedgerEntry, Quarantined, Reason
from umbel.model.meter import Metering
from umbel.model.worker import fold_workers
from umbel.stores.base import Commit


def collected(
    events: Iterable[AnyEvent],
    now: float,
    *,
    discarded: Mapping[tuple[Reason, EventClass], int] | None = None,
    ledger: Sequence[LedgerEntry] = (),
    quarantine: Sequence[Quarantined] = (),
) -> Commit:
    """What the collector would write for these events, captured and committed at `now`."""
    known = list(events)
    return Commit(
        at=now,
        tasks=gather(known),
        workers=fold_workers(known, now),
        stored=len(known),
        discarded=discarded or {},
        ledger=ledger,
        quarantine=quarantine,
        captured_at=now,
        meters=Metering().count(gather(known)),
    )
