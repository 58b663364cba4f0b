"""All failures of a span, though only some are looked at: the rest is counted by exception and task name.

A *cell* is one exception type of one task name. Its failures mostly have one fingerprint; where they have several, the
count is shared out as it is among those looked at, and said to be about right.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from weakref import WeakKeyDictionary

from umbel.clock import Clock
from umbel.model.query import And, Compare, Field, Op, Order, Page
from umbel.model.task import State, Summary
from umbel.stores.base import StoreReader
from umbel.web.pages.failures import Kind, Sample, kinds
from umbel.web.pages.prints import prints
from umbel.web.pages.spark import columns

Cell = tuple[str, str]

#: Cells of a span that are counted, failures looked at of each, and seconds for looking at one and at all: what there
#: was no time for has its turn at the next look, since this one is remembered.
CELLS: Final = 1_000
EACH: Final = 20
WITHIN: Final = 0.02
SECONDS: Final = 0.025
#: Cells that are remembered, and seconds for which they are, unless another number of their failures is counted.
KEPT: Final = 2_000
AGE: Final = 600.0
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
    def length(self) -> int:
        return round(self.end - self.start)

    @property
    def columns(self) -> int:
        return max(1, min(COLUMNS, int(self.end - self.start) // 60))


@dataclass(slots=True)
class _Counts:
    """What was looked at, by cell."""

    of_all: Counter[Cell] = field(default_factory=Counter)
    of_kind: dict[str, Counter[Cell]] = field(default_factory=dict)
    #: The kinds that were seen in a cell, by key.
    kinds_in: dict[Cell, list[str]] = field(default_factory=dict)

    def share(self, key: str, cell: Cell) -> float:
        return self.of_kind[key][cell] / self.of_all[cell]

    def is_mixed(self, cell: Cell) -> bool:
        """Whether failures of several kinds were seen in it."""
        return len(self.kinds_in.get(cell, ())) > 1


def whole(reader: StoreReader, found: Sample, start: float, end: float, clock: Clock) -> Whole:
    """What `found`, the newest failures since `start` (UTC seconds), and the rollups say of the whole span."""
    look = _Look(reader, start, end, clock, clock.monotonic() + SECONDS)
    if not found.more:
        trends = {kind.fingerprint.key: columns(kind.times, start, end, look.columns) for kind in found.kinds}
        return Whole(found, {kind.fingerprint.key: (kind.count, False) for kind in found.kinds}, trends)
    cells = {(one.exception_type, one.name): one.count for one in reader.exceptions(start, end, CELLS)}
    seen = _counts(found).of_all
    found = _widened(look, found, {cell: count for cell, count in cells.items() if not seen[cell]}, Order.NEWEST)
    # Where a cell has several kinds, rollups do not tell which of them began when.
    counts = _counts(found)
    mixed = {cell: count for cell, count in cells.items() if counts.is_mixed(cell) and counts.of_all[cell] < count}
    found = _widened(look, found, mixed, Order.OLDEST)
    counts = _counts(found)
    totals = {kind.fingerprint.key: _total(kind, counts, cells) for kind in found.kinds}
    trends = _trends(look, found.kinds, counts)
    for kind in found.kinds:
        _begin(kind, counts, trends[kind.fingerprint.key], look)
    return Whole(found, totals, trends, sum(not counts.of_all[cell] for cell in cells))


def _widened(look: _Look, found: Sample, cells: Mapping[Cell, int], order: Order) -> Sample:
    """With the newest or oldest failures of these cells as well, as far as they are remembered or the time goes."""
    known = {task.id for task in found.tasks}
    added = {task.id: task for task in remembered.of(look, cells, order) if task.id not in known}
    if not added:
        return found
    whole = prints.of(look.reader, [*found.tasks, *added.values()])
    return replace(found, tasks=[task for task, _ in whole], kinds=kinds(whole))


def _begin(kind: Kind, counts: _Counts, trend: Sequence[float], look: _Look) -> None:
    """Have a kind begin where its cells do, if nothing else is in them."""
    width = (look.end - look.start) / len(trend)
    first = next((n for n, count in enumerate(trend) if count), None)
    if first is None or any(counts.is_mixed(cell) for cell in counts.of_kind[kind.fingerprint.key]):
        return
    if look.start + (first + 1) * width <= kind.first_at:
        kind.first_at = look.start + first * width


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


@dataclass(frozen=True, slots=True)
class _Looked:
    """Failures of a cell that were looked at, how many there were, and the end of its memory (monotonic seconds)."""

    tasks: Sequence[Summary]
    count: int
    until: float


class _Remembered:
    """The cells of a store that were looked at lately; may be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: WeakKeyDictionary[StoreReader, OrderedDict[tuple[Cell, Order, int], _Looked]] = WeakKeyDictionary()

    def of(self, look: _Look, cells: Mapping[Cell, int], order: Order) -> Iterator[Summary]:
        """The failures of each cell within the span; those not seen before first, then those that have changed."""
        with self._lock:
            known = self._known.setdefault(look.reader, OrderedDict())
            found = {cell: known.get((cell, order, look.length)) for cell in cells}
        now = look.clock.monotonic()
        for cell in sorted(cells, key=lambda cell: found[cell] is not None):
            looked = found[cell]
            stale = looked is None or looked.count != cells[cell] or now >= looked.until
            if stale and look.clock.monotonic() <= look.until:
                looked = _Looked(_of_cell(look, cell, order), cells[cell], now + AGE)
                with self._lock:
                    known[cell, order, look.length] = looked
                    known.move_to_end((cell, order, look.length))
                    while len(known) > KEPT:
                        known.popitem(last=False)
            if looked is not None:
                yield from (task for task in looked.tasks if (task.finished_at or task.updated_at) >= look.start)


remembered: Final = _Remembered()


def _counts(found: Sample) -> _Counts:
    counts = _Counts()
    for kind in found.kinds:
        counts.of_kind[kind.fingerprint.key] = own = Counter(kind.cells)
        counts.of_all.update(own)
        for cell in own:
            counts.kinds_in.setdefault(cell, []).append(kind.fingerprint.key)
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
            for key in counts.kinds_in.get(cell, ()):
                trends[key][n] += one.count * counts.share(key, cell)
    return trends
