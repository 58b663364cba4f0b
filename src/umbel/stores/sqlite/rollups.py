"""The rollups of one segment: kept exactly once, as the difference of what each task added and adds."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from umbel.model.rollup import RUN, WAIT, Contribution, Series
from umbel.model.series import DAY, HOUR, MINUTE, TEN_MINUTES
from umbel.model.usual import Alike
from umbel.stores.cells import Cells, pack_cells
from umbel.stores.sqlfile import load
from umbel.stores.sqlite.vectors import unpack
from umbel.stores.sqlite.words import WordWriter

#: The name that stands for all of them.
ALL: Final = 0
#: Cells kept decoded between commits by the newest segment; then all are forgotten and read again.
CELLS_KEPT: Final = 200_000

_Row = tuple[int, int, int]

_SQL: Final = load(Path(__file__).with_name("segment.sql"))


#: What one task adds: its name, its cells in one number each (minute << CELL_BITS | code), its exception if it failed.
Added = tuple[str, tuple[int, ...], tuple[int, str] | None]
#: Bits of a code in a cell's number.
CELL_BITS: Final = 12
_CODE: Final = (1 << CELL_BITS) - 1
#: What every usual task adds once, and what those add that were seen being sent.
_EACH: Final = (int(Series.RECEIVED), int(Series.STARTED), int(Series.SUCCEEDED))
_SENT: Final = int(Series.SENT)


def added(what: Contribution) -> Added:
    """The same, with each cell in one number."""
    return what.name, tuple(minute << CELL_BITS | code for minute, code in what.cells), what.exception


class Rollups:
    """Collects the changes of a transaction and writes them at its end."""

    def __init__(self, connection: sqlite3.Connection, words: WordWriter) -> None:
        self._connection = connection
        self._words = words
        #: Steps (seconds) of the rows beside those of minutes.
        tens = connection.execute(_SQL["has_tens"]).fetchone()[0]
        self._steps = (TEN_MINUTES, HOUR, DAY) if tens else (HOUR, DAY)
        #: Cells by task name, each as often as it was added, and as it was taken away.
        self._more: dict[str, list[int]] = {}
        self._less: dict[str, list[int]] = {}
        #: Buckets of waits and runs of usual tasks by name, minute and whether they were seen being sent.
        self._usual: dict[tuple[str, int, bool], tuple[list[int], list[int]]] = {}
        self._exceptions: Counter[tuple[int, str, str]] = Counter()
        self._kept: dict[_Row, Cells] = {}
        self._kept_cells = 0
        self._room = CELLS_KEPT

    def shrink(self) -> None:
        """Keep few cells from now on: the segment takes no new tasks any more, only late events."""
        self._room = CELLS_KEPT // 20
        self._kept.clear()
        self._kept_cells = 0

    @property
    def names(self) -> Iterable[str]:
        """Of the tasks whose changes wait to be written."""
        return self._more.keys()

    def add(self, what: Added) -> None:
        """A task adds this from now on."""
        name, cells, exception = what
        more = self._more.get(name)
        if more is None:
            more = self._more[name] = []
        more += cells
        if exception is not None:
            self._exceptions[exception[0], name, exception[1]] += 1

    def add_alike(self, alike: Alike) -> None:
        """Usual tasks that are alike add what they do from now on."""
        key = (alike.name, alike.minute, alike.route is not None)
        times = self._usual.get(key)
        if times is None:
            times = self._usual[key] = [], []
            self._more.setdefault(alike.name, [])
        times[0].extend(alike.wait_buckets)
        times[1].extend(alike.run_buckets)

    def change(self, before: Added | None, after: Added) -> None:
        """A task added `before` and adds `after` from now on."""
        if before == after:
            self._more.setdefault(after[0], [])
            return
        if before is not None:
            name, cells, exception = before
            self._less.setdefault(name, []).extend(cells)
            if exception is not None:
                self._exceptions[exception[0], name, exception[1]] -= 1
        self.add(after)

    def flush(self) -> tuple[int, int] | None:
        """Write the changes; the first and last minute that they touch, None if there are none."""
        minutes = self._minutes()
        rows = _with_sums(minutes, self._steps)
        puts, drops = [], []
        for row, changes in sorted(rows.items()):
            cells = self._cells(row)
            size, find = len(cells), cells.get
            for code, change in changes.items():
                count = find(code, 0) + change
                if count:
                    cells[code] = count
                else:
                    cells.pop(code, None)
            self._kept_cells += len(cells) - size
            if cells:
                puts.append((*row, bytearray(pack_cells(cells))))
            else:
                drops.append(row)
        self._connection.executemany(_SQL["put_rollup"], puts)
        self._connection.executemany(_SQL["drop_rollup"], drops)
        touched = [minute for minute, _ in minutes] + self._flush_exceptions()
        self._more.clear()
        self._less.clear()
        self._usual.clear()
        if self._kept_cells > self._room:
            self._kept.clear()
            self._kept_cells = 0
        return (min(touched), max(touched)) if touched else None

    def _minutes(self) -> dict[tuple[int, int], Cells]:
        """The changes by minute and name, with those of all names together."""
        found: dict[tuple[int, int], Cells] = {}
        for name, more in self._more.items():
            changes = Counter(more)
            changes.subtract(self._less.pop(name, ()))
            _by_minute(self._words.id(name), changes, found)
        for name, less in self._less.items():
            _by_minute(self._words.id(name), {cell: -count for cell, count in Counter(less).items()}, found)
        for (name, minute, sent), (waits, runs) in self._usual.items():
            added = dict.fromkeys(_EACH, len(waits))
            if sent:
                added[_SENT] = len(waits)
            added |= {WAIT + number: count for number, count in Counter(waits).items()}
            added |= {RUN + number: count for number, count in Counter(runs).items()}
            for row in ((minute, self._words.id(name)), (minute, ALL)):
                codes = found.get(row)
                if codes is None:
                    found[row] = added.copy()
                    continue
                find = codes.get
                for code, change in added.items():
                    codes[code] = find(code, 0) + change
        return found

    def _cells(self, row: _Row) -> Cells:
        cells = self._kept.get(row)
        if cells is None:
            found = self._connection.execute(_SQL["rollup"], row).fetchone()
            cells = self._kept[row] = unpack(found[0]) if found else {}
            self._kept_cells += len(cells) + 1
        return cells

    def _flush_exceptions(self) -> list[int]:
        rows = [
            (minute, self._words.id(name), type_, change)
            for (minute, name, type_), change in self._exceptions.items()
            if change
        ]
        self._exceptions.clear()
        self._connection.executemany(_SQL["put_exception"], rows)
        self._connection.executemany(_SQL["drop_exceptions"], [row[:3] for row in rows if row[3] < 0])
        return [row[0] for row in rows]


def _by_minute(name: int, changes: Mapping[int, int], into: dict[tuple[int, int], Cells]) -> None:
    """Enter the changes of a name's cells under its minutes, and under those of all names."""
    minute, own, all_ = -1, {}, {}
    for cell, change in changes.items():
        if not change:
            continue
        if cell >> CELL_BITS != minute:
            minute = cell >> CELL_BITS
            own, all_ = into.setdefault((minute, name), {}), into.setdefault((minute, ALL), {})
        code = cell & _CODE
        own[code] = change
        all_[code] = all_.get(code, 0) + change


def _with_sums(minutes: dict[tuple[int, int], Cells], steps: Sequence[int]) -> dict[_Row, Cells]:
    """The changes of every row: the minutes' own, and their sums by longer steps."""
    rows: dict[_Row, Cells] = {}
    for (minute, name), codes in minutes.items():
        rows[MINUTE, minute, name] = codes
        for step in steps:
            row = (step, minute * MINUTE // step, name)
            sums = rows.get(row)
            if sums is None:
                # A batch seldom spans two: then this is all.
                rows[row] = dict(codes)
            else:
                for code, change in codes.items():
                    sums[code] = sums.get(code, 0) + change
    return rows
