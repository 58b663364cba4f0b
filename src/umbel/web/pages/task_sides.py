"""What stands around the list of tasks: counts by value, activity, spans of time, the same search elsewhere."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from umbel.errors import QueryError
from umbel.model import terms
from umbel.model.query import Compare, Field, Node, Page
from umbel.model.tally import Tally, facet
from umbel.model.task import State
from umbel.stores.base import Count, Survey, Surveying, TaskPage
from umbel.web.deps import Deps
from umbel.web.pages.activity import Activity, activity
from umbel.web.pages.sampled import Kept

kept: Final[Kept[Sides]] = Kept()

#: Tasks that are counted. Seconds that the list, its count and all that is told of it should take; how long, once
#: the list is there, the rest may take in any case; and for how long states that are not chosen are looked for.
TALLIED: Final = 10_000
WITHIN: Final = 0.03
LEAST: Final = 0.015
BESIDE: Final = 0.008
#: Values of one facet that are shown.
VALUES: Final = 8
TITLES: Final = {
    Field.NAME: "Name",
    Field.WORKER: "Worker",
    Field.QUEUE: "Queue",
    Field.EXCEPTION: "Exception",
}
SPANS: Final = ("15m", "1h", "6h", "1d", "7d")


@dataclass(frozen=True, slots=True)
class Choice:
    """One value beside the list."""

    text: str
    count: int
    #: Of the tasks that were looked at, 0 to 1.
    share: float
    chosen: bool
    #: The search with its term added, or taken away; None where no search can say it.
    q: str | None


@dataclass(frozen=True, slots=True)
class Group:
    """A facet."""

    title: str
    choices: Sequence[Choice]
    more: int


@dataclass(frozen=True, slots=True)
class Sides:
    """Everything around the list."""

    #: How many tasks the search finds; None: not even the list could be found in time.
    count: Count | None
    #: How many of the tasks looked at are in each state, whatever states are chosen.
    states: Mapping[State, int]
    #: States of which there may be more: what is searched without them was not looked at whole.
    least: frozenset[State]
    groups: Sequence[Group]
    #: Tasks that were looked at, and whether these are all.
    looked_at: int
    whole: bool
    #: Where they are not: when the last of them was first seen (UTC seconds; None: not known).
    since: float | None
    #: Conditions of the search beside the list that are chosen.
    chosen: int
    activity: Activity | None
    #: Spans of time to choose from: name, search, whether it is the one.
    spans: Sequence[tuple[str, str, bool]]
    #: The search without any time.
    timeless: str


@dataclass(frozen=True, slots=True)
class Searched:
    """A search."""

    q: str
    #: States that the address names, with commas between.
    state: str
    #: What is searched for, and the same without what it says of states.
    where: Node
    stateless: Node

    @property
    def key(self) -> str:
        return f"{self.state}\0{self.q}"


def found(deps: Deps, searched: Searched, cursor: str, rows: int, soon: float) -> tuple[TaskPage, Sides]:
    """A page of the list and what is around it; raises `QueryError` for a cursor that no store gave.

    `soon`: seconds after which a first page has what was found so far.
    """
    known, page = kept.known(deps.reader, searched.key, deps.clock), None
    if cursor or known:
        page = deps.reader.tasks(searched.where, Page(rows, cursor, within=None if cursor else soon))
    if page and known:
        return page, known
    survey = deps.reader.survey(searched.where, Surveying(rows, soon, TALLIED, WITHIN, LEAST))
    made = _made(deps, searched, survey)
    if survey.page.next is not None:
        # What the list holds whole costs nothing to look at, and counts of it agree with the list.
        kept.keep(deps.reader, searched.key, deps.clock, made)
    return page or survey.page, made


def _made(deps: Deps, searched: Searched, survey: Survey) -> Sides:
    q, where, found = searched.q, searched.where, survey.tally
    every = (
        deps.reader.tally(searched.stateless, TALLIED, BESIDE, (Field.STATE,)) if searched.stateless != where else found
    )
    groups = [_group(q, field, found) for field in TITLES]
    # One may have looked at more than the other.
    counted = Counter(every.counts[Field.STATE]) | Counter(found.counts[Field.STATE])
    certain = set(found.counts[Field.STATE]) if found.whole else set()
    return Sides(
        count=survey.count,
        states={State(text): count for text, count in counted.items()},
        least=frozenset()
        if every.whole or every is found
        else frozenset(State(text) for text in counted if text not in certain),
        groups=groups,
        looked_at=found.looked_at,
        whole=found.whole,
        since=found.since,
        chosen=sum(choice.chosen for group in groups for choice in group.choices),
        activity=activity(deps.reader, where, deps.clock.now(), survey),
        spans=[_span(q, name) for name in SPANS],
        timeless=terms.within(q, Field.RECEIVED, "", ""),
    )


def _group(q: str, field: Field, found: Tally) -> Group:
    shown = facet(field, found.counts[field], VALUES)
    choices = [
        Choice(
            value.text,
            value.count,
            value.count / found.looked_at,
            terms.has(q, value.condition),
            _toggled(q, value.condition),
        )
        for value in shown.values
    ]
    return Group(TITLES[field], choices, shown.more)


def _toggled(q: str, condition: Compare) -> str | None:
    try:
        return terms.toggle(q, condition)
    except QueryError:
        # A value with a character that no search may hold.
        return None


def _span(q: str, name: str) -> tuple[str, str, bool]:
    then = terms.within(q, Field.RECEIVED, f"-{name}", "")
    return name, then, then == q


def as_curl(base: str, q: str) -> str:
    """The same search of the API under the address `base`, as a command for a shell."""
    return f"curl -G {shlex.quote(f'{base}/api/v1/tasks')} --data-urlencode {shlex.quote(f'q={q}')}"


def as_umbel(q: str) -> str:
    """The same search of the store, as a command for a shell."""
    return f"umbel tasks -- {shlex.quote(q)}" if q else "umbel tasks"
