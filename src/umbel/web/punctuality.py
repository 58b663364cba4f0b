"""How the entries of a plan were kept, read from the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from umbel.clock import Clock
from umbel.control.schedules import Plan, Planned
from umbel.model.query import EVERYTHING, And, Compare, Field, Op, Or, Order, Page
from umbel.model.task import Summary
from umbel.model.timetable import EARLY, Verdict, by_calendar, by_interval
from umbel.model.workflow import first_at
from umbel.stores.base import StoreReader
from umbel.web.filters import quoted
from umbel.web.pages.charts import Gap, gaps_of

#: Runs looked at of one task name, how long each search may take, and all of them (seconds).
RUNS: Final = 200
SOON: Final = 0.3
SECONDS: Final = 3.0
#: Runs of an interval that are looked back at, and the longest look back in seconds.
BACK: Final = 50
LONGEST: Final = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Row:
    """One entry."""

    planned: Planned
    verdict: Verdict
    #: The newest run of it.
    last: Summary | None
    #: Other entries run the same task, and runs are told apart by their arguments.
    told_apart: bool

    @property
    def search(self) -> str:
        """The search that lists its runs."""
        return f"name:={quoted(self.planned.task)}"


class History:
    """What ran, by task name; searches that would take too long in all are left out, and nothing is judged of them."""

    def __init__(self, reader: StoreReader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._now = now = clock.now()
        self._deadline = clock.monotonic() + SECONDS
        first = reader.tasks(EVERYTHING, Page(1, order=Order.OLDEST)).items
        #: Since when runs would have been seen.
        self._start = first_at(first[0]) if first else now
        self._gaps = gaps_of(reader.ledger(since=now - LONGEST), now - LONGEST, now)

    def rows(self, plan: Plan) -> list[Row]:
        """Every entry with what was found of it, in the order of the plan."""
        shared = Counter(planned.task for planned in plan.items)
        return [self.row(planned, told_apart=shared[planned.task] > 1) for planned in plan.items]

    def row(self, planned: Planned, *, told_apart: bool) -> Row:
        """An entry with what was found of it."""
        tasks, start = self._runs(planned, told_apart=told_apart)
        runs = [first_at(task) for task in tasks]
        known = self._known(start)
        if planned.every is not None:
            verdict = by_interval(planned.every, runs, self._now, known)
        else:
            verdict = by_calendar(planned.dues, planned.next_at, runs, self._now, known)
        if planned.next_at is not None and planned.every is not None:
            verdict = Verdict(
                verdict.state, verdict.last_at, planned.next_at, verdict.late, verdict.missed, verdict.judged
            )
        return Row(planned, verdict, tasks[-1] if tasks else None, told_apart)

    def _runs(self, planned: Planned, *, told_apart: bool) -> tuple[list[Summary], float]:
        """The runs of an entry's task, the oldest first, and since when all of them are among these."""
        left = self._deadline - self._clock.monotonic()
        if left <= 0:
            return [], self._now
        since = (
            self._now - min(LONGEST, BACK * planned.every) if planned.every else min(planned.dues, default=self._now)
        )
        since -= EARLY
        times = Or((Compare(Field.SENT, Op.GE, since), Compare(Field.RECEIVED, Op.GE, since)))
        where = And((Compare(Field.NAME, Op.EQ, planned.task), times))
        found = self._reader.tasks(where, Page(RUNS, within=min(SOON, left)))
        tasks = list(found.items)
        start = self._start
        if found.next is not None:
            start = max(start, first_at(tasks[-1]) if tasks else self._now, found.covered_since or 0.0)
        if told_apart:
            records = self._reader.records([task.id for task in tasks])
            tasks = [task for task in tasks if _same(planned, records.get(task.id))]
        return sorted(tasks, key=first_at), start

    def _known(self, start: float) -> Callable[[float, float], bool]:
        gaps: Sequence[Gap] = self._gaps

        def known(since: float, until: float) -> bool:
            return since >= start and not any(gap.start <= until and gap.end >= since for gap in gaps)

        return known


def _same(planned: Planned, record: object) -> bool:
    described = getattr(record, "description", None)
    return described is not None and (described.args, described.kwargs) == (planned.args, planned.kwargs)
