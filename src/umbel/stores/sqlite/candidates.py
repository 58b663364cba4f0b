"""Which tasks of a sealed segment may match a condition: by its bitmaps, its index of texts and its zones of time.

The answer never lacks a task that matches, and says whether it holds only such; whoever asks looks at the others.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from operator import itemgetter
from typing import Final, NamedTuple

from umbel.model.match import text_test
from umbel.model.query import CONTENTS, DURATIONS, TIMES, And, Compare, Field, Node, Not, Op, Or
from umbel.model.task import ENDED
from umbel.stores.kinds import STATES
from umbel.stores.sqlite.bitmaps import REST, ZONE, Kind, coarse, number_of
from umbel.stores.sqlite.blocks import SQL
from umbel.stores.sqlite.compile import ids_beginning
from umbel.stores.sqlite.grams import grams_of, match_of
from umbel.stores.sqlite.ids import to_key
from umbel.stores.sqlite.looks import Answer
from umbel.stores.sqlite.sessions import SQL as SEGMENT
from umbel.stores.sqlite.sessions import OpenSegment, Sealed

#: Tasks of an open segment that have not ended, beyond which all are looked at: a page of them is found soon then.
OPEN: Final = 20_000

_KINDS: Final = {Field.NAME: Kind.NAME, Field.WORKER: Kind.WORKER, Field.QUEUE: Kind.QUEUE}
#: Of each the bits from a bucket on, and those of each bucket in older segments.
_DURATIONS: Final = {Field.RUN: (Kind.RUN_FROM, Kind.RUN), Field.WAIT: (Kind.WAIT_FROM, Kind.WAIT)}
_TIMES: Final = {Field.SENT: 0, Field.RECEIVED: 1, Field.STARTED: 2, Field.FINISHED: 3}
_EQUAL: Final = {
    Field.ID: "SELECT n FROM task WHERE id = ?",
    Field.PARENT: "SELECT n FROM task WHERE parent = ?1 AND parent IS NOT NULL AND parent <> id "
    "UNION SELECT n FROM task WHERE id = ?1 AND parent = id",
    Field.ROOT: "SELECT n FROM task WHERE root = ?1 AND root IS NOT NULL "
    "UNION SELECT n FROM task WHERE id = ?1 AND root IS NULL",
}

#: Tasks that are looked at one by one rather than narrowed down further: texts stand in a block that has to be
#: unpacked, all else in the task's row, and to look at so many rows costs what it does to read one set of bits.
FEW_TEXTS: Final = 16
FEW: Final = 64

#: Fields whose values have bits.
_SIZED: Final = frozenset({Field.STATE, *_KINDS})


class _Cost(NamedTuple):
    """What it takes to narrow down by a condition; the cheapest first."""

    #: Searches of the index of texts.
    texts: int
    #: Bytes of the sets of bits. Small sets are also of few positions, mostly, so that they leave little.
    size: int
    #: Tasks for which it is not worth it.
    few: int


def candidates(segment: OpenSegment, sealed: Sealed, node: Node) -> Answer | None:
    """The positions that may match; None where nothing can be told, so that all may."""
    asked = _Asked(segment, sealed)
    bits, exact = asked.node(node)
    if bits == asked.all and not exact:
        return None
    later = number_of(n - sealed.first_n for (n,) in segment.connection.execute(SQL["later"]))
    return bits | later, exact and not later


class _Asked:
    """Works out one condition for one segment."""

    def __init__(self, segment: OpenSegment, sealed: Sealed) -> None:
        self._segment = segment
        self._sealed = sealed
        #: Every task that is there; each has a state.
        self.all = (1 << sealed.tasks) - 1
        if sealed.dropped:
            self.all, _ = self._or([(sealed.bitmaps.bits(Kind.STATE, n), True) for n in range(len(STATES))])

    def node(self, node: Node) -> Answer:
        if isinstance(node, Not):
            bits, exact = self.node(node.node)
            return (self.all & ~bits, True) if exact else (self.all, False)
        if isinstance(node, And):
            return self._and(node.nodes)
        if isinstance(node, Or):
            answers = [self.node(part) for part in node.nodes]
            return self._or(answers)
        return self._compare(node.field, node.op, node.value)

    def _and(self, nodes: tuple[Node, ...]) -> Answer:
        bits, exact = self.all, True
        # What leaves least comes first, what is dear last; none where little is left: to look at that costs less.
        for cost, node in sorted(((self._cost(node), node) for node in nodes), key=itemgetter(0)):
            if not bits:
                break
            if bits.bit_count() <= cost.few:
                exact = False
                continue
            more, only = self.node(node)
            bits, exact = bits & more, exact and only
        return bits, exact

    def _cost(self, node: Node) -> _Cost:
        """What it takes to narrow down by a condition."""
        if isinstance(node, Compare):
            return self._cost_of(node)
        parts = [self._cost(part) for part in (node.nodes if isinstance(node, And | Or) else (node.node,))]
        return _Cost(*(sum(column) for column in zip(*parts, strict=True))) if parts else _Cost(0, 0, 0)

    def _cost_of(self, node: Compare) -> _Cost:
        field, op, value = node.field, node.op, node.value
        if field in CONTENTS or field is Field.TEXT:
            return _Cost(1, 0, FEW_TEXTS)
        if field in _SIZED and isinstance(value, str):
            kind, numbers = self._values(field, op, value)
        elif field in DURATIONS and isinstance(value, float | int):
            kind, numbers = self._buckets(field, op, coarse(value))
        else:
            # Times come from zones, and ids from their index: next to nothing.
            return _Cost(0, 0, 0)
        sizes = self._sealed.bitmaps.sizes(kind)
        return _Cost(0, sum(sizes.get(number, 0) for number in numbers), FEW * len(numbers))

    def _values(self, field: Field, op: Op, value: str) -> tuple[Kind, list[int]]:
        """The kind of a field, and the numbers of its values that match; those of `REST` left out."""
        if field is Field.STATE:
            test = text_test(op, value)
            return Kind.STATE, [number for number, state in enumerate(STATES) if test(state.value)]
        kind = _KINDS[field]
        return kind, self._sealed.words(kind).matching(op, value)

    def _or(self, answers: list[Answer]) -> Answer:
        bits = 0
        for more, _ in answers:
            bits |= more
        return bits, all(exact for _, exact in answers)

    def _compare(self, field: Field, op: Op, value: str | float) -> Answer:
        if isinstance(value, float | int):
            if field in DURATIONS:
                limit = coarse(value)
                return self._known((field, op, limit), lambda: (self._duration(field, op, limit), False))
            return (self._times(_TIMES[field], op, value) if field in TIMES else self.all), False
        if field in _EQUAL:
            # There are too many to remember, and they are found at once.
            return self._id(field, op, value)
        return self._known((field, op, value), lambda: self._named(field, op, value))

    def _known(self, asked: Hashable, look: Callable[[], Answer]) -> Answer:
        """What the index of this file answers, which has it once and for all."""
        return self._segment.looks.of((self._segment.identity, asked), look)

    def _named(self, field: Field, op: Op, value: str) -> Answer:
        if field is Field.STATE:
            kind, matching = self._values(field, op, value)
            return self._or([(self._sealed.bitmaps.bits(kind, number), True) for number in matching])
        if field in _KINDS:
            return self._word(_KINDS[field], op, value)
        if field is Field.TEXT:
            # The index does not tell which of its texts it is, so one look-up answers for all of them.
            words = [self._word(kind, op, value) for kind in (Kind.NAME, Kind.WORKER)]
            by_id = self._begins(value) if op is Op.CONTAINS else self._id(Field.ID, op, value)
            return self._or([*words, self._text(op, value), by_id])
        return self._text(op, value)

    def _word(self, kind: Kind, op: Op, value: str) -> Answer:
        bitmaps = self._sealed.bitmaps
        bits, exact = 0, True
        for number in self._sealed.words(kind).matching(op, value):
            bits |= bitmaps.bits(kind, number)
        if REST in bitmaps.sizes(kind):
            bits, exact = bits | bitmaps.bits(kind, REST), False
        return bits, exact

    def _duration(self, field: Field, op: Op, limit: int) -> int:
        """The positions of durations of which some in their bucket match a bound that is in the bucket `limit`."""
        kind, numbers = self._buckets(field, op, limit)
        bits = 0
        if kind is _DURATIONS[field][1]:
            for number in numbers:
                bits |= self._sealed.bitmaps.bits(kind, number)
        elif numbers:
            bits = self._sealed.bitmaps.bits(kind, numbers[0])
            for beyond in numbers[1:]:
                bits &= ~self._sealed.bitmaps.bits(kind, beyond)
        return bits

    def _buckets(self, field: Field, op: Op, limit: int) -> tuple[Kind, list[int]]:
        """Which bits tell it: those from one bucket on, less those from another on; in older segments those of each."""
        bitmaps = self._sealed.bitmaps
        kind, single = _DURATIONS[field]
        if not bitmaps.sizes(kind):
            return single, _in_bounds(bitmaps.sizes(single), op, limit)
        first = bitmaps.least(kind, 0 if op in (Op.LT, Op.LE) else limit)
        beyond = None if op in (Op.GT, Op.GE) else bitmaps.least(kind, limit + 1)
        return kind, [number for number in (first, beyond) if number is not None]

    def _times(self, field: int, op: Op, value: float) -> int:
        bits = 0
        zone = (1 << ZONE) - 1
        for k, first, last in self._sealed.zones[field]:
            before = op in (Op.LT, Op.LE) and first <= value
            after = op in (Op.GT, Op.GE) and last >= value
            if before or after or (op is Op.EQ and first <= value <= last):
                bits |= zone << k * ZONE
        return bits & self.all

    def _id(self, field: Field, op: Op, value: str) -> Answer:
        if op is Op.EQ:
            return self._found(_EQUAL[field], to_key(value)), True
        if field is Field.ID and op is Op.GLOB and value.endswith("*") and "*" not in value[:-1]:
            return self._begins(value[:-1])[0], False
        return self.all, False

    def _begins(self, value: str) -> Answer:
        first_n = self._sealed.first_n
        return number_of(n - first_n for n in ids_beginning(self._segment.connection, value)), True

    def _found(self, sql: str, *parameters: str | bytes) -> int:
        first_n = self._sealed.first_n
        return number_of(n - first_n for (n,) in self._segment.connection.execute(sql, parameters))

    def _text(self, op: Op, value: str) -> Answer:
        grams = self._sealed.grams
        chosen = grams.choose(grams_of(op, value)) if grams is not None else []
        return (self._found(SQL["texts"], match_of(chosen)) if chosen else self.all), False


def _in_bounds(values: Iterable[int], op: Op, limit: int) -> list[int]:
    """The bits of durations of which some match a bound that is in `limit`."""
    if op in (Op.GT, Op.GE):
        return [number for number in values if number >= limit]
    return [number for number in values if number in (REST, limit) or (op in (Op.LT, Op.LE) and number < limit)]


def asks_for_open(node: Node) -> bool:
    """Whether no task that has ended can match."""
    if isinstance(node, And):
        return any(map(asks_for_open, node.nodes))
    if isinstance(node, Or):
        return bool(node.nodes) and all(map(asks_for_open, node.nodes))
    if isinstance(node, Not) or node.field is not Field.STATE:
        return False
    test = text_test(node.op, str(node.value))
    return not any(test(state.value) for state in ENDED)


def not_ended(segment: OpenSegment, first_n: int) -> Answer | None:
    """Of an open segment the positions of the tasks that have not ended; None where they are too many to be told."""
    found = segment.connection.execute(SEGMENT["open"], (OPEN + 1,)).fetchall()
    return (number_of(n - first_n for (n,) in found), False) if len(found) <= OPEN else None
