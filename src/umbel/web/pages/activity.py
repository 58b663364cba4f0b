"""When the tasks of a search ran: a chart above the list, whose spans are searches again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from umbel.model.query import Field, Node, span_of
from umbel.model.rollup import RollupPoint
from umbel.model.scope import SERIES, Scope, scope_of
from umbel.model.task import State
from umbel.stores.base import StoreReader, Survey
from umbel.web.pages.charts import Chart, Line

#: Columns at most, and their widths to choose from (seconds); rollups have no finer one than a minute.
COLUMNS: Final = 62
STEPS: Final = (1, 5, 15, 60, 300, 900, 3_600, 10_800, 43_200, 86_400, 604_800)
MINUTE: Final = 60
#: What is looked at where the search names no span, and at most (seconds).
USUAL: Final = 3_600
LONGEST: Final = COLUMNS * STEPS[-1]
#: Names that are asked for one by one.
NAMES: Final = 8
KNOWN_NAMES: Final = 1_000

#: Lines from the bottom of the stack to its top: key, and the state it counts; None: all that are under way.
LINES: Final[Sequence[tuple[str, State | None]]] = (
    ("succeeded", State.SUCCESS),
    ("failed", State.FAILURE),
    ("retried", State.RETRY),
    ("revoked", State.REVOKED),
    ("rejected", State.REJECTED),
    ("open", None),
)


@dataclass(frozen=True, slots=True)
class Activity:
    """The chart and what it is made of."""

    chart: Chart
    #: In plain words.
    note: str
    #: Keys of the lines that hold anything.
    keys: Sequence[str]


def activity(reader: StoreReader, where: Node, now: float, survey: Survey) -> Activity | None:
    """Counts by state: of every task where rollups tell them, else of those surveyed; None where there is nothing."""
    scope = scope_of(where)
    if scope is not None:
        names = scope.those(reader.names(KNOWN_NAMES)) if scope.names else [None]
        if len(names) <= NAMES:
            return _exact(reader, scope, names, where, now)
    return _of_survey(survey)


def _exact(reader: StoreReader, scope: Scope, names: Sequence[str | None], where: Node, now: float) -> Activity | None:
    since, until = span_of(where)
    end = min(until or now, now)
    begin = max(since if since is not None else end - USUAL, end - LONGEST)
    if begin >= end:
        return None
    step = _step(end - begin, MINUTE)
    start = int(begin // step) * step
    columns = ceil((end - start) / step)
    points = [point for name in names for point in reader.rollup(start, start + columns * step, step, name)]
    counts = [(point.at, key, n) for point in points for key, n in _counted(point, scope)]
    span = "the last hour" if since is None and until is None else "the span searched"
    return _drawn(counts, Field.FINISHED, (start, step, columns), f"every one that ended in {span}")


def _counted(point: RollupPoint, scope: Scope) -> Iterable[tuple[str, int]]:
    for key, state in LINES:
        if state is not None and (scope.states is None or state in scope.states):
            yield key, point.counts.get(SERIES[state], 0)


def _of_survey(survey: Survey) -> Activity | None:
    if not survey.seen:
        return None
    keys = {state: key for key, state in LINES if state is not None}
    first, last = min(at for _, at in survey.seen), max(at for _, at in survey.seen)
    step = _step(last - first + 1, 1)
    start = first // step * step
    columns = (last - start) // step + 1
    found: Counter[tuple[int, str]] = Counter()
    for (state, at), n in survey.seen.items():
        found[start + (at - start) // step * step, keys.get(state, "open")] += n
    counts = [(at, key, n) for (at, key), n in found.items()]
    many = f"{survey.tally.looked_at:,}"
    whole = f"all {many} found" if survey.tally.whole else f"the newest {many} found"
    field = Field.RECEIVED if survey.received else Field.SENT
    return _drawn(counts, field, (start, step, columns), f"{whole}, by when they were received")


def _step(length: float, least: int) -> int:
    fits = (step for step in STEPS if step >= least and length <= step * (COLUMNS - 1))
    return next(fits, STEPS[-1])


def _drawn(counts: Iterable[tuple[int, str, int]], field: Field, axis: tuple[int, int, int], note: str) -> Activity:
    """The chart of counts by column and line; the axis: where it begins, how wide a column is, how many there are."""
    start, step, columns = axis
    values = {key: [0] * columns for key, _ in LINES}
    for at, key, n in counts:
        column = (at - start) // step
        if 0 <= column < columns:
            values[key][column] += n
    lines = tuple(Line(key, tuple(values[key]), stacked=True) for key, _ in LINES if any(values[key]))
    chart = Chart("activity", "count", field.value, start, step, columns, lines, ())
    return Activity(chart, note, [line.key for line in lines])
