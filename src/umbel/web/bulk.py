"""The same done to many tasks: found, counted, then done a batch at a time at a bounded pace, written down as one."""

from __future__ import annotations

import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple
from uuid import uuid4

from fastapi import HTTPException

from umbel.control.audit import Told
from umbel.control.commands import Command, Outcome, Revoke, Terminate
from umbel.errors import UmbelError
from umbel.model.query import And, Compare, Field, Node, Op, Or, Page
from umbel.model.task import ENDED, State
from umbel.stores.base import StoreReader
from umbel.web.actions import NOBODY, Actions, Actor
from umbel.web.deps import Deps
from umbel.web.rerun import RATE, Sender

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
#: Most tasks a second of an act that has a pace of its own.
FASTEST: Final = 100.0
#: Tasks that a rehearsal tries, and seconds that it lasts.
TRIED: Final = 200
REHEARSAL: Final = 2.0
#: Different answers that are told apart; what comes beyond is summed.
ANSWERS: Final = 200


class Hands(NamedTuple):
    """What an act is done with, and on whose behalf."""

    deps: Deps
    actions: Actions
    sender: Sender
    by: Actor


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
    #: Does it to a batch: what came of it, by worker; or, without workers, for each task.
    do: Callable[[Hands, Sequence[str]], Sequence[Told]]
    #: What would come of a batch; None where that can be told from the states alone.
    rehearse: Callable[[Hands, Sequence[str]], Sequence[Told]] | None = None
    #: Tasks a second, one at a time, unless somebody says otherwise; None: batches, at the pace of `PAUSE`.
    rate: float | None = None


class Asked(NamedTuple):
    """What somebody wants done."""

    act: Act
    #: The search as it was typed, and what it means; None: `ids` are meant.
    q: str
    where: Node | None
    ids: Sequence[str]


@dataclass(slots=True)
class Run:
    """One bulk; only its own thread writes to it, others look at a `snapshot`."""

    id: str
    act: Act
    q: str
    began_at: float
    #: Tasks a second; None as in `Act`.
    rate: float | None = None
    total: int = 0
    done: int = 0
    #: What came of it: how often, by worker and outcome (where no worker answers, by outcome and reason), and the
    #: latest text of each.
    answers: Counter[tuple[str, ...]] = field(default_factory=Counter)
    texts: dict[tuple[str, ...], str] = field(default_factory=dict)
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
                key = (worker, outcome) if worker else (worker, outcome, text[:200])
                if key not in self.answers and len(self.answers) >= ANSWERS:
                    key = ("", outcome, "")
                self.answers[key] += 1
                self.texts[key] = text[:200]

    def told(self) -> list[Told]:
        """As the audit trail keeps it: a line for the whole, then each worker's."""
        left = "" if self.done == self.total else ", the rest was left"
        whole = Told("", "ok", f"{self.done:,} of {self.total:,} tasks{left}")
        times = [(key, f"{n:,} times: {self.texts[key]}") for key, n in sorted(self.answers.items())]
        return [whole, *(Told(key[0], key[1], text) for key, text in times)]


class Bulks:
    """The bulks of one web process: a few under way, the latest remembered."""

    def __init__(self, deps: Deps, actions: Actions, sender: Sender) -> None:
        self._deps = deps
        self._actions = actions
        self._sender = sender
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

    def rehearse(self, act: Act, ids: Sequence[str], by: Actor) -> tuple[int, Sequence[Told]]:
        """How many of `ids` were tried before the time was up, and what would come of them; nothing is done."""
        if act.rehearse is None:
            return 0, ()
        trial = Run("", act, "", 0.0)
        until = self._deps.clock.monotonic() + REHEARSAL
        for task_id in ids[:TRIED]:
            if self._deps.clock.monotonic() > until:
                break
            trial.count([task_id], act.rehearse(self._hands(by), [task_id]))
        return trial.done, trial.told()[1:]

    def begin(self, asked: Asked, by: Actor, rate: float | None = None) -> Run:
        """Do it on a thread of its own, at `rate` tasks a second.

        Raises `HTTPException` where nothing may be changed (403), or too many are under way (503).
        """
        act, q, where, ids = asked
        self._actions.allow()
        if where is None:
            wanted = by.asks(self._deps.clock.now(), act.name, {"task_id": list(ids), "tasks": len(ids), "bulk": True})
            self._actions.permit(by, wanted, lambda: self._actions.targets_of(ids))
        pace = None if act.rate is None else min(max(rate or act.rate, 0.1), FASTEST)
        run = Run(uuid4().hex[:12], act, q, self._deps.clock.now(), pace)
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

    def _hands(self, by: Actor) -> Hands:
        return Hands(self._deps, self._actions, self._sender, by)

    def _carry_out(self, run: Run, where: Node | None, ids: Sequence[str], by: Actor) -> None:
        try:
            found = ids if where is None else matching(self._deps.reader, where, run.act)
            run.total = len(found)
            arguments = {"search": run.q} if where is not None else {"task_id": list(ids)}
            what = by.asks(run.began_at, run.act.name, {**arguments, "tasks": run.total, "bulk": True})
            self._actions.permit(by, what, lambda: self._actions.targets_of(found))
            self._actions.recorded(what, lambda: (None, self._batches(run, found, self._hands(by))))
        except (UmbelError, HTTPException) as error:
            run.error = error.detail if isinstance(error, HTTPException) else str(error)
        except Exception:
            log.exception("a bulk ended by a fault of Umbel's own")
            run.error = "a fault of Umbel's own; its log says more"
        finally:
            with run.lock:
                run.ended_at = self._deps.clock.now()

    def _batches(self, run: Run, found: Sequence[str], hands: Hands) -> list[Told]:
        for batch in _batched(found, BATCH if run.rate is None else 1):
            if run.stop.is_set():
                break
            told = run.act.do(hands, batch)
            run.count(batch, told)
            broken = next((one.text for one in told if not one.worker and one.outcome == "failed"), "")
            if broken:
                # What could not be sent now cannot be sent in a moment either.
                run.error = broken
                break
            if run.done < run.total and any(one.outcome != "skipped" for one in told):
                run.stop.wait(PAUSE if run.rate is None else 1 / run.rate)
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


def _batched(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def _run_again(hands: Hands, ids: Sequence[str]) -> Sequence[Told]:
    hands.sender.runs()
    return _stepped(hands, ids, dry_run=False)


def _would_run_again(hands: Hands, ids: Sequence[str]) -> Sequence[Told]:
    return _stepped(hands, ids, dry_run=True)


def _stepped(hands: Hands, ids: Sequence[str], *, dry_run: bool) -> Sequence[Told]:
    if not hands.by.identity.data:
        raise HTTPException(403, "Your role does not see arguments, so it cannot check those that are sent again.")
    steps = [hands.sender.one(id_, hands.by, dry_run=dry_run) for id_ in ids]
    said = {"sent": "with the arguments that {} tells", "would": "with the arguments that {} tells"}
    return [Told("", step.outcome, said.get(step.outcome, "{}").format(step.text)) for step in steps]


def _revoke(hands: Hands, ids: Sequence[str]) -> Sequence[Told]:
    return _sent(hands.deps, hands.actions, Revoke(task_ids=tuple(ids)))


def _terminate(hands: Hands, ids: Sequence[str]) -> Sequence[Told]:
    return _sent(hands.deps, hands.actions, Terminate(task_ids=tuple(ids)))


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
        Act(
            "run_again",
            "Run again",
            "Each of these tasks is sent once more, under a new id that is linked to it, with its true arguments and "
            "to its queue, as the result backend tells them (result_extended). What it does not tell is skipped. A "
            "task that had done part of its work does that part twice.",
            ENDED,
            grave=False,
            do=_run_again,
            rehearse=_would_run_again,
            rate=RATE,
        ),
    )
}
