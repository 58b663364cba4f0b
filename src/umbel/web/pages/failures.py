"""The newest failures of a span, put together by what they have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from umbel.model.fingerprint import Fingerprint
from umbel.model.query import And, Compare, Field, Node, Op, Page
from umbel.model.task import State, Summary
from umbel.stores.base import ExceptionCount, StoreReader
from umbel.web.filters import quoted
from umbel.web.pages.prints import prints
from umbel.web.pages.spans import Span

#: Failures looked at, the newest: what a page says of them is said of these.
SAMPLE: Final = 500


@dataclass(slots=True)
class Kind:
    """Failures with one fingerprint, among those looked at."""

    fingerprint: Fingerprint
    #: The newest of them.
    latest: Summary
    #: The earliest, UTC seconds.
    first_at: float
    last_at: float
    count: int = 0
    names: Counter[str] = field(default_factory=Counter)
    #: By exception type and task name.
    cells: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: When each failed, UTC seconds.
    times: list[float] = field(default_factory=list)

    @property
    def query(self) -> str:
        """The search that lists failures of this exception and, where it is one, of this task."""
        terms = ["state:FAILURE"]
        if self.fingerprint.type:
            terms.append(f"exception:{quoted(self.fingerprint.type)}")
        if len(self.names) == 1:
            terms.append(f"name:{quoted(next(iter(self.names)))}")
        return " ".join(terms)


@dataclass(frozen=True, slots=True)
class Sample:
    """What was looked at."""

    #: The newest first.
    tasks: Sequence[Summary]
    #: The most frequent first.
    kinds: Sequence[Kind]
    #: There are more failures in the span than were looked at.
    more: bool


def search_of(count: ExceptionCount, span: Span) -> str:
    """The search that, among failed tasks, lists those that are counted."""
    terms = [f"finished:>-{span.name}"]
    if count.name:
        terms.append(f"name:{quoted(count.name)}")
    if count.exception_type:
        terms.append(f"exception:{count.exception_type}")
    return " ".join(terms)


def sample(reader: StoreReader, since: float, name: str | None = None) -> Sample:
    """The newest failures that ended at `since` (UTC seconds) or later, of one task name or of all."""
    nodes: list[Node] = [Compare(Field.STATE, Op.EQ, State.FAILURE.value), Compare(Field.FINISHED, Op.GE, since)]
    if name is not None:
        nodes.append(Compare(Field.NAME, Op.EQ, name))
    page = reader.tasks(And(tuple(nodes)), Page(SAMPLE))
    known = prints.of(reader, page.items)
    return Sample(tasks=[task for task, _ in known], kinds=kinds(known), more=page.next is not None)


def kinds(failures: Iterable[tuple[Summary, Fingerprint]]) -> list[Kind]:
    """Failures by fingerprint, the most frequent first."""
    found: dict[Fingerprint, Kind] = {}
    for task, print_ in failures:
        at = task.finished_at or task.updated_at
        kind = found.get(print_)
        if kind is None:
            kind = found[print_] = Kind(print_, task, at, at)
        kind.count += 1
        kind.names[task.name] += 1
        kind.cells[task.exception_type, task.name] += 1
        kind.times.append(at)
        kind.first_at = min(kind.first_at, at)
        if at > kind.last_at:
            kind.last_at, kind.latest = at, task
    return sorted(found.values(), key=lambda kind: (-kind.count, -kind.last_at))
