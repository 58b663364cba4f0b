"""Whether a store agrees with itself: rollups with what the records add up to, and the books with the ledger.

Rollups are sums, so they are compared by a sum: every cell counts as its hash times its count. Memory then depends on
the days that a store covers, not on its tasks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from umbel.model.event import EventClass
from umbel.model.ledger import Reason
from umbel.model.rollup import RUN, WAIT, RollupPoint, Series, contribution
from umbel.model.task import summarize
from umbel.stores.base import Finding, StoreReader

#: Records read at once; rows of the ledger and kinds of exceptions asked for.
PAGE: Final = 2_000
ROWS: Final = 1_000_000
DAY: Final = 86_400
#: Seconds between which rollups are looked for: the years 1970 to 2286.
EVER: Final = (0.0, 1e10)
_MASK: Final = (1 << 64) - 1


@dataclass(slots=True)
class Day:
    """What one day's rollups should say, or say."""

    #: Sums of hashes of (name, minute, code), of (minute, code), and of (exception type, name).
    named: int = 0
    all: int = 0
    exceptions: int = 0
    counts: Counter[int] = field(default_factory=Counter)

    def add(self, name: str, minute: int, code: int, count: int = 1) -> None:
        self.named = (self.named + hash((name, minute, code)) * count) & _MASK
        if code < WAIT:
            self.counts[code] += count

    def add_all(self, minute: int, code: int, count: int = 1) -> None:
        self.all = (self.all + hash((minute, code)) * count) & _MASK

    def add_exception(self, type_: str, name: str, count: int = 1) -> None:
        self.exceptions = (self.exceptions + hash((type_, name)) * count) & _MASK


def consistent(reader: StoreReader, told: Callable[[int], None], *, ruled: bool = False) -> Iterator[Finding]:
    """Findings about the store as a whole; `told` is given the number of records looked at since the last call.

    `ruled`: rules of retention drop records and leave their rollups, which then say more than the records.
    """
    days, tasks = _expected(reader, told)
    yield _counted(reader, tasks)
    yield from _books(reader)
    known = {int(point.at) // DAY for point in reader.rollup(*EVER, DAY)}
    wrong = [
        problem for day in sorted({*days, *known}) for problem in _day(reader, day, days.get(day, Day()), ruled=ruled)
    ]
    yield from wrong or [Finding(f"rollups of {len(days)} days")]


def _expected(reader: StoreReader, told: Callable[[int], None]) -> tuple[dict[int, Day], int]:
    """What all records add up to, by day, and how many there are."""
    days: dict[int, Day] = {}
    tasks = 0
    cursor: str | None = ""
    while cursor is not None:
        page = reader.scan(cursor, PAGE)
        for task in page.tasks:
            what = contribution(task, summarize(task))
            for minute, code in what.cells:
                day = days.setdefault(minute // 1440, Day())
                day.add(what.name, minute, code)
                day.add_all(minute, code)
            if what.exception is not None:
                minute, type_ = what.exception
                days.setdefault(minute // 1440, Day()).add_exception(type_, what.name)
        tasks += len(page.tasks)
        told(len(page.tasks))
        cursor = page.next
    return days, tasks


def _counted(reader: StoreReader, tasks: int) -> Finding:
    said = reader.state().tasks
    if said == tasks:
        return Finding(f"{tasks:,} records")
    problem = f"the store counts {said:,} tasks and holds {tasks:,}; umbel collect mends it when it starts"
    return Finding("records", problem)


def _books(reader: StoreReader) -> Iterator[Finding]:
    state = reader.state()
    books = state.books
    ledger = reader.ledger(ROWS)
    entered: Counter[tuple[Reason, EventClass]] = Counter()
    for entry in ledger:
        if not entry.estimated:
            entered[entry.reason, entry.event_class] += entry.count
    problems = [
        f"the ledger has {count:,} events {kind[0]}, {kind[1]}, and the books {books.discarded.get(kind, 0):,}"
        for kind, count in entered.items()
        if count > books.discarded.get(kind, 0)
    ]
    estimated, missed = sum(e.count for e in ledger if e.estimated), sum(books.missed_estimate.values())
    if estimated > missed:
        problems.append(f"the ledger estimates {estimated:,} missed events and the books say {missed:,}")
    if books.received != books.stored + sum(books.discarded.values()):
        problems.append(f"{books.received:,} events received are not those stored and discarded")
    if state.tasks > books.stored:
        problems.append(f"{state.tasks:,} tasks cannot come from {books.stored:,} stored events")
    why = "; books begin anew where a damaged catalog was set aside" if state.set_aside else ""
    yield from [Finding("books", f"{problem}{why}") for problem in problems] or [
        Finding(f"books: {books.received:,} events received, {books.stored:,} stored")
    ]


def _day(reader: StoreReader, day: int, expected: Day, *, ruled: bool) -> Iterator[Finding]:
    """What is wrong with the rollups of one day."""
    start, end = float(day * DAY), float((day + 1) * DAY)
    said = Day()
    what = f"rollups of day {_date(start)}"
    for whole in reader.rollup_names(start, end):
        minutes = _cells(reader.rollup(start, end, 60, whole.name))
        for (minute, code), count in minutes.items():
            said.add(whole.name, minute, code, count)
        hours = reader.rollup(start, end, 3_600, whole.name)
        yield from _coarser(f"{what}, {whole.name!r}", minutes, hours, [whole])
    every = _cells(reader.rollup(start, end, 60))
    for (minute, code), count in every.items():
        said.add_all(minute, code, count)
    hours, days = reader.rollup(start, end, 3_600), reader.rollup(start, end, DAY)
    yield from _coarser(f"{what}, all names", every, hours, days)
    for failure in reader.exceptions(start, end, ROWS):
        said.add_exception(failure.exception_type, failure.name, failure.count)
    if ruled and said.counts >= expected.counts:
        return
    if said.counts != expected.counts:
        yield Finding(what, f"they say {_shown(said.counts)}, the records {_shown(expected.counts)}")
    elif said.named != expected.named or said.all != expected.all:
        yield Finding(what, "the minutes or latencies are not those of the records")
    if said.exceptions != expected.exceptions:
        yield Finding(what, "the failures by exception are not those of the records")


def _coarser(
    what: str, minutes: Counter[tuple[int, int]], hours: Iterable[RollupPoint], days: Iterable[RollupPoint]
) -> Iterator[Finding]:
    """Hours and days must be the sums of their minutes."""
    by_hour: Counter[tuple[int, int]] = Counter()
    by_day: Counter[int] = Counter()
    for (minute, code), count in minutes.items():
        by_hour[minute // 60 * 60, code] += count
        by_day[code] += count
    if _cells(hours) != by_hour:
        yield Finding(what, "the hours are not the sums of their minutes")
    if Counter({code: count for (_, code), count in _cells(days).items()}) != by_day:
        yield Finding(what, "the day is not the sum of its minutes")


def _cells(points: Iterable[RollupPoint]) -> Counter[tuple[int, int]]:
    """Counts by (minute, code)."""
    found: Counter[tuple[int, int]] = Counter()
    for point in points:
        minute = int(point.at) // 60
        for series, count in point.counts.items():
            found[minute, int(series)] += count
        for base, buckets in ((WAIT, point.wait), (RUN, point.run)):
            for bucket, count in buckets.items():
                found[minute, base + bucket] += count
    return found


def _shown(counts: Counter[int]) -> str:
    return ", ".join(f"{n:,} {Series(code).name.lower()}" for code, n in sorted(counts.items()) if n) or "nothing"


def _date(start: float) -> str:
    return datetime.fromtimestamp(start, UTC).date().isoformat()
