"""What alerting remembers, as rows of the table `entry`; what is written together goes in as one block.

ClickHouse has no transactions: whoever wants the lead claims it, waits until every other claim must be there, and has
it if its own is the latest. Between the look at who leads and the write another may take it; the lease outlasts that.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from umbel.alerts.book import ROWS, NotLeading, Row, Shelf, checked, trimmed
from umbel.clock import Clock, SystemClock
from umbel.stores.clickhouse.books import COLUMNS, entry_row
from umbel.stores.clickhouse.books import Row as Stored
from umbel.stores.clickhouse.connection import Connection
from umbel.stores.clickhouse.schema import Prepared
from umbel.stores.clickhouse.target import Target
from umbel.stores.sqlfile import load

_SQL: Final = load(Path(__file__).with_name("alerts.sql"))
#: Seconds within which a claim that was made before ours is seen, and share of a lease that may not be renewed late.
SETTLED: Final = 1.0
LATE: Final = 0.25
_LEAD: Final = "alert-lead"


class ClickHouseAlertBook:
    """`umbel.alerts.book.AlertBook` in the store's database."""

    def __init__(self, target: Target, *, clock: Clock | None = None) -> None:
        self._connection = Connection(target)
        self._clock = clock or SystemClock()
        self._opened = Prepared(self._connection, self._clock).opened
        self._lock = threading.Lock()
        self._version = 0

    def lead(self, who: str, now: float, seconds: float) -> bool:
        before = self.leader()
        if before is not None and before[0] != who and before[1] > now:
            return False
        self._claim(who, now + seconds)
        if before is not None and before[0] == who and before[1] - now > LATE * seconds:
            return True
        self._clock.sleep(SETTLED)
        after = self.leader()
        return after is not None and after[0] == who

    def leave(self, who: str) -> None:
        found = self.leader()
        if found is not None and found[0] == who:
            self._claim(who, 0.0)

    def leader(self) -> tuple[str, float] | None:
        found = self._opened().query(_SQL["leader"], {})
        return (str(found[0][0]), float(found[0][1])) if found else None

    def read(self, shelf: Shelf, limit: int | None = None) -> Sequence[Row]:
        asked = {"kind": _kind(shelf), "limit": limit or ROWS[shelf]}
        return [Row(shelf, key, at, data) for key, at, data in self._opened().query(_SQL["read"], asked)]

    def write(self, puts: Sequence[Row], drops: Sequence[tuple[Shelf, str]] = (), leader: str = "") -> None:
        checked(puts)
        if leader and (self.leader() or ("",))[0] != leader:
            raise NotLeading
        version = self._next([*(row.shelf for row in puts), *(shelf for shelf, _key in drops)])
        # A key that is dropped and put is there afterwards, as in the others.
        rows = {(_kind(shelf), key): _row(_kind(shelf), key, version, 0.0, "") for shelf, key in drops}
        rows |= {
            (_kind(row.shelf), row.key): _row(_kind(row.shelf), row.key, version, row.at, row.data) for row in puts
        }
        self._opened().insert("entry", COLUMNS, list(rows.values()))
        for shelf in trimmed(puts):
            beyond = self._opened().query(_SQL["beyond"], {"kind": _kind(shelf), "rows": ROWS[shelf]})
            if beyond:
                gone = [_row(_kind(shelf), key, version + 1, at, "") for key, at in beyond]
                self._opened().insert("entry", COLUMNS, gone)

    def close(self) -> None:
        self._connection.close()

    def _claim(self, who: str, until: float) -> None:
        self._opened().insert("entry", COLUMNS, [_row(_LEAD, "-", self._newer([_LEAD]), until, who)])

    def _next(self, shelves: Sequence[Shelf]) -> int:
        return self._newer([_kind(shelf) for shelf in dict.fromkeys(shelves)])

    def _newer(self, kinds: Sequence[str]) -> int:
        """A version after all that are stored: of two that write at once the later clock wins."""
        ((latest,),) = self._opened().query(_SQL["version"], {"kinds": list(kinds)})
        with self._lock:
            self._version = max(self._version + 2, int(latest) + 2, int(self._clock.now() * 1e6))
            return self._version


def _row(kind: str, key: str, version: int, at: float, data: str) -> Stored:
    return entry_row(kind, key, version, at, data=data)


def _kind(shelf: Shelf) -> str:
    return f"alert-{shelf.value}"
