"""How often a rule would have fired in the last day, by the same steps, where the store can tell it in a moment."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from umbel.access.identity import glob
from umbel.alerts.machine import Finding, Reading, State, step
from umbel.alerts.rules import Kind, Rule
from umbel.model.query import And, Compare, Op, Or, Page
from umbel.model.rollup import RollupPoint
from umbel.model.search import parse
from umbel.model.task import Summary
from umbel.watch.measure import TIMES, measure
from umbel.watch.sight import Look
from umbel.web.alerting import Rehearsal

#: Seconds that are gone through, and how long that may take.
BACK: Final = 86_400.0
PATIENCE: Final = 3.0
#: Seconds between two looks, at least and at most.
OFTEN: Final = 300.0
SELDOM: Final = 1_800.0
#: Tasks of a search that are gone through, and those that are asked for at once.
TASKS: Final = 5_000
PAGE: Final = 1_000

#: A moment (UTC seconds) and what the rule would have found then.
Moment = tuple[float, Reading]


def rehearse(rule: Rule, look: Look) -> Rehearsal | None:
    """None for a kind of rule of which no history is kept; raises `UmbelError`."""
    if rule.on is Kind.EXCEPTION:
        return _exceptions(rule, look)
    history = _HISTORIES.get(rule.on)
    if history is None:
        return None
    moments = history(rule, look)
    state, times = State(), list[float]()
    for at, reading in moments:
        one = step(rule, state, reading, at)
        state = one.state
        times += [at for turn in one.turns if turn.fired]
    return Rehearsal(times, moments[0][0] if moments else look.now)


def _pace(rule: Rule) -> float:
    return min(max(rule.within / 2, OFTEN), SELDOM)


def _grid(rule: Rule, now: float) -> list[float]:
    """The moments of a day, the oldest first."""
    pace = _pace(rule)
    return [now - pace * number for number in range(int(BACK // pace), -1, -1)]


@dataclass(slots=True)
class _Then(Look):
    """A look at an earlier moment: what rollups told of it."""

    points: Sequence[RollupPoint] = ()

    def names(self, within: float) -> Sequence[RollupPoint]:
        del within
        return self.points


def _rolled(rule: Rule, look: Look) -> list[Moment]:
    """From rollups, the newest moments first, as long as there is time; the oldest of them first."""
    clock = look.sight.clock
    deadline = clock.monotonic() + PATIENCE
    moments: list[Moment] = []
    for at in reversed(_grid(rule, look.now)):
        if clock.monotonic() > deadline:
            break
        end = int(at // 60 + 1) * 60
        points = look.reader.rollup_names(end - int(rule.within // 60 + 1) * 60, end)
        moments.append((at, measure(rule, _Then(look.sight, at, {}, points=points))))
    return moments[::-1]


def _found(rule: Rule, look: Look) -> list[Moment]:
    """From the tasks that a search finds now, counted at each moment by their times."""
    grid = _grid(rule, look.now)
    tasks, whole_since = _tasks(rule, look, grid[0] - rule.within)
    changes = [0] * (len(grid) + 1)
    for task in tasks:
        end = float("-inf")
        for time in sorted(at for at in (task.sent_at, task.received_at, task.started_at, task.finished_at) if at):
            # It counts while one of its times lies in the span: where two spans meet, once.
            begin, end = max(time, end), time + rule.within
            changes[bisect_left(grid, begin)] += 1
            changes[bisect_right(grid, end)] -= 1
    counts = list(accumulate(changes))
    return [(at, _counted(rule, counts[number])) for number, at in enumerate(grid) if at >= whole_since]


def _tasks(rule: Rule, look: Look, since: float) -> tuple[list[Summary], float]:
    """The tasks, and from when on (UTC seconds) all that count were among them."""
    times = Or(tuple(Compare(field, Op.GE, since) for field in TIMES))
    where = And((parse(rule.search, look.now), times))
    deadline = look.sight.clock.monotonic() + PATIENCE
    tasks: list[Summary] = []
    cursor: str | None = ""
    while cursor is not None:
        left = deadline - look.sight.clock.monotonic()
        if len(tasks) >= TASKS or left <= 0:
            last = tasks[-1].updated_at if tasks else look.now
            return tasks, last + rule.within
        page = look.reader.tasks(where, Page(PAGE, cursor, within=left))
        tasks += page.items
        if not page.complete:
            return tasks, (page.covered_since or look.now) + rule.within
        cursor = page.next
    return tasks, since


def _counted(rule: Rule, count: int) -> Reading:
    holds = count < rule.under if rule.under is not None else count > rule.over
    return Reading({"": Finding(f"{count:,}", float(count))} if holds else {})


def _exceptions(rule: Rule, look: Look) -> Rehearsal:
    matches, since = glob(rule.pattern), look.now - BACK
    known = (one for one in look.known.values() if one.first_at >= since and matches.match(one.name))
    return Rehearsal(sorted(one.first_at for one in known), since)


_HISTORIES: Final[Mapping[Kind, Callable[[Rule, Look], list[Moment]]]] = {
    Kind.SEARCH: _found,
    Kind.FAILURES: _rolled,
    Kind.LATENCY: _rolled,
}
