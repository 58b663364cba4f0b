"""What a store does on the side, a little at a time: retention, rollups, bounds; by the collector that has the lease.

Doing it twice is harmless: of a span that is rolled up the latest version counts, while nothing was written since.
What is deleted is named key by key, as replicas of a table want it.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from umbel.clock import Clock
from umbel.retention import Retention
from umbel.stores.base import Maintenance
from umbel.stores.clickhouse import books, schema, workers
from umbel.stores.clickhouse.connection import Connection
from umbel.stores.clickhouse.holdings import PARTED, spans_by_part
from umbel.stores.clickhouse.lease import Lease
from umbel.stores.clickhouse.scan import Range
from umbel.stores.clickhouse.size import bytes_of
from umbel.stores.clickhouse.spans import SQL as SPANS
from umbel.stores.clickhouse.spans import Span, cells_of, spans_of, tasks_in
from umbel.stores.clickhouse.weed import Weeding
from umbel.stores.sqlfile import load

#: Rows and bytes (0: any) kept of each kind of entry; the oldest go first.
BOUNDS: Final = {"ledger": (50_000, 0), "quarantine": (1_000, 16 * 1024 * 1024), "name": (10_000, 0)}
#: Seconds between two rounds of pruning.
PRUNE_SECONDS: Final = 60.0
#: A round should take about this many seconds.
ROUND: Final = 0.05
#: Spans rolled up at once, at most.
SPANS_AT_ONCE: Final = 288
#: Keys named in one deletion: they must fit into one parameter.
KEYS: Final = 1_000
#: Share of the shortest age after which a collector no longer adds to where it saw a task: it may have been dropped.
KNOWN: Final = 0.5
#: Seconds after which nobody reads rows of a version that was replaced.
OLD_VERSION: Final = 600.0

SQL: Final = load(Path(__file__).with_name("upkeep.sql"))

log: Final = logging.getLogger(__name__)


class Upkeep:
    """Remembers what is under way."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._layout = connection.target.layout
        self.lease = Lease(connection)
        self._weeding = Weeding(connection)
        self._at_once = 4
        self._pruned_at = 0.0
        self._replaced = False
        self._dropped: list[Range] = []

    def step(self, retention: Retention, now: float) -> Maintenance:
        """One bounded piece of work."""
        prune = abs(now - self._pruned_at) >= PRUNE_SECONDS
        if prune:
            self._pruned_at = now
            if retention.shortest is not None:
                self._dropped.append((0, max(0, int((now - retention.shortest * KNOWN) * 1e6))))
        if not self.lease.held(now):
            return Maintenance()
        if prune:
            self._prune(retention, now)
        spans = spans_of(self._connection)
        part = self._expired(spans, retention, now)
        if part is not None:
            return self._drop(part, spans)
        self._roll(spans, now)
        return Maintenance(self._weeding.step(spans, retention, now))

    def take_dropped(self) -> Sequence[Range]:
        """The ranges of n that were dropped since this was asked, or may be soon."""
        dropped, self._dropped = self._dropped, []
        return dropped

    # Retention

    def _expired(self, spans: Sequence[Span], retention: Retention, now: float) -> int | None:
        """The oldest part that need not be kept; for its bytes, never the newest."""
        held = spans_by_part(self._connection, spans)
        touched = {part: max(span.touched_at for span in its) for part, its in held.items()}
        parts = sorted(touched)
        if retention.longest is not None:
            for part in parts:
                if touched[part] < now - retention.longest:
                    return part
        if retention.size and len(parts) > 1 and bytes_of(self._connection) > retention.size:
            return parts[0]
        return None

    def _drop(self, part: int, spans: Sequence[Span]) -> Maintenance:
        """Drop a part: its rows first, then its spans; a crash between is made good by the next round."""
        low, high = part * self._layout.part, (part + 1) * self._layout.part
        bounds = {"low": low, "high": high}
        before = bytes_of(self._connection)
        tasks = self._connection.query(SQL["tasks_of_part"], bounds)[0][0]
        self._touch_left_behind(part, spans)
        for table in PARTED:
            self._run("drop_part", table=table, number=part)
        first, end = low // self._layout.span, high // self._layout.span
        self._connection.command(self._sql("drop_spans"), {"low": first, "high": end})
        self._dropped.append((low, high))
        freed = max(0, before - bytes_of(self._connection))
        log.info("dropped part %d: %d tasks, %d bytes", part, tasks, freed)
        return Maintenance(tasks, freed)

    def _touch_left_behind(self, part: int, spans: Sequence[Span]) -> None:
        """Spans that get tasks because the part goes where these began are no longer clean."""
        low, high = part * self._layout.part, (part + 1) * self._layout.part
        known = {span.number: span for span in spans}
        sql = schema.fill(SQL["left_behind"], self._connection.target, span=self._layout.span)
        rows = []
        for (number,) in self._connection.query(sql, {"low": low, "high": high}):
            if number in known:
                span = known[number]
                key = f"{number} part {part}"
                row = books.entry_row(
                    "touch", key, 1, span.touched_at, number=number, first=span.first_at, last=span.last_at
                )
                rows.append(row)
        self._connection.insert("entry", books.COLUMNS, rows)

    # Rollups

    def _roll(self, spans: Sequence[Span], now: float) -> None:
        """Compute the rows of spans that were written to, but not of the newest: it will be again."""
        dirty = [span for span in spans[:-1] if not span.clean][: self._at_once]
        if not dirty:
            return
        began = self._clock.monotonic()
        numbers = [span.number for span in dirty]
        version = max(max(span.version for span in dirty) + 1, int(now * 1e6) * 1_000 + secrets.randbelow(1_000))
        cells = cells_of(numbers, self._layout.span)
        self._connection.command(SPANS["put_rollup"].replace("$cells", cells), {"version": version})
        tasks = tasks_in(self._connection, numbers)
        rows = [
            books.entry_row(
                "rolled",
                str(span.number),
                version,
                now,
                number=span.number,
                other=span.touches,
                data=str(tasks.get(span.number, 0)),
            )
            for span in dirty
        ]
        self._connection.insert("entry", books.COLUMNS, rows)
        self._replaced = self._replaced or any(span.version for span in dirty)
        took = self._clock.monotonic() - began
        if took > 2 * ROUND:
            self._at_once = max(1, self._at_once // 2)
        elif took < ROUND:
            self._at_once = min(SPANS_AT_ONCE, self._at_once * 2)

    # Bounds

    def _prune(self, retention: Retention, now: float) -> None:
        self._prune_workers(retention, now)
        for kind, rows, size in self._connection.query(SQL["sizes"]):
            most, most_bytes = BOUNDS[kind]
            if rows > most or (most_bytes and size > most_bytes):
                bounds = {"kind": kind, "rows": most, "bytes": most_bytes}
                for at, key in self._connection.query(SQL["last_kept"], bounds):
                    self._connection.command(self._sql("trim"), {"kind": kind, "at": at, "key": key})
        if self._replaced:
            before = int((now - OLD_VERSION) * 1e6) * 1_000
            self._replaced = self._delete("rollups", {"before": max(before, 0)}) == KEYS

    def _prune_workers(self, retention: Retention, now: float) -> None:
        oldest = now - retention.longest if retention.longest is not None else 0.0
        for (seen_at,) in self._connection.query(SQL["surplus_workers"], {"rows": workers.ROWS}):
            oldest = max(oldest, seen_at)
        self._delete("workers", {"oldest": oldest})

    def _delete(self, what: str, bounds: Mapping[str, float]) -> int:
        """Delete some that are too old; how many."""
        old = self._connection.query(SQL[f"old_{what}"], {**bounds, "most": KEYS})
        if old:
            self._connection.command(self._sql(f"drop_old_{what}"), {"old": list(old)})
        return len(old)

    def _sql(self, name: str) -> str:
        return schema.fill(SQL[name], self._connection.target)

    def _run(self, name: str, **words: str | int) -> None:
        self._connection.command(schema.fill(SQL[name], self._connection.target, **words))
