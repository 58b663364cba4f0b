"""The rollups, as one collector keeps them: its own rows, so that it never waits for another's.

A task that one collector inserted and another changed adds to the rows of the first and takes from those of the
second; what readers add up is exact.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from umbel.model.rollup import Contribution
from umbel.model.series import DAY, HOUR, MINUTE
from umbel.stores.cells import Cells, decode_cells, pack_cells
from umbel.stores.postgres.copying import copy_rows
from umbel.stores.postgres.session import Session
from umbel.stores.postgres.text import key_of, stored

#: The key that stands for all names together.
ALL: Final = UUID(int=0)
#: Cells kept decoded between commits; then all are forgotten and read again.
CELLS_KEPT: Final = 200_000
#: Keys of names kept.
KEYS_KEPT: Final = 20_000

#: Step, at, key.
_Row = tuple[int, int, UUID]

_TYPES: Final = ("int4", "int2", "int4", "int8", "uuid", "text", "bytea")


class Rollups:
    """Collects the changes of a transaction and writes them at its end; lives as long as its session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        #: By part and name.
        self._changes: dict[tuple[int, str], dict[tuple[int, int], int]] = {}
        self._exceptions: dict[tuple[int, int, str, str], int] = {}
        self._kept: dict[tuple[int, _Row], Cells] = {}
        self._kept_cells = 0
        self._keys: dict[str, UUID] = {}

    def change(self, part: int, before: Contribution | None, after: Contribution) -> None:
        """A task of a part added `before` and adds `after` from now on."""
        if before is None:
            self._add(part, after, 1)
        elif before != after:
            self._add(part, before, -1)
            self._add(part, after, 1)

    def _add(self, part: int, what: Contribution, sign: int) -> None:
        cells = self._changes.setdefault((part, what.name), {})
        for cell in what.cells:
            cells[cell] = cells.get(cell, 0) + sign
        if what.exception is not None:
            minute, type_ = what.exception
            key = (part, minute, type_, what.name)
            self._exceptions[key] = self._exceptions.get(key, 0) + sign

    def forget(self) -> None:
        """Drop what was collected and kept: the transaction was rolled back, or a part dropped."""
        self._changes.clear()
        self._exceptions.clear()
        self._kept.clear()
        self._kept_cells = 0

    def flush(self, at: float) -> dict[int, tuple[int, int]]:
        """Write what was collected in a commit at that time; the first and last minute that changed, by part."""
        minutes: dict[int, list[int]] = {}
        puts = []
        days: set[int] = set()
        for part, rows in self._rows().items():
            self._read(part, list(rows))
            for row, (name, changes) in rows.items():
                cells = self._kept[part, row]
                self._apply(cells, changes)
                puts.append((part, self._session.slot, *row, stored(name), pack_cells(cells)))
                if row[0] == MINUTE:
                    minutes.setdefault(part, []).append(row[1])
                elif row[0] == DAY:
                    days.add(row[1])
        if puts:
            copy_rows(self._session, "new_cells", _TYPES, puts)
            self._session.execute("put_cells")
            self._session.execute("touch_days", self._session.slot, at, sorted(days))
        for part, minute in self._flush_exceptions():
            minutes.setdefault(part, []).append(minute)
        self._changes.clear()
        if self._kept_cells > CELLS_KEPT:
            self._kept.clear()
            self._kept_cells = 0
        return {part: (min(found), max(found)) for part, found in minutes.items()}

    def _rows(self) -> dict[int, dict[_Row, tuple[str, Cells]]]:
        """The changes by part and row: of minute, hour and day, of the name and of all names."""
        parts: dict[int, dict[_Row, tuple[str, Cells]]] = {}
        for (part, name), cells in self._changes.items():
            rows = parts.setdefault(part, {})
            both = ((self._key(name), name), (ALL, ""))
            for (minute, code), change in cells.items():
                if not change:
                    continue
                for step, at in ((MINUTE, minute), (HOUR, minute // 60), (DAY, minute // 1440)):
                    for key, title in both:
                        codes = rows.setdefault((step, at, key), (title, {}))[1]
                        codes[code] = codes.get(code, 0) + change
        return parts

    def _read(self, part: int, rows: list[_Row]) -> None:
        """Have the cells of these rows at hand."""
        unknown = [row for row in rows if (part, row) not in self._kept]
        if not unknown:
            return
        columns = [list(column) for column in zip(*unknown, strict=True)]
        for row in unknown:
            self._kept[part, row] = {}
        for step, at, key, cells in self._session.execute("cells", part, self._session.slot, *columns):
            self._kept[part, (step, at, key)] = found = decode_cells(cells)
            self._kept_cells += len(found)
        self._kept_cells += len(unknown)

    def _apply(self, cells: Cells, changes: Cells) -> None:
        size = len(cells)
        for code, change in changes.items():
            count = cells.get(code, 0) + change
            if count:
                cells[code] = count
            else:
                cells.pop(code, None)
        self._kept_cells += len(cells) - size

    def _key(self, name: str) -> UUID:
        key = self._keys.get(name)
        if key is None:
            if len(self._keys) >= KEYS_KEPT:
                self._keys.clear()
            key = self._keys[name] = key_of(name)
        return key

    def _flush_exceptions(self) -> list[tuple[int, int]]:
        """Write the counts of exceptions; part and minute of each."""
        slot = self._session.slot
        rows = [
            (part, slot, minute, self._key(name), stored(type_), stored(name), change)
            for (part, minute, type_, name), change in self._exceptions.items()
            if change
        ]
        self._exceptions.clear()
        if rows:
            self._session.execute_many("put_exception", rows)
        return [(row[0], row[2]) for row in rows]
