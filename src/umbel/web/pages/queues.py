"""Queues: how much waits, who consumes, whether it grows, and when it will be empty at this pace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from umbel.brokers.base import DeadLetters, QueueDepth
from umbel.errors import BrokerError
from umbel.model.query import And, Compare, Field, Node, Op, Or, Order, Page
from umbel.model.task import State, Summary
from umbel.stores.base import StoreReader
from umbel.web.deps import Deps, get_deps
from umbel.web.measured import Surroundings
from umbel.web.pages.shared import Shared
from umbel.web.queue_names import queue_names
from umbel.web.render import page

router = APIRouter()
shared: Shared[Context] = Shared()

#: Seconds that the rates look back, tasks that are counted for all of them at most, and seconds that this may take.
RECENT: Final = 60.0
COUNTED: Final = 10_000
#: Of the greater rate, the difference of the two that is chance: a queue that keeps pace neither grows nor drains.
EVEN: Final = 0.02
WITHIN: Final = 0.03
#: Seconds between refreshes.
EVERY: Final = 5.0


@dataclass(frozen=True, slots=True)
class Rate:
    """Tasks a second; `capped` where there were more than were counted."""

    value: float
    capped: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One queue; None where the broker or the events do not tell."""

    name: str
    depth: QueueDepth | None
    #: Sent to it and ended from it, tasks a second.
    arriving: Rate
    ending: Rate
    #: Seconds until it is empty at this pace; None where it is empty, grows, or nothing is known.
    drained_in: float | None
    grows: bool
    #: The task that has waited longest, of those whose task-sent was seen.
    oldest: Summary | None

    @property
    def ready(self) -> int | None:
        return None if self.depth is None else self.depth.ready

    @property
    def steps(self) -> Sequence[tuple[int, int]]:
        """Ready messages by priority step, where more than the highest is used."""
        steps = self.depth.by_priority if self.depth else ()
        return steps if any(count for step, count in steps if step) else ()


@dataclass(frozen=True, slots=True)
class Context:
    """What the template shows."""

    rows: Sequence[Row]
    #: Why the broker tells nothing, "" where it does.
    problem: str
    ready: int
    unacked: int
    #: Queues of dead letters; None where the broker has none to be known, and why it does not tell of them.
    letters: Sequence[DeadLetters] | None
    letters_problem: str
    #: The broker has no dead letters at all.
    no_letters: bool
    #: Tasks that wait in the broker for their ETA; None where it holds none back.
    delayed: int | None
    #: Seconds that rates look back.
    recent: float
    every: float


@router.get("/queues", response_class=HTMLResponse)
def show(request: Request, deps: Annotated[Deps, Depends(get_deps)]) -> HTMLResponse:
    """The page."""
    surroundings: Surroundings = request.app.state.surroundings

    def make() -> Context:
        return load(deps, surroundings.consumers())

    return page(request, "queues", shared.get(request.app, "", EVERY / 2, deps.clock, make))


def load(deps: Deps, consumers: Mapping[str, int]) -> Context:
    """Everything that the page shows; `consumers` by queue, for where the broker does not know them."""
    names, now = queue_names(deps.reader), deps.clock.now()
    waiting = deps.queues.delayed if deps.queues is not None else ()
    depths, problem = _depths(deps, [*names, *waiting])
    delayed = [depths.pop(name).ready or 0 for name in waiting if name in depths]
    letters, letters_problem = (None, "") if problem else _letters(deps)
    paces = _paces(deps.reader, now)
    rows = [_row(deps.reader, name, with_consumers(depths.get(name), consumers), paces) for name in names]
    return Context(
        rows=sorted(rows, key=lambda row: (-(row.ready or 0), -row.arriving.value, row.name)),
        problem=problem,
        ready=sum(depth.ready or 0 for depth in depths.values()),
        unacked=sum(depth.unacked or 0 for depth in depths.values()),
        letters=letters,
        letters_problem=letters_problem,
        no_letters=deps.messages is not None and not problem and letters is None and not letters_problem,
        delayed=sum(delayed) or None,
        recent=RECENT,
        every=EVERY,
    )


def row_of(deps: Deps, depth: QueueDepth) -> Row:
    """One queue of which the broker told."""
    return _row(deps.reader, depth.name, depth, _paces(deps.reader, deps.clock.now()))


def with_consumers(depth: QueueDepth | None, consumers: Mapping[str, int]) -> QueueDepth | None:
    """A depth with the consumers that workers told of, where the broker told of none."""
    if depth is None or depth.consumers is not None or depth.name not in consumers:
        return depth
    return replace(depth, consumers=consumers[depth.name])


def _depths(deps: Deps, names: Sequence[str]) -> tuple[dict[str, QueueDepth], str]:
    if deps.queues is None:
        return {}, "This process was given no broker: start it with --broker or -A."
    try:
        return {depth.name: depth for depth in deps.queues.depths(names)}, ""
    except BrokerError as error:
        return {}, str(error)


def _letters(deps: Deps) -> tuple[Sequence[DeadLetters] | None, str]:
    try:
        return (deps.messages.dead_letters() if deps.messages else None), ""
    except BrokerError as error:
        return None, str(error)


@dataclass(frozen=True, slots=True)
class _Pace:
    """How many tasks of each queue there were lately, in how many seconds; `capped` where a queue may have had more."""

    counts: Mapping[str, int]
    seconds: float
    capped: bool

    def of(self, queue: str) -> Rate:
        return Rate(self.counts.get(queue, 0) / self.seconds, self.capped)


def _paces(reader: StoreReader, now: float) -> tuple[_Pace, _Pace]:
    """What was sent and what ended, all queues at once."""
    return _pace(reader, Field.SENT, now), _pace(reader, Field.FINISHED, now)


def _pace(reader: StoreReader, field: Field, now: float) -> _Pace:
    found = reader.tally(Compare(field, Op.GE, now - RECENT), COUNTED, WITHIN, (Field.QUEUE,))
    counts = found.counts[Field.QUEUE]
    if found.whole or found.since is None or not 1 <= now - found.since < RECENT:
        return _Pace(counts, RECENT, capped=not found.whole)
    # Of those first seen since then all were counted: they were sent in that time; of others some have ended in it.
    return _Pace(counts, now - found.since, capped=field is not Field.SENT)


def _row(reader: StoreReader, name: str, depth: QueueDepth | None, paces: tuple[_Pace, _Pace]) -> Row:
    arriving, ending = (pace.of(name) for pace in paces)
    # What is only known to be more says nothing of which is greater.
    pace = 0.0 if arriving.capped or ending.capped else ending.value - arriving.value
    if abs(pace) <= EVEN * max(arriving.value, ending.value):
        pace = 0.0
    ready = depth.ready if depth else None
    return Row(
        name=name,
        depth=depth,
        arriving=arriving,
        ending=ending,
        drained_in=ready / pace if ready and pace > 0 else None,
        grows=bool(ready) and pace < 0,
        oldest=_oldest(reader, Compare(Field.QUEUE, Op.EQ, name), ready),
    )


def _oldest(reader: StoreReader, queue: Node, ready: int | None) -> Summary | None:
    # Where the broker has no message left, what looks as if it were in the queue has lost its later events.
    states = (State.RECEIVED,) if ready == 0 else (State.PENDING, State.RECEIVED)
    waiting = Or(tuple(Compare(Field.STATE, Op.EQ, state.value) for state in states))
    found = reader.tasks(And((queue, waiting)), Page(1, order=Order.OLDEST)).items
    return found[0] if found else None
