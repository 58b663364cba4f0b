"""Counters that only grow: for each source and key its total so far, written in the block of each commit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from umbel.model.meter import Meter, Meters
from umbel.stores.base import Commit
from umbel.stores.clickhouse.books import Row, encode, entry_row
from umbel.stores.clickhouse.connection import Connection
from umbel.stores.pairs import Pairs

#: Parts the source and the labels in a key.
_APART: Final = "\x1f"


class Total(msgspec.Struct, array_like=True):
    """A row's content; with `at` 0 the pair was dropped."""

    kind: int
    a: str
    b: str
    c: str
    count: int
    seconds: float
    at: float


_decode: Final = msgspec.json.Decoder(Total).decode


class _Source:
    """What one source has counted."""

    def __init__(self, version: int, totals: dict[str, Total]) -> None:
        self.version = version
        self.totals = totals
        self.pairs = Pairs((total.kind, total.a, total.b, total.at) for total in totals.values() if total.at)


class MeterBook:
    """This writer's view of the counters; `rows` says what a commit adds, `adopt` that it is in."""

    def __init__(self, connection: Connection, sql: str) -> None:
        self._connection = connection
        self._sql = sql
        self._sources: dict[str, _Source] = {}
        self._next: tuple[_Source, dict[str, Total]] | None = None

    def rows(self, commit: Commit, source: str) -> list[Row]:
        """The totals that the commit changes; the same again for the same commit until `adopt`."""
        if not commit.meters:
            return []
        known = self._sources.get(source) or self._learn(source)
        added, gone = known.pairs.rows(commit.meters, commit.at)
        dropped = set(gone)
        changed = {
            key: Total(old.kind, old.a, old.b, old.c, 0, 0.0, 0.0)
            for key, old in known.totals.items()
            if dropped and (old.kind, old.a, old.b) in dropped
        }
        for kind, a, b, c, count, seconds, at in added:
            key = _APART.join((source, str(kind), a, b, c))
            before = changed.get(key) or known.totals.get(key)
            if before is None or kind == Meter.PREFETCH:
                changed[key] = Total(kind, a, b, c, count, seconds, at)
            else:
                changed[key] = Total(kind, a, b, c, before.count + count, before.seconds + seconds, at)
        self._next = (known, changed)
        version = known.version + 1
        return [entry_row("meter", key, version, commit.at, data=encode(total)) for key, total in changed.items()]

    def adopt(self) -> None:
        """The rows last made are in."""
        if self._next is not None:
            (known, changed), self._next = self._next, None
            known.version += 1
            known.totals.update(changed)

    def forget(self) -> None:
        """Nothing is certain any more."""
        self._sources.clear()
        self._next = None

    def _learn(self, source: str) -> _Source:
        found = self._connection.query(self._sql, {"prefix": source + _APART})
        version = max((version for _, version, _ in found), default=0)
        known = self._sources[source] = _Source(version, {key: _decode(data) for key, _, data in found})
        return known


def together(data: Iterable[str]) -> Meters:
    """The totals of all sources added up; of what is put and not added up, the latest."""
    sums: dict[tuple[int, str, str, str], tuple[int, float, float]] = {}
    for text in data:
        total = _decode(text)
        if not total.at:
            continue
        key = (total.kind, total.a, total.b, total.c)
        count, seconds, at = sums.get(key, (0, 0.0, 0.0))
        if total.kind == Meter.PREFETCH:
            seconds = total.seconds if total.at >= at else seconds
        else:
            seconds += total.seconds
        sums[key] = (count + total.count, seconds, max(at, total.at))
    meters = Meters()
    for (kind, a, b, label), (count, seconds, _) in sums.items():
        meters.add((kind, a, b), label, count, seconds)
    return meters
