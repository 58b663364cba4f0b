"""Searches of texts in segments that are not sealed: what 256 tasks say, packed together and remembered.

The first search packs what it walks over; the next ones look through the packed texts instead of asking SQLite for
each task. What may have changed since is asked for one by one: tasks that had not ended when they were packed, and
those that the writer has noted in `late`.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from umbel.model.match import ascii_lower, text_test
from umbel.model.query import CONTENTS, And, Compare, Field, Node, Op, Or
from umbel.stores.sqlfile import load
from umbel.stores.sqlite.compile import ids_beginning
from umbel.stores.sqlite.packs import Origin, Packed, Packs
from umbel.stores.sqlite.rows import ENDED_NUMBERS
from umbel.stores.sqlite.sessions import Listed, OpenSegment

#: Tasks packed together.
ROWS: Final = 256
#: Packed texts with more tasks than this that have not ended are not remembered.
UNFINISHED: Final = 64
#: Tasks noted as changed after their end, beyond which a segment is walked as it is.
LATE: Final = 5_000

_SQL: Final = load(Path(__file__).with_name("texts.sql"))
_ENDED: Final = json.dumps(sorted(ENDED_NUMBERS))

Test = Callable[[bytes], bool]


class Texts:
    """What one search asks of one segment's texts."""

    def __init__(self, segment: OpenSegment, listed: Listed, test: Test, asked: list[int], packs: Packs) -> None:
        execute = segment.connection.execute
        self._first_n, self._end_n = listed.first_n, listed.end_n
        self._origin: Origin = (str(segment.identity[0]), *segment.identity[1:], *execute(_SQL["made"]).fetchone())
        self._test = test
        self._packs = packs
        #: Tasks to be looked at whatever the packed texts say.
        self._asked = asked
        self._forget_ended(segment)

    @staticmethod
    def of(segment: OpenSegment, listed: Listed, where: Node, packs: Packs) -> Texts | None:
        """None where the packed texts cannot help."""
        if segment.sealed is not None or not segment.notes_late:
            return None
        late = [n for (n,) in segment.connection.execute(_SQL["late"], (LATE + 1,))]
        wanted = _Wanted(segment)
        test = wanted.test(where)
        if test is None or len(late) > LATE:
            return None
        return Texts(segment, listed, test, sorted({*late, *wanted.ids}), packs)

    def _forget_ended(self, segment: OpenSegment) -> None:
        """Have those packed anew whose unfinished tasks have ended."""
        unfinished = [
            n for low, _ in self.spans(self._first_n, self._end_n, newest_first=True) for n in self._unfinished(low)
        ]
        if unfinished:
            parameters = (self._first_n, ROWS, json.dumps(unfinished), _ENDED)
            for (at,) in segment.connection.execute(_SQL["ended"], parameters).fetchall():
                self._packs.forget(self._first_n + at * ROWS)

    def _unfinished(self, low: int) -> tuple[int, ...]:
        packed = self._packs.get(low, self._origin)
        return packed.unfinished if packed else ()

    def spans(self, low: int, high: int, *, newest_first: bool) -> Iterator[tuple[int, int]]:
        """The pieces of low <= n < high that are packed together, in order."""
        first_n = self._first_n
        numbers = range((low - first_n) // ROWS, (high - 1 - first_n) // ROWS + 1)
        for number in reversed(numbers) if newest_first else numbers:
            yield first_n + number * ROWS, first_n + (number + 1) * ROWS

    def remembered(self, low: int) -> Packed | None:
        """The piece that begins so, if it has been packed before."""
        return self._packs.get(low, self._origin)

    def look(self, packed: Packed, low: int, high: int) -> list[int] | None:
        """Which tasks of a piece may match, ascending; None: any may."""
        if self._test(packed.data):
            return None
        asked = self._asked
        if not asked and not packed.unfinished:
            return []
        return sorted({*packed.unfinished, *asked[bisect_left(asked, low) : bisect_left(asked, high)]})

    def pack(self, segment: OpenSegment, low: int, high: int) -> Packed | None:
        """Ask for the texts of a piece; None where the segment has been sealed meanwhile."""
        if segment.sealed is not None:
            return None
        execute = segment.connection.execute
        count, unfinished, *texts = execute(_SQL["pack"], (low, high, _ENDED)).fetchone()
        # What has changed since that statement is in these then, which may only say too much.
        texts += execute(_SQL["texts"], (low, high)).fetchone()
        if segment.bundled:
            texts.append("\n".join(segment.bundles.texts(low, high)).encode())
        packed = Packed(self._origin, b"\n".join(filter(None, texts)).lower(), tuple(json.loads(unfinished)))
        if count == ROWS and len(packed.unfinished) <= UNFINISHED:
            self._packs.keep(low, packed)
        return packed


class _Wanted:
    """What the texts of tasks must have for one of these to match."""

    def __init__(self, segment: OpenSegment) -> None:
        self._connection = segment.connection
        #: Tasks that match by their ids.
        self.ids: list[int] = []

    def test(self, node: Node) -> Test | None:
        """False for texts of which no task matches; None where texts tell nothing."""
        if isinstance(node, And | Or):
            found = [self.test(part) for part in node.nodes]
            tests = [test for test in found if test is not None]
            if isinstance(node, And):
                return (lambda data: all(test(data) for test in tests)) if tests else None
            return (lambda data: any(test(data) for test in tests)) if len(tests) == len(found) else None
        if isinstance(node, Compare) and isinstance(node.value, str):
            return self._compare(node.field, node.op, node.value)
        return None

    def _compare(self, field: Field, op: Op, value: str) -> Test | None:
        if field is Field.TEXT:
            if op is not Op.CONTAINS or self._in_words(value):
                return None
            self.ids += ids_beginning(self._connection, value)
        elif field not in CONTENTS or field is Field.TRACEBACK:
            return None
        pieces = [ascii_lower(piece).encode() for piece in (value.split("*") if op is Op.GLOB else [value]) if piece]
        return (lambda data: all(piece in data for piece in pieces)) if pieces else None

    def _in_words(self, value: str) -> bool:
        """Whether a name or a worker may have it."""
        test = text_test(Op.CONTAINS, value)
        return any(test(word) for (word,) in self._connection.execute(_SQL["words"]))
