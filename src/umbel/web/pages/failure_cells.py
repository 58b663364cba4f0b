"""All failures of a span, though only some are looked at: the rest is counted by exception and task name.

A *cell* is one exception type of one task name. Its failures mostly have one fingerprint; where they have several, the
count is shared out as it is among those looked at, and said to be about right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from umbel.clock import Clock
from umbel.model.query import And, Compare, Field, Op, Order, Page
from umbel.model.task import State, Summary
from umbel.stores.base import StoreReader
from umbel.web.pages.failures import Kind, Sample, kinds
from umbel.web.pages.spark import columns

Cell = tuple[str, str]

#: Cells of a span that are looked into, failures of each at either end of the span, and seconds for one and for all.
CELLS: Final = 100
EACH: Final = 20
WITHIN: Final = 0.05
SECONDS: Final = 0.5
#: Columns of a trend at most; each is a minute wide at least.
COLUMNS: Final = 30


@dataclass(frozen=True, slots=True)
class Whole:
    """A span's failures by kind."""

    sample: Sample
    #: By fingerprint's key: how many in the span, and whether that is only about right.
    totals: Mapping[str, tuple[int, bool]]
    #: By fingerprint's key: failures over the span, equal columns.
    trends: Mapping[str, Sequence[float]]
    #: Cells that nothing was looked at of, for want of time: their failures are in no kind.
    unseen: int = 0


@dataclass(frozen=True, slots=True)
class _Look:
    """A look at a span, which may last until `until`."""

    reader: StoreReader
    #: UTC seconds.
    start: float
    end: float
    clock: Clock
    until: float

    @property
    def columns(self) -> int:
        return max(1, min(COLUMNS, int(self.end - self.start) // 60))


@dataclass(slots=True)
class _Counts:
    """What was looked at, by cell."""

    of_all: Counter[Cell] = field(default_factory=Counter)
    of_kind: dict[str, Counter[Cell]] = field(default_factory=dict)

    def share(self, key: str, cell: Cell) -> float:
        return self.of_kind[key][cell] / self.of_all[cell]


def whole(reader: StoreReader, found: Sample, start: float, end: float, clock: Clock) -> Whole:
    """What `found`, the newest failures since `start` (UTC seconds), and the rollups say of the whole span."""
    look = _Look(reader, start, end, clock, clock.monotonic() + SECONDS)
    if not found.more:
        trends = {kind.fingerprint.key: columns(kind.times, start, end, look.columns) for kind in found.kinds}
        return Whole(found, {kind.fingerprint.key: (kind.count, False) for kind in found.kinds}, trends)
    cells = {(one.exception_type, one.name): one.count for one in reader.exceptions(start, end, CELLS)}
    found, unseen = _widened(look, found, cells)
    counts = _counts(found)
    totals = {kind.fingerprint.key: _total(kind, counts, cells) for kind in found.kinds}
    return Whole(found, totals, _trends(look, found.kinds, counts), unseen)


def _widened(look: _Look, found: Sample, cells: Mapping[Cell, int]) -> tuple[Sample, int]:
    """With the first and newest failures of each cell that was not looked at whole; how many were not at all."""
    reader = look.reader
    seen = Counter(map(_cell, found.tasks))
    tasks = {task.id: task for task in found.tasks}
    partial = [cell for cell, count in cells.items() if seen[cell] < count]
    # Those of which nothing is known yet come first.
    partial.sort(key=lambda cell: seen[cell] > 0)
    unseen = 0
    for cell in partial:
        if look.clock.monotonic() > look.until:
            unseen += not seen[cell]
            continue
        orders = [Order.OLDEST] if seen[cell] else [Order.OLDEST, Order.NEWEST]
        looked = [task for order in orders for task in _of_cell(look, cell, order)]
        unseen += not looked and not seen[cell]
        tasks |= {task.id: task for task in looked}
    added = [id_ for id_ in tasks if id_ not in {task.id for task in found.tasks}]
    records = {record.id: record for record in found.records}
    for at in range(0, len(added), 1_000):
        records |= reader.records(added[at : at + 1_000])
    known = [(task, records[id_]) for id_, task in tasks.items() if id_ in records]
    made = kinds(known)
    return replace(found, tasks=[task for task, _ in known], records=[r for _, r in known], kinds=made), unseen


def _of_cell(look: _Look, cell: Cell, order: Order) -> list[Summary]:
    type_, name = cell
    nodes = [
        Compare(Field.STATE, Op.EQ, State.FAILURE.value),
        Compare(Field.FINISHED, Op.GE, look.start),
        Compare(Field.NAME, Op.EQ, name),
        *([Compare(Field.EXCEPTION, Op.CONTAINS, type_)] if type_ else []),
    ]
    page = look.reader.tasks(And(tuple(nodes)), Page(EACH, order=order, within=WITHIN))
    return [task for task in page.items if task.exception_type == type_]


def _cell(task: Summary) -> Cell:
    return task.exception_type, task.name


def _counts(found: Sample) -> _Counts:
    counts = _Counts()
    for kind in found.kinds:
        counts.of_kind[kind.fingerprint.key] = own = Counter(kind.cells)
        counts.of_all.update(own)
    return counts


def _total(kind: Kind, counts: _Counts, cells: Mapping[Cell, int]) -> tuple[int, bool]:
    key = kind.fingerprint.key
    total, rough = 0.0, False
    for cell, looked in counts.of_kind[key].items():
        share = counts.share(key, cell)
        in_all = max(cells.get(cell, 0), counts.of_all[cell])
        total += in_all * share
        rough = rough or (share < 1 and in_all > counts.of_all[cell])
        total = max(total, looked)
    return round(total), rough


def _trends(look: _Look, found: Sequence[Kind], counts: _Counts) -> dict[str, list[float]]:
    """Each column of every kind by the rollups of that part of the span."""
    count = look.columns
    trends = {kind.fingerprint.key: [0.0] * count for kind in found}
    width = (look.end - look.start) / count
    for n in range(count):
        for one in look.reader.exceptions(look.start + n * width, look.start + (n + 1) * width, CELLS):
            cell = (one.exception_type, one.name)
            for key, own in counts.of_kind.items():
                if cell in own:
                    trends[key][n] += one.count * counts.share(key, cell)
    return trends
