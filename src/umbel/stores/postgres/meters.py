"""Counters that only grow: each collector adds to rows of its own, in the transaction of its commit."""

from __future__ import annotations

from collections.abc import Mapping

from umbel.model.meter import Counters, Meter, Pair
from umbel.stores.pairs import Pairs
from umbel.stores.postgres.session import Session
from umbel.stores.postgres.text import stored, told


class MeterRows:
    """Writes what a commit adds through one session; knows which labels there are."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._pairs: Pairs | None = None

    def write(self, meters: Mapping[Pair, Counters], now: float) -> None:
        """Add to the rows, inside the caller's transaction."""
        session = self._session
        if self._pairs is None:
            known = session.execute("meter_pairs", session.slot).fetchall()
            self._pairs = Pairs((kind, told(a), told(b), at) for kind, a, b, at in known)
        rows, gone = self._pairs.rows(meters, now)
        for kind, a, b in gone:
            session.execute("drop_meter", session.slot, kind, stored(a), stored(b))
        if not rows:
            return
        kinds, firsts, seconds, thirds, counts, sums, times = zip(*rows, strict=True)
        labels = ([stored(text) for text in column] for column in (firsts, seconds, thirds))
        session.execute(
            "add_meters", session.slot, int(Meter.PREFETCH), list(kinds), *labels, list(counts), list(sums), list(times)
        )

    def forget(self) -> None:
        """The transaction was undone: what is known must be read again."""
        self._pairs = None
