"""Which tasks of a sealed segment may match a condition: by its bitmaps, its index of texts and its zones of time.

The answer never lacks a task that matches, and says whether it holds only such; whoever asks looks at the others.
"""

from __future__ import annotations

from typing import Final

from umbel.model.match import text_test
from umbel.model.query import CONTENTS, DURATIONS, TIMES, And, Compare, Field, Node, Not, Op, Or
from umbel.model.task import ENDED
from umbel.stores.kinds import STATES
from umbel.stores.sqlite.bitmaps import REST, ZONE, Kind, coarse, number_of
from umbel.stores.sqlite.blocks import SQL
from umbel.stores.sqlite.compile import ids_beginning
from umbel.stores.sqlite.grams import grams_of, match_of
from umbel.stores.sqlite.ids import to_key
from umbel.stores.sqlite.sessions import SQL as SEGMENT
from umbel.stores.sqlite.sessions import OpenSegment, Sealed

#: Tasks of an open segment that have not ended, beyond which all are looked at: a page of them is found soon then.
OPEN: Final = 20_000

_KINDS: Final = {Field.NAME: Kind.NAME, Field.WORKER: Kind.WORKER, Field.QUEUE: Kind.QUEUE}
_DURATIONS: Final = {Field.RUN: Kind.RUN, Field.WAIT: Kind.WAIT}
_TIMES: Final = {Field.SENT: 0, Field.RECEIVED: 1, Field.STARTED: 2, Field.FINISHED: 3}
_EQUAL: Final = {
    Field.ID: "SELECT n FROM task WHERE id = ?",
    Field.PARENT: "SELECT n FROM task WHERE parent = ?1 AND parent IS NOT NULL AND parent <> id "
    "UNION SELECT n FROM task WHERE id = ?1 AND parent = id",
    Field.ROOT: "SELECT n FROM task WHERE root = ?1 AND root IS NOT NULL "
    "UNION SELECT n FROM task WHERE id = ?1 AND root IS NULL",
}

#: Tasks that are looked at one by one rather than narrowed down further, by how dear that is: a duration stands in the
#: task's row, texts in a block that has to be unpacked.
FEW: Final = (0, 200, 16)

#: A set of positions, and whether all of them match.
Answer = tuple[int, bool]


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
        # What is dear comes last, and not at all where little is left: to look at that costs less.
        for node in sorted(nodes, key=_cost):
            if not bits:
                break
            if bits.bit_count() <= FEW[_cost(node)]:
                exact = False
                continue
            more, only = self.node(node)
            bits, exact = bits & more, exact and only
        return bits, exact

    def _or(self, answers: list[Answer]) -> Answer:
        bits = 0
        for more, _ in answers:
            bits |= more
        return bits, all(exact for _, exact in answers)

    def _compare(self, field: Field, op: Op, value: str | float) -> Answer:
        if isinstance(value, float | int):
            if field in DURATIONS:
                return self._duration(_DURATIONS[field], op, value)
            return (self._times(_TIMES[field], op, value) if field in TIMES else self.all), False
        if field is Field.STATE:
            test = text_test(op, value)
            matching = [number for number, state in enumerate(STATES) if test(state.value)]
            return self._or([(self._sealed.bitmaps.bits(Kind.STATE, number), True) for number in matching])
        if field in _KINDS:
            return self._word(_KINDS[field], op, value)
        if field is Field.TEXT:
            # The index does not tell which of its texts it is, so one look-up answers for all of them.
            words = [self._word(kind, op, value) for kind in (Kind.NAME, Kind.WORKER)]
            by_id = self._begins(value) if op is Op.CONTAINS else self._id(Field.ID, op, value)
            return self._or([*words, self._text(op, value), by_id])
        return self._text(op, value) if field in CONTENTS else self._id(field, op, value)

    def _word(self, kind: Kind, op: Op, value: str) -> Answer:
        bitmaps = self._sealed.bitmaps
        bits, exact = 0, True
        for number in self._sealed.words(kind, self._segment.word).matching(op, value):
            bits |= bitmaps.bits(kind, number)
        if REST in bitmaps.values(kind):
            bits, exact = bits | bitmaps.bits(kind, REST), False
        return bits, exact

    def _duration(self, kind: Kind, op: Op, value: float) -> Answer:
        limit = coarse(value)
        bitmaps = self._sealed.bitmaps
        bits, exact = 0, True
        for number in bitmaps.values(kind):
            if number in (REST, limit):
                bits, exact = bits | bitmaps.bits(kind, number), False
            elif (op in (Op.GT, Op.GE) and number > limit) or (op in (Op.LT, Op.LE) and number < limit):
                bits |= bitmaps.bits(kind, number)
        return bits, exact

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


def _cost(node: Node) -> int:
    """How dear a condition is: the index of texts (2), the many bitmaps of a duration (1), or neither."""
    if isinstance(node, Compare):
        return 2 if node.field in CONTENTS or node.field is Field.TEXT else int(node.field in DURATIONS)
    return max(map(_cost, node.nodes if isinstance(node, And | Or) else (node.node,)), default=0)


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
