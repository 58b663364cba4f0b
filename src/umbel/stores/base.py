"""What a store must do: take commits from a collector, answer the web.

One suite in tests/conformance holds all engines to it.

A commit is all or nothing as far as anyone can tell: after a crash at any moment, the same batch may come again and
must change nothing that it had changed, and the position is never ahead of the rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

from umbel.model.event import EventClass
from umbel.model.holdings import Part, RetentionEffect
from umbel.model.ledger import Books, LedgerEntry, Quarantined, Reason
from umbel.model.merge import Task
from umbel.model.meter import Counters, Meters, Pair
from umbel.model.query import Field, Node, Page
from umbel.model.rollup import RollupPoint
from umbel.model.tally import FACETS, Tally, tally
from umbel.model.task import State, Summary
from umbel.model.worker import Worker, WorkerKey
from umbel.retention import Retention


@dataclass(frozen=True, slots=True)
class Position:
    """How far a source has been read; the text is the source's own, kept by the store with the rows."""

    source: str
    value: str


@dataclass(slots=True)
class Commit:
    """Everything that one batch brings, folded; written in one go."""

    #: Wall time of the commit, UTC seconds.
    at: float
    #: By task id: the join of the batch's events about it.
    tasks: Mapping[str, Task] = field(default_factory=dict)
    workers: Mapping[WorkerKey, Worker] = field(default_factory=dict)
    #: Events in the batch that end in the store (all but the discarded).
    stored: int = 0
    #: Events discarded, counted in `received` as well: what could not be decoded, what the spool shed.
    discarded: Mapping[tuple[Reason, EventClass], int] = field(default_factory=dict)
    ledger: Sequence[LedgerEntry] = ()
    quarantine: Sequence[Quarantined] = ()
    #: None where the source keeps no position (the broker does).
    position: Position | None = None
    #: Wall time at which the oldest event of the batch was captured; for the lag.
    captured_at: float = 0.0
    #: What the batch adds to the counters that only grow.
    meters: Mapping[Pair, Counters] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Maintenance:
    """What a round of maintenance did."""

    dropped_tasks: int = 0
    freed_bytes: int = 0


class StoreWriter(Protocol):
    """The collector's side; one thread uses it.

    Methods raise `StoreBusy` where a later try of the same may succeed, else `StoreError`.
    """

    def open(self) -> None:
        """Create or migrate, recover from a crash.

        A store that is damaged, or written by a newer Umbel, is set aside under a dated name and a new one begun.
        """
        ...

    def position(self, source: str) -> str | None:
        """The position last committed for a source."""
        ...

    def positions(self, prefix: str) -> Mapping[str, str]:
        """The position last committed for each source whose name begins with `prefix`, by its name.

        Several collectors may share a store: a commit that another of these is making just now is waited for.
        """
        ...

    def forget(self, source: str) -> None:
        """Drop the position of a source that will never be read again."""
        ...

    def workers(self) -> Sequence[Worker]:
        """Worker processes seen within retention, as far as they were committed."""
        ...

    def write(self, commit: Commit) -> None:
        """Join the commit into the store, durably against the death of any process."""
        ...

    def maintain(self, retention: Retention, now: float) -> Maintenance:
        """Do a bounded piece of upkeep (at most about 50 ms): retention, sealing, checkpoints.

        What a retention drops by its rules (see `Retention`) goes within a bounded number of rounds; it never blocks
        `write`.
        """
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class TaskPage:
    """One page of a list of tasks."""

    items: Sequence[Summary]
    #: Cursor of the next page, or None at the end.
    next: str | None
    #: Whether the whole of the store was looked at before the time was up; if not, `next` goes on.
    complete: bool = True
    #: Where it was not: when the last task looked at was first seen (UTC seconds). All that were first seen later have
    #: been looked at (`Order.OLDEST`: earlier); those of the pages before count as well.
    covered_since: float | None = None


#: Tasks of a tally where an engine reads them whole for it.
TALLIED: Final = 500


def tally_of(page: TaskPage) -> Tally:
    """What a page's tasks have, where an engine counts in no other way."""
    whole = page.next is None and page.complete
    since = None if whole else page.covered_since
    if not whole and page.complete:
        last = page.items[-1]
        since = last.sent_at or last.received_at or last.updated_at
    return Tally(tally(page.items), len(page.items), whole, since)


@dataclass(frozen=True, slots=True)
class ScanPage:
    """Whole records, in the order in which the store first saw them."""

    tasks: Sequence[Task]
    #: Cursor of what follows, or None at the end.
    next: str | None
    #: Wall time by which all of them had been seen for the last time, UTC seconds; retention counts from it.
    seen_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Count:
    """How many tasks match."""

    n: int
    #: There are more than `n`.
    capped: bool


@dataclass(frozen=True, slots=True)
class Surveying:
    """What a survey is to find, and in what time (seconds)."""

    #: Tasks of the page, and how long finding them may take.
    rows: int = 50
    soon: float = 0.2
    #: Tasks that are counted at most; how long all of it should take, and may take once the page is there.
    most: int = 10_000
    within: float = 0.04
    least: float = 0.015


@dataclass(frozen=True, slots=True)
class Survey:
    """A search looked at once: its first page, and what can be told of all that it finds."""

    page: TaskPage
    #: None where not even the page could be found in time.
    count: Count | None
    #: Of the newest, those of the page among them.
    tally: Tally
    #: How many of those tallied are in a state, by the second at which they were received, else sent (UTC).
    seen: Mapping[tuple[State, int], int]
    #: Whether any of them was received.
    received: bool


def survey_of(reader: StoreReader, where: Node, asked: Surveying) -> Survey:
    """A survey by one question after the other, for an engine that cannot do it in one walk."""
    page = reader.tasks(where, Page(asked.rows, within=asked.soon))
    items, last = list(page.items), page
    if page.complete and page.next is not None:
        last = reader.tasks(where, Page(TALLIED, page.next, within=asked.within))
        items += last.items
    told = tally_of(TaskPage(items, last.next, last.complete, last.covered_since))
    if told.whole:
        count: Count | None = Count(len(items), capped=False)
    else:
        count = reader.count(where, asked.most, asked.within) if page.complete else None
    return Survey(page, count, told, seen_of(items), any(task.received_at is not None for task in items))


def seen_of(tasks: Iterable[Summary]) -> Counter[tuple[State, int]]:
    """When tasks were received, else sent, by state."""
    times = ((task.state, task.received_at or task.sent_at) for task in tasks)
    return Counter((state, int(at)) for state, at in times if at is not None)


@dataclass(frozen=True, slots=True)
class ExceptionCount:
    """Failures of one kind in a span of time."""

    exception_type: str
    name: str
    count: int


@dataclass(frozen=True, slots=True)
class StoreState:
    """The store about itself."""

    books: Books
    tasks: int
    bytes: int
    #: Wall time of the latest commit, 0 where there was none, and how long it took (seconds).
    committed_at: float
    commit_seconds: float
    #: Wall time at which the newest committed event had been captured; 0 where there was none.
    captured_at: float
    #: Files or tables set aside because they could not be used, newest first.
    set_aside: Sequence[str]
    quarantined: int


class StoreReader(Protocol):
    """The web's side: read-only, safe to call from several threads; raises `StoreError`."""

    def version(self) -> str:
        """A token that changes whenever something was committed; cheap (well under 1 ms)."""
        ...

    def tasks(self, where: Node, page: Page) -> TaskPage:
        """The tasks that match; raises `QueryError` for a cursor that no store gave."""
        ...

    def count(self, where: Node, cap: int = 10_000, within: float | None = None) -> Count:
        """How many match, up to `cap`; after `within` seconds those that were found, as a capped count."""
        ...

    def tally(
        self, where: Node, most: int = 20_000, within: float | None = None, fields: Sequence[Field] = FACETS
    ) -> Tally:
        """Which values the newest tasks that match have: up to `most`, as many as are found in `within` seconds.

        An engine may count fewer, and says of how many it speaks; it may count other fields of `FACETS` than asked for.
        """
        ...

    def survey(self, where: Node, asked: Surveying) -> Survey:
        """The first page of a search, the newest first, with what can be told of all that it finds in the time."""
        ...

    def task(self, task_id: str) -> Task | None:
        """The whole record of a task."""
        ...

    def records(self, ids: Sequence[str]) -> Mapping[str, Task]:
        """The whole records of up to 1,000 tasks, by id; unknown ones are left out."""
        ...

    def scan(self, cursor: str = "", limit: int = 1_000) -> ScanPage:
        """Up to `limit` whole records (fewer where they are long), those first seen first, from a cursor on.

        Every record that is neither written nor dropped meanwhile comes exactly once. Raises `StoreError` where a part
        of the store cannot be read, and `QueryError` for a cursor that no store gave.
        """
        ...

    def positions(self) -> Mapping[str, str]:
        """The position last committed for each source, by its name."""
        ...

    def related(self, task_id: str, limit: int = 100) -> Sequence[Summary]:
        """Tasks whose parent is this one, oldest first (a task that names itself as its parent is left out)."""
        ...

    def names(self, limit: int = 1_000) -> Sequence[str]:
        """Task names seen, most recent first."""
        ...

    def workers(self) -> Sequence[Worker]:
        """Worker processes seen within retention, the most recently seen first; at most 10,000."""
        ...

    def meters(self) -> Meters:
        """Everything counted so far, whatever retention has dropped; the number of labels is bounded."""
        ...

    def rollup(self, start: float, end: float, step: int, name: str | None = None) -> Sequence[RollupPoint]:
        """Counts and latencies in [start, end), spans of `step` seconds (a multiple of 60), empty ones left out."""
        ...

    def rollup_names(self, start: float, end: float) -> Sequence[RollupPoint]:
        """The same span in one point for each task name."""
        ...

    def exceptions(self, start: float, end: float, limit: int = 20) -> Sequence[ExceptionCount]:
        """Failures by exception and task name in a span, the most frequent first."""
        ...

    def ledger(self, limit: int = 200, since: float = 0.0) -> Sequence[LedgerEntry]:
        """The newest first."""
        ...

    def quarantine(self, limit: int = 100) -> Sequence[Quarantined]:
        """The newest first."""
        ...

    def state(self) -> StoreState: ...

    def parts(self) -> Sequence[Part]:
        """The pieces of the store, the newest first."""
        ...

    def preview(self, retention: Retention, now: float) -> RetentionEffect:
        """What the retention would drop at `now` (UTC seconds); nothing is changed."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about one file, table or partition of a store."""

    what: str
    #: In plain words, with the remedy; "" where all is well.
    problem: str = ""


class StoreKeeper(Protocol):
    """The operator's side (`umbel db`): works on a store that no collector writes to.

    Methods raise `StoreBusy` while a collector has the store, else `StoreError`. A generator does its work as it goes.
    """

    def migrate(self) -> Sequence[str]:
        """Bring the stored form to the newest version; the steps taken, in words."""
        ...

    def check(self) -> Iterator[Finding]:
        """Look at every file, table or partition: whether it can be read, and what belongs to nothing."""
        ...

    def vacuum(self) -> Iterator[Finding]:
        """Give back the space that deleted rows hold, one file, table or partition after the other."""
        ...


@runtime_checkable
class CommitNews(Protocol):
    """What a reader may have besides, where the engine sends word of commits."""

    def wait(self, timeout: float) -> None:
        """Return at the next commit by anybody, or after `timeout` seconds; one thread at a time. Raises nothing."""
        ...
