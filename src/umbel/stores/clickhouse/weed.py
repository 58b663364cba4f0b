"""Dropping tasks that a rule of the retention keeps for a shorter time than others of their part.

A span that loses tasks is *weeded*: its rows in `rollup` then stand for good, for they could not be computed anew.
What goes is written down first, in `doomed`: a deletion takes one piece of a table after the other, and a task that has
lost some of its rows would be judged otherwise. After a crash the next round goes on from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any, Final

from umbel.retention import Retention
from umbel.stores.clickhouse import books, schema
from umbel.stores.clickhouse.compile import like_pattern
from umbel.stores.clickhouse.connection import Connection
from umbel.stores.clickhouse.holdings import told_by
from umbel.stores.clickhouse.rows import STATES
from umbel.stores.clickhouse.spans import Span, ranges_of
from umbel.stores.sqlfile import load

#: Tasks looked at in one round, if they are of more than one span: each deletion reads what it deletes from anew.
STRETCH: Final = 1_000_000
#: Share of the shortest age after which the next walk begins, and for which a span is to be left alone before.
SHARE: Final = 0.1
#: A moment before every other: the cutoff of tasks that stay for ever.
_NEVER: Final = -2.0

SQL: Final = load(Path(__file__).with_name("weed.sql"))


class Weeding:
    """Walks all spans that nothing is written to, again and again, a stretch at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._next = 0
        self._begun_at = 0.0
        #: Whether something may be doomed: the last who dropped may have died.
        self._unfinished = True

    def step(self, spans: Sequence[Span], retention: Retention, now: float) -> int:
        """Look at one stretch; how many tasks were dropped."""
        if not retention.rules or retention.shortest is None:
            return 0
        if self._unfinished:
            self._drop_doomed()
        quiet = [span for span in spans[:-1] if span.touched_at < now - retention.shortest * SHARE]
        if not all(span.clean for span in quiet):
            # They are being rolled up.
            return 0
        stretch = self._stretch(quiet)
        if not stretch and abs(now - self._begun_at) >= retention.shortest * SHARE:
            self._next, self._begun_at = 0, now
            stretch = self._stretch(quiet)
        if not stretch:
            return 0
        self._next = stretch[-1].number + 1
        old = [span.number for span in stretch if span.first_at < now - retention.shortest]
        return self._weed(old, retention, now) if old else 0

    def _stretch(self, quiet: Sequence[Span]) -> Sequence[Span]:
        """The next spans of the walk: of one part, and about as many tasks as a round looks at."""
        layout = self._connection.target.layout
        found: list[Span] = []
        tasks = 0
        for span in quiet:
            if span.number < self._next:
                continue
            tasks += span.tasks
            if found and (tasks > STRETCH or layout.part_of(span.number) != layout.part_of(found[0].number)):
                break
            found.append(span)
        return found

    def _weed(self, numbers: Sequence[int], retention: Retention, now: float) -> int:
        """Drop what is too old in some spans."""
        span = self._connection.target.layout.span
        cutoff, parameters = _cutoff(retention, now)
        words = {"span": span, "cutoff": cutoff, "told": told_by(ranges_of(numbers, span))}
        found = self._connection.query(Template(SQL["weeds"]).substitute(words), parameters)
        rows = [_weeded(number, staying, now) for number, gone, staying in found if gone]
        if rows:
            self._unfinished = True
            self._connection.insert("entry", books.COLUMNS, rows)
            self._connection.command(Template(SQL["doom"]).substitute(words), parameters)
            self._drop_doomed()
        return sum(gone for _, gone, _ in found)

    def _drop_doomed(self) -> None:
        """Delete what is doomed wherever it is; what leads there last."""
        if self._connection.query(SQL["any_doomed"])[0][0]:
            places = self._connection.query(self._sql("places"))
            for table in ("task", "place", "stray"):
                for number, low, high in places:
                    self._connection.command(self._sql("drop_doomed", table=table, number=number, low=low, high=high))
            self._connection.command(self._sql("forget_doomed"))
        self._unfinished = False

    def _sql(self, name: str, **words: str | int) -> str:
        return schema.fill(SQL[name], self._connection.target, **words)


def _weeded(span: int, left: int, now: float) -> books.Row:
    return books.entry_row("weeded", str(span), int(now * 1e6), now, number=span, data=str(left))


def _cutoff(retention: Retention, now: float) -> tuple[str, Mapping[str, Any]]:
    """SQL for the time before which a task is too old, and its parameters."""
    cases: list[str] = []
    parameters: dict[str, Any] = {}
    for at, rule in enumerate(retention.rules):
        ranks = [rank for rank, state in enumerate(STATES) if not rule.states or state.value in rule.states]
        cases.append(f"name LIKE {{name{at}:String}} AND rank IN ({', '.join(map(str, ranks))})")
        cases.append(repr(_before(rule.age, now)))
        parameters[f"name{at}"] = like_pattern(rule.name)
    return f"multiIf({', '.join(cases)}, {_before(retention.age, now)!r})", parameters


def _before(age: float | None, now: float) -> float:
    return _NEVER if age is None else now - age
