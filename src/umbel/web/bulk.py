"""The same done to many tasks: found, counted, then done a batch at a time at a bounded pace, written down as one."""

from __future__ import annotations

import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import uuid4

from fastapi import HTTPException

from umbel.control.audit import Action, Told
from umbel.control.commands import Command, Outcome, Revoke, Terminate
from umbel.errors import UmbelError
from umbel.model.query import And, Compare, Field, Node, Op, Or, Page
from umbel.model.task import State
from umbel.stores.base import StoreReader
from umbel.web.actions import NOBODY, Actions, Actor
from umbel.web.deps import Deps

log = logging.getLogger(__name__)

#: Tasks of one bulk, of one command, and seconds between two commands: 500 tasks a second at most.
MOST: Final = 10_000
BATCH: Final = 100
PAUSE: Final = 0.2
#: Seconds that the slowest worker has to answer one command.
PATIENCE: Final = 3.0
#: Bulks under way at once, and those that are remembered.
UNDER_WAY: Final = 2
KEPT: Final = 50
#: Tasks that are read from the store at once.
PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Act:
    """Something that may be done to many tasks; another one is another entry of `ACTS`."""

    #: As it stands in addresses and in the audit trail.
    name: str
    title: str
    #: What becomes of the tasks, in a sentence.
    effect: str
    #: Tasks in these states only; the others are left alone.
    states: frozenset[State]
    #: Whether it stops something.
    grave: bool
    #: Does it to a batch: what came of it, by worker.
    do: Callable[[Deps, Actions, Sequence[str]], Sequence[Told]]


@dataclass(slots=True)
class Run:
    """One bulk; only its own thread writes to it, others look at a `snapshot`."""

    id: str
    act: Act
    q: str
    began_at: float
    total: int = 0
    done: int = 0
    #: What workers answered: how often, by worker and outcome, and the latest text of each.
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    texts: dict[tuple[str, str], str] = field(default_factory=dict)
    #: UTC seconds; None while it goes on.
    ended_at: float | None = None
    error: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def snapshot(self) -> Run:
        """How it stands at one moment."""
        with self.lock:
            return replace(self, answers=Counter(self.answers), texts=dict(self.texts))

    @property
    def stopped(self) -> bool:
        """Whether it was told to leave the rest."""
        return self.stop.is_set()

    def count(self, batch: Sequence[str], told: Sequence[Told]) -> None:
        """Add what came of a batch."""
        with self.lock:
            self.done += len(batch)
            for worker, outcome, text in told:
                self.answers[worker, outcome] += 1
                self.texts[worker, outcome] = text[:200]

    def told(self) -> list[Told]:
        """As the audit trail keeps it: a line for the whole, then each worker's."""
        left = "" if self.done == self.total else ", the rest was left"
        whole = Told("", "ok", f"{self.done:,} of {self.total:,} tasks{left}")
        times = [(key, f"{n:,} times: {self.texts[key]}") for key, n in sorted(self.answers.items())]
        return [whole, *(Told(worker, outcome, text) for (worker, outcome), text in times)]


class Bulks:
    """The bulks of one web process: a few under way, the latest remembered."""

    def __init__(self, deps: Deps, actions: Actions) -> None:
        self._deps = deps
        self._actions = actions
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, Run] = OrderedDict()

    def get(self, id_: str) -> Run | None:
        """A bulk that this process began; None where it is none, or too long ago."""
        with self._lock:
            return self._runs.get(id_)

    def all(self) -> list[Run]:
        """Those that are remembered, the oldest first."""
        with self._lock:
            return list(self._runs.values())

    def begin(self, act: Act, q: str, where: Node | None, ids: Sequence[str], by: Actor) -> Run:
        """Do it to `ids`, or to what matches `where`, on a thread of its own.

        Raises `HTTPException` where nothing may be changed (403), or too many are under way (503).
        """
        self._actions.allow()
        if where is None:
            self._actions.permit(by, act.name, lambda: self._actions.targets_of(ids))
        run = Run(uuid4().hex[:12], act, q, self._deps.clock.now())
        with self._lock:
            if sum(known.ended_at is None for known in self._runs.values()) >= UNDER_WAY:
                raise HTTPException(503, f"{UNDER_WAY} bulk actions are under way; wait until one has ended.")
            self._runs[run.id] = run
            while len(self._runs) > KEPT:
                self._runs.popitem(last=False)
        threading.Thread(
            target=self._carry_out, args=(run, where, tuple(ids), by), name=f"bulk {run.id}", daemon=True
        ).start()
        return run

    def close(self) -> None:
        """Have all of them leave the rest; what is done and what is not stands in the audit trail."""
        for run in self.all():
            run.stop.set()

    def _carry_out(self, run: Run, where: Node | None, ids: Sequence[str], by: Actor) -> None:
        try:
            found = ids if where is None else matching(self._deps.reader, where, run.act)
            run.total = len(found)
            arguments = {"search": run.q} if where is not None else {"task_id": list(ids)}
            self._actions.permit(by, run.act.name, lambda: self._actions.targets_of(found))
            what = Action(
                run.began_at, by.who, by.origin, run.act.name, by.via, {**arguments, "tasks": run.total, "bulk": True}
            )
            self._actions.recorded(what, lambda: (None, self._batches(run, found)))
        except (UmbelError, HTTPException) as error:
            run.error = error.detail if isinstance(error, HTTPException) else str(error)
        except Exception:
            log.exception("a bulk ended by a fault of Umbel's own")
            run.error = "a fault of Umbel's own; its log says more"
        finally:
            with run.lock:
                run.ended_at = self._deps.clock.now()

    def _batches(self, run: Run, found: Sequence[str]) -> list[Told]:
        for batch in _batched(found):
            if run.stop.is_set():
                break
            run.count(batch, run.act.do(self._deps, self._actions, batch))
            if run.done < run.total:
                run.stop.wait(PAUSE)
        return run.told()


def open_to(act: Act, where: Node) -> Node:
    """What matches, of the tasks that the act may be done to."""
    return And((where, Or(tuple(Compare(Field.STATE, Op.EQ, state.value) for state in sorted(act.states)))))


def matching(reader: StoreReader, where: Node, act: Act) -> list[str]:
    """The ids of the newest that match and that the act may be done to, `MOST` at most."""
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None and len(found) < MOST:
        page = reader.tasks(open_to(act, where), Page(min(PAGE, MOST - len(found)), cursor))
        found += [task.id for task in page.items]
        cursor = page.next
    return found


def _batched(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]


def _revoke(deps: Deps, actions: Actions, ids: Sequence[str]) -> Sequence[Told]:
    return _sent(deps, actions, Revoke(task_ids=tuple(ids)))


def _terminate(deps: Deps, actions: Actions, ids: Sequence[str]) -> Sequence[Told]:
    return _sent(deps, actions, Terminate(task_ids=tuple(ids)))


def _sent(deps: Deps, actions: Actions, command: Command) -> Sequence[Told]:
    control = deps.control()
    if control is None:
        raise HTTPException(503, "No broker is known to this process. Start it with --broker or -A.")
    expected = actions.online()
    replies = list(control.call(command, PATIENCE if expected else NOBODY, expected))
    good = {Outcome.OK: "done", Outcome.SENT: "told"}
    return [Told(reply.worker, reply.outcome.value, reply.error or good.get(reply.outcome, "")) for reply in replies]


_LATER: Final = frozenset({State.PENDING, State.RECEIVED, State.RETRY})
ACTS: Final = {
    act.name: act
    for act in (
        Act(
            "revoke",
            "Revoke",
            "Workers are told not to run these tasks: they throw each away when they take it up. They keep that in "
            "memory: once all have stopped it is forgotten, except by those with --statedb.",
            _LATER,
            grave=False,
            do=_revoke,
        ),
        Act(
            "terminate",
            "Terminate",
            "The pool processes that run these tasks are sent SIGTERM; what a task has half done stays half done. They "
            "are also revoked. Pools of threads and solo ones cannot do this and refuse.",
            frozenset({State.STARTED}),
            grave=True,
            do=_terminate,
        ),
    )
}
