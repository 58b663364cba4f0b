"""Sums of days that are over by name, and of two, four and eight of them, so that long spans need not add up each day.

Collectors wait for nobody here: each commit counts, in rows of its slot, that it has changed the rollups of a day. A
sum's stamp is what was counted when it was made, of one moment with what it is made of; once more is counted for one of
its days it no longer holds, and readers add up the day's own rows until the collector that leads has made it anew.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from umbel.model.series import DAY, cover
from umbel.stores.cells import Cells, add, add_named, decode_cells
from umbel.stores.postgres.connect import Connection
from umbel.stores.postgres.rollups import ALL
from umbel.stores.postgres.text import told
from umbel.stores.sqlfile import load

#: Names that a unit may have for its sum to be kept.
NAMES: Final = 5_000
#: Days of the longest unit.
LONGEST: Final = 8
#: Days looked back on for sums that are missing.
DAYS: Final = 1_000
#: Seconds without a change of a day, by the collectors' clocks, before it is summed.
QUIET: Final = 60.0

SQL: Final = load(Path(__file__).with_name("sums.sql"))
_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final[Callable[[bytes], dict[str, Cells]]] = msgspec.msgpack.Decoder(dict[str, dict[int, int]]).decode

#: A run of days: the first, and how many.
Unit = tuple[int, int]
#: Rows of one kind: step, first, end.
Span = tuple[int, int, int]


class _Stamps:
    """What has been counted for days, at one moment."""

    def __init__(self, connection: Connection, first: int, end: int) -> None:
        ((self._unnoted, _),) = connection.execute(SQL["unnoted"]).fetchall()
        rows = connection.execute(SQL["stamps"], (first, end)).fetchall()
        self._commits = {day: commits for day, commits, _ in rows}
        #: By day: when it was last changed.
        self.changed_at: dict[int, float] = {day: at for day, _, at in rows}

    def of(self, unit: Unit) -> list[int]:
        first, days = unit
        return [self._unnoted, *(self._commits.get(day, 0) for day in range(first, first + days))]


def rest(
    connection: Connection, spans: list[tuple[int, int, int]], into: dict[str, Cells]
) -> list[tuple[int, int, int]]:
    """Add the sums that hold; the spans (step, first, end) that are left to be added up."""
    left = []
    for span in spans:
        step, first, end = span
        if step == DAY:
            left += [(DAY, *days) for days in _add_sums(connection, first, end, into)]
        else:
            left.append(span)
    return left


def _add_sums(connection: Connection, first: int, end: int, into: dict[str, Cells]) -> list[tuple[int, int]]:
    # The stamps first: a sum that is made anew meanwhile is then not taken for one that holds.
    stamps = _Stamps(connection, first, end)
    found = connection.execute(SQL["sums"], (first, end)).fetchall()
    holding = {(at, days) for at, days, stamp, kept in found if kept and stamp == stamps.of((at, days))}
    units, left = cover(first, end, holding)
    for unit in units:
        row = connection.execute(SQL["names"], unit).fetchone()
        if row is None or row[0] != stamps.of(unit):
            left.append((unit[0], unit[0] + unit[1]))
            continue
        add_named(into, _unpack(row[1]).items())
    return left


class Summing:
    """The making of sums, by the collector that leads; remembers what it has looked at."""

    def __init__(self) -> None:
        #: The commits and the time when nothing was missing.
        self._seen: tuple[int, float] | None = None

    def step(self, connection: Connection, now: float) -> None:
        """Make one sum that is missing or no longer holds, days before longer units, the latest first."""
        ((_, commits),) = connection.execute(SQL["unnoted"]).fetchall()
        if self._seen is not None and self._seen[0] == commits and 0 <= now - self._seen[1] < QUIET:
            return
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            end = int(now // DAY)
            stamps = _Stamps(connection, end - DAYS, end)
            unit = _missing(connection, stamps, now)
            if unit is not None:
                names = _day(connection, unit[0]) if unit[1] == 1 else _halves(connection, unit)
                packed = _pack(names) if len(names) <= NAMES else None
                connection.execute(SQL["put"], (*unit, stamps.of(unit), packed))
        self._seen = None if unit is not None else (commits, now)


def _missing(connection: Connection, stamps: _Stamps, now: float) -> Unit | None:
    end = int(now // DAY)
    rows = connection.execute(SQL["sums"], (end - DAYS, end)).fetchall()
    known = {(first, days): kept for first, days, stamp, kept in rows if stamp == stamps.of((first, days))}
    for day in sorted(stamps.changed_at, reverse=True):
        if (day, 1) not in known and now - stamps.changed_at[day] >= QUIET:
            return day, 1
    for first, half in sorted(known, key=lambda unit: (unit[1], -unit[0])):
        unit = (first, 2 * half)
        halves = (first, half), (first + half, half)
        if half < LONGEST and not first % (2 * half) and unit not in known and all(map(known.get, halves)):
            return unit
    return None


def _day(connection: Connection, day: int) -> dict[str, Cells]:
    names: dict[str, Cells] = {}
    for name, cells in connection.execute(SQL["day"], (day, ALL)):
        add(names.setdefault(told(name), {}), decode_cells(cells))
    return names


def _halves(connection: Connection, unit: Unit) -> dict[str, Cells]:
    names: dict[str, Cells] = {}
    first, days = unit
    for half in (first, first + days // 2):
        found: Any = connection.execute(SQL["names"], (half, days // 2)).fetchone()
        add_named(names, _unpack(found[1]).items())
    return names
