"""Counts of a rollup in a second form, for rows that are written seldom: readers add them up without a look at each.

A row as its segment's writer makes it is a map, {code: count} (see `cells.py`), and adding it takes a step of Python
for each count. In this form the counts of waits and those of runs are each either a vector, one count for each bucket
from the first to the last, which is one large number to Python and added as one; or, where they are few, their codes,
each as often as it counts. A reader tells the two forms by their first byte.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from typing import Final, NamedTuple

import msgspec

from umbel.model.latency import BUCKETS
from umbel.model.rollup import RUN, WAIT, RollupPoint, Series
from umbel.stores.cells import Cells, add, decode_cells, pack_cells

#: The first byte of this form: msgpack's array of seven. No map begins so.
MARK: Final = 0x97
#: The greatest count of a row in this form, and the rows that are added before their sum is looked at: with them no
#: bucket goes beyond its bits.
LARGEST: Final = (1 << 20) - 1
ROWS: Final = 4_000
#: Bits of a bucket in a sum.
BITS: Final = 32
#: Bytes of a vector for each task that it counts, at most: adding one is dearer than a few codes.
WORTH: Final = 3

#: Counts of a row below which it stays a map.
FEWEST: Final = 10

#: Bytes of each count (0: codes instead of a vector), the first bucket, and the data.
_Side = tuple[int, int, bytes]
_NOTHING: Final[_Side] = (0, 0, b"")
_TYPES: Final = {1: "B", 2: "H", 4: "I"}
#: No code is as great.
_END: Final = 2 * RUN - WAIT
_EMPTY: Final[Cells] = {}
_SERIES: Final = frozenset(int(series) for series in Series)

_Row = tuple[dict[int, int], int, int, bytes, int, int, bytes]
_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final[Callable[[bytes], _Row]] = msgspec.msgpack.Decoder(_Row).decode


def pack(cells: Mapping[int, int]) -> bytes:
    """Counts by code in the form that is quicker to add; as a map where they do not fit it or are few."""
    return Sum(cells).packed()


def unpack(data: bytes) -> Cells:
    """Counts by code, whichever form they are in."""
    if data[0] != MARK:
        return decode_cells(data)
    total = Sum()
    total.add(data)
    return total.cells()


class Sum:
    """Adds rows up, in either form."""

    __slots__ = ("_cells", "_codes", "_counts", "_first_run", "_first_wait", "_rows", "_runs", "_waits")

    def __init__(self, cells: Mapping[int, int] = _EMPTY) -> None:
        #: By code: what came as maps.
        self._cells = dict(cells)
        self._begin()

    def _begin(self) -> None:
        #: By series.
        self._counts = [0] * len(_SERIES)
        #: Counts in `BITS` each, and the first bucket of any.
        self._waits = self._runs = 0
        self._first_wait = self._first_run = BUCKETS
        #: Codes, each as often as it counts.
        self._codes = bytearray()
        self._rows = 0

    def add(self, data: bytes) -> None:
        """Add a row."""
        if data[0] != MARK:
            add(self._cells, decode_cells(data))
            return
        counts, wait_width, first_wait, waits, run_width, first_run, runs = _unpack(data)
        own = self._counts
        for series, count in counts.items():
            own[series] += count
        if wait_width:
            self._waits += _number(wait_width, waits) << first_wait * BITS
            self._first_wait = min(self._first_wait, first_wait)
        else:
            self._codes += waits
        if run_width:
            self._runs += _number(run_width, runs) << first_run * BITS
            self._first_run = min(self._first_run, first_run)
        else:
            self._codes += runs
        self._rows += 1
        if self._rows == ROWS:
            self._cells = self.cells()
            self._begin()

    def cells(self) -> Cells:
        """The sum, counts by code; none that is 0."""
        counts, wait, run = self._sides()
        return {
            **counts,
            **{WAIT + bucket: count for bucket, count in wait.items()},
            **{RUN + bucket: count for bucket, count in run.items()},
        }

    def point(self, at: int, name: str) -> RollupPoint:
        """The sum as the point of a span; what counts nothing is left out."""
        counts, wait, run = self._sides()
        return RollupPoint(at, name, {Series(code): count for code, count in counts.items()}, wait, run)

    def packed(self) -> bytes:
        """The sum as a row, in the form that is quicker to add."""
        few = self._few()
        counts, *sides = self._parts(few)
        dense = [part.dense(few) for part in sides]
        fit = all(min(found, default=0) >= 0 and max(found, default=0) <= LARGEST for _, found in dense)
        # Of a few counts a map is as quick, and smaller.
        if not fit or not _SERIES.issuperset(counts) or (len(few) < FEWEST and not any(part.vector for part in sides)):
            return pack_cells(self.cells())
        return _pack((counts, *_side(*dense[0], WAIT), *_side(*dense[1], RUN)))

    def _sides(self) -> tuple[Cells, Cells, Cells]:
        """Counts by series, and of waits and runs by bucket; each ascending, those left out that are 0."""
        few = self._few()
        counts, wait, run = self._parts(few)
        return counts, wait.buckets(few), run.buckets(few)

    def _few(self) -> Cells:
        """By code: what is in no vector."""
        few = dict(self._cells)
        add(few, Counter(_numbers("H", self._codes)))
        add(few, {series: count for series, count in enumerate(self._counts) if count})
        return few

    def _parts(self, few: Mapping[int, int]) -> tuple[Cells, _Part, _Part]:
        """Counts by series, and the parts of waits and of runs."""
        codes = sorted(few)
        waits, runs, end = bisect_left(codes, WAIT), bisect_left(codes, RUN), bisect_left(codes, _END)
        counts = {code: few[code] for code in codes[:waits] if few[code]}
        wait = _Part(WAIT, self._waits, self._first_wait, codes[waits:runs])
        return counts, wait, _Part(RUN, self._runs, self._first_run, codes[runs:end])


class _Part(NamedTuple):
    """Counts of waits or of runs: those of a vector, and those of some codes, ascending."""

    base: int
    vector: int
    #: No bucket before this one is in the vector.
    first: int
    codes: list[int]

    def buckets(self, few: Mapping[int, int]) -> Cells:
        """By bucket; `few` has the counts of the codes."""
        if not self.vector:
            return {code - self.base: few[code] for code in self.codes if few[code]}
        first, counts = self.dense(few)
        return {bucket: count for bucket, count in enumerate(counts, first) if count}

    def dense(self, few: Mapping[int, int]) -> tuple[int, list[int]]:
        """The first bucket, and the counts from there on."""
        codes, base, first, counts = self.codes, self.base, self.first, []
        if codes:
            first = min(first, codes[0] - base)
        if self.vector:
            vector = self.vector >> first * BITS
            length = -(-vector.bit_length() // BITS)
            counts = _numbers("I", vector.to_bytes(length * BITS // 8, "little")).tolist()
        if codes:
            counts += repeat(0, codes[-1] - base - first + 1 - len(counts))
            for code in codes:
                counts[code - base - first] += few[code]
        return first, counts


def _side(first: int, counts: Sequence[int], base: int) -> _Side:
    """The counts of waits or of runs, whose codes begin at `base`, as a row has them."""
    if not counts:
        return _NOTHING
    greatest = max(counts)
    width = next(width for width in _TYPES if greatest < 1 << 8 * width)
    if len(counts) * width <= WORTH * sum(counts):
        return width, first, _bytes(_TYPES[width], counts)
    codes = (repeat(code, count) for code, count in enumerate(counts, base + first) if count)
    return 0, 0, _bytes("H", chain.from_iterable(codes))


class Sums:
    """Adds rows up by name."""

    def __init__(self) -> None:
        self._names: defaultdict[str, Sum] = defaultdict(Sum)

    def __len__(self) -> int:
        return len(self._names)

    def add(self, rows: Iterable[tuple[str, bytes]]) -> None:
        """Add each row to those of its name."""
        names = self._names
        for name, data in rows:
            names[name].add(data)

    def packed(self) -> Iterator[tuple[str, bytes]]:
        """Each name's sum as it is stored."""
        for name, found in self._names.items():
            yield name, found.packed()

    def points(self, at: int) -> Iterator[RollupPoint]:
        """Each name's point of a span that begins `at`, by name."""
        for name in sorted(self._names):
            yield self._names[name].point(at, name)


def _number(width: int, vector: bytes) -> int:
    """A vector of counts in `width` bytes each as one number of counts in `BITS` each."""
    if width == BITS // 8:
        return int.from_bytes(vector, "little")
    wide = bytearray(len(vector) // width * BITS // 8)
    for byte in range(width):
        wide[byte :: BITS // 8] = vector[byte::width]
    return int.from_bytes(wide, "little")


def _bytes(type_: str, values: Iterable[int]) -> bytes:
    """Numbers as they are stored, little-endian."""
    found = array(type_, values)
    if sys.byteorder == "big":
        found.byteswap()
    return found.tobytes()


def _numbers(type_: str, data: bytes | bytearray) -> array[int]:
    found = array(type_)
    found.frombytes(data)
    if sys.byteorder == "big":
        found.byteswap()
    return found
