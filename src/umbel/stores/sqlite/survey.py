"""What the tasks have that a search finds: counted as they are walked, and the first page of them in the same walk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from umbel.clock import Clock
from umbel.model.query import Field, Node, Order
from umbel.model.tally import FACETS, Tally, tally
from umbel.model.task import State, Summary, exception_type
from umbel.stores.base import Count, Survey, Surveying, TaskPage, seen_of
from umbel.stores.kinds import STATES
from umbel.stores.sqlite.answers import Asking, first_seen
from umbel.stores.sqlite.compile import compile_node
from umbel.stores.sqlite.rows import summary_of
from umbel.stores.sqlite.scan import Area, Scan, Stretch
from umbel.stores.sqlite.sessions import OpenSegment, Session

#: What is counted of a task, by field, and for `Survey.seen`: a time is negative where it was sent and not received.
COLUMNS: Final = {
    Field.STATE: "task.state",
    Field.NAME: "task.name",
    Field.WORKER: "task.worker",
    Field.QUEUE: "task.queue",
    Field.EXCEPTION: "task.exception",
}
TIME: Final = "CAST(coalesce(task.received_at, -task.sent_at, 0) AS INTEGER)"
#: Seconds for counting what is not looked at any more, where bits tell.
COUNTED: Final = 0.01


def tally_of(
    session: Session, where: Node, most: int, clock: Clock, *, budget: float, fields: Sequence[Field] = FACETS
) -> Tally:
    """Which values the newest tasks that match have, up to `most` of them."""
    walk = _Walk(session, where, Surveying(0, budget, most, budget, 0.0), clock, _Sums(fields))
    walk.go()
    return walk.tally()


def survey_of(session: Session, where: Node, asked: Surveying, clock: Clock, budget: float) -> Survey:
    """The newest that match, and what is told of all of them, found in one walk."""
    walk = _Walk(session, where, replace(asked, soon=min(budget, asked.soon)), clock, _Sums(FACETS, timed=True))
    walk.go()
    page = walk.page()
    sums = walk.sums
    received = any(task.received_at is not None for task in walk.items) or sums.received
    return Survey(page, walk.count() if page.complete else None, walk.tally(), walk.seen(), received)


class _Sums:
    """What was counted of tasks."""

    def __init__(self, fields: Sequence[Field], *, timed: bool = False) -> None:
        self.counts: dict[Field, Counter[str]] = {field: Counter() for field in fields}
        self.seen: Counter[tuple[State, int]] = Counter()
        self.received = False
        self._timed = timed
        columns = ["task.n", *(COLUMNS[field] for field in fields), *([TIME] if timed else [])]
        #: What rows consist of.
        self.columns: str = ", ".join(columns)

    def add(self, rows: Sequence[Any], segment: OpenSegment) -> None:
        """Count rows by what their numbers and words stand for in their segment."""
        _, *columns = zip(*rows, strict=True)
        for (field, counts), column in zip(self.counts.items(), columns, strict=False):
            for value, count in Counter(column).items():
                counts[_text(field, value, segment)] += count
        if self._timed:
            for (number, at), count in Counter(zip(columns[0], columns[-1], strict=True)).items():
                self.received = self.received or at > 0
                if at:
                    self.seen[STATES[number], abs(at)] += count


def _text(field: Field, value: Any, segment: OpenSegment) -> str:
    if field is Field.STATE:
        return STATES[value].value
    if field is Field.EXCEPTION:
        return exception_type(value or "")
    return segment.word(value) if value else ""


class _Walk:
    """One walk: the tasks of a page first, then others as far as number and time allow."""

    def __init__(self, session: Session, where: Node, asked: Surveying, clock: Clock, sums: _Sums) -> None:
        condition = compile_node(where)
        self._scan = Scan(session, where, condition, order=Order.NEWEST, cursor=None, clock=clock, budget=asked.soon)
        self._session, self._asked, self._clock = session, asked, clock
        self._ask = Asking(self._scan, condition)
        self._began = clock.monotonic()
        #: One more than the page holds tells whether there are others.
        self._wanted = asked.rows + 1 if asked.rows else 0
        self.items: list[Summary] = []
        self._order: list[int] = []
        self.sums = sums
        #: Tasks counted, and further ones of which only their number is known.
        self._counted = 0
        self._further = 0
        #: Tasks are looked at no more; the last one that was.
        self._stopped = False
        self._last: int | None = None

    def go(self) -> None:
        """Look at all of it, as far as number and time allow."""
        with self._scan.timed():
            for area in self._scan.areas():
                if not self._stopped:
                    self._look(area)
                    if not self._stopped:
                        self._stop_if_late(area)
                        continue
                if not self._only_count(area):
                    return

    def _look(self, area: Area) -> None:
        for stretch in self._scan.stretches(area):
            rest = self._list(stretch) if len(self.items) < self._wanted else stretch
            if rest is not None:
                self._tally(rest)
            if self._stopped:
                return
        if not area.done and len(self.items) >= self._wanted:
            self._stop(self._scan.at)

    def _stop_if_late(self, area: Area) -> None:
        """Look at no other area where the time for it is up."""
        if area.done and len(self.items) >= self._wanted and self._scan.is_late():
            self._stop(area.low)

    def _list(self, stretch: Stretch) -> Stretch | None:
        """Take tasks of a stretch for the page; what is left of it once that is full."""
        rows = self._ask.rows(stretch, self._wanted - len(self.items))
        self.items += map(summary_of, rows)
        self._order += [row[0] for row in rows]
        self._counted += len(rows)
        if len(self.items) < self._wanted:
            return None
        self._scan.until(max(self._began + self._asked.within, self._clock.monotonic() + self._asked.least))
        last = self._order[-1]
        if stretch.chosen is None:
            return replace(stretch, high=last)
        return replace(stretch, chosen=[n for n in stretch.chosen if n < last])

    def _tally(self, stretch: Stretch) -> None:
        room = self._asked.most - self._counted
        # Here too one more tells whether there are others.
        rows, late = self._ask.stream(stretch, self.sums.columns, room + 1)
        counted = rows[:room]
        if counted:
            self._scan.ask(stretch.number, partial(self.sums.add, counted))
        self._counted += len(counted)
        if late or len(rows) > len(counted):
            self._stop(counted[-1][0] if counted else self._order[-1] if self._at_page() else self._scan.at)

    def _at_page(self) -> bool:
        """Whether nothing behind the page has been looked at."""
        return bool(self._order) and (self._scan.at is None or self._scan.at > self._order[-1])

    def _stop(self, last: int | None) -> None:
        self._stopped, self._last = True, last
        self._scan.until(self._clock.monotonic() + COUNTED)

    def _only_count(self, area: Area) -> bool:
        """Add how many tasks of an area match, where bits tell that without a look at them; false where they do not."""
        if self._wanted == 0 or self._counted + self._further >= self._asked.most:
            return False
        if not area.exact or area.bits is None:
            return False
        bits = area.bits
        if self._last is not None and self._last < area.high:
            bits &= (1 << max(0, self._last - area.listed.first_n)) - 1
        self._further += bits.bit_count()
        area.done = True
        return True

    def page(self) -> TaskPage:
        if self._wanted and len(self.items) == self._wanted:
            return TaskPage(self.items[:-1], str(self._order[-2]))
        if self._scan.complete or self._scan.at is None:
            return TaskPage(self.items, None)
        at = self._scan.at
        return TaskPage(self.items, str(at), complete=False, covered_since=first_seen(self._session, at))

    def count(self) -> Count:
        n, most = self._counted + self._further, self._asked.most
        return Count(min(n, most), capped=n > most or not self._scan.complete)

    def tally(self) -> Tally:
        listed = tally(self.items)
        counts = {field: counts + listed[field] for field, counts in self.sums.counts.items()}
        if self._scan.complete and not self._stopped:
            return Tally(counts, self._counted, whole=True)
        last = self._last if self._stopped else self._scan.at
        since = None if last is None else first_seen(self._session, last)
        return Tally(counts, self._counted, whole=False, since=since)

    def seen(self) -> Counter[tuple[State, int]]:
        return self.sums.seen + seen_of(self.items)
