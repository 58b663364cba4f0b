"""Tasks that have had no end for long: each is looked for at its worker and in the result backend, by its id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from umbel.control.audit import Action, Told
from umbel.control.commands import Outcome, QueryTask
from umbel.control.runs import Result
from umbel.errors import ControlError
from umbel.model.learned import End
from umbel.model.query import And, Compare, Field, Op, Or, Order, Page
from umbel.model.redact import Redactor
from umbel.model.task import ENDED, State, Summary, rfc3339, summarize
from umbel.web.actions import Actions, Actor
from umbel.web.deps import Deps
from umbel.web.notes import Verdict

#: Seconds without an end from which on a task is looked for, and tasks looked for at once, the oldest first.
OLDER: Final = 3_600.0
LOOK: Final = 500
#: Seconds that the workers have to answer, and that the result backend is asked in all.
PATIENCE: Final = 5.0
#: Seconds that the store is walked for them in one round.
WALK: Final = 2.0
BACKEND: Final = 20.0
#: Outcomes: the result backend knows its end; nobody has it; a worker has it; it cannot be told.
FINISHED, ORPHANED, HELD, UNKNOWN = "ended", "orphaned", "held", "unknown"

#: States of tasks whose message may wait in a queue, where no worker has them.
_WAITS: Final = {
    State.PENDING: "No worker has told that it received it.",
    State.RETRY: "It was sent once more and may wait in its queue.",
    State.REJECTED: "It was rejected and may have been put back into its queue.",
}
#: Seconds within which a message that nobody acknowledged comes again: twice Redis's visibility timeout, unless set.
AGAIN: Final = 7_200.0
#: Of a task that a worker took up and did not begin; workers acknowledge when they begin.
_COMES: Final = (
    "It was received and not started, so its message is not acknowledged, and the broker gives it to another worker: "
    "RabbitMQ at once, Redis after its visibility timeout, an hour unless set."
)
_OPEN: Final = (State.RECEIVED, State.STARTED, State.RETRY, State.REJECTED)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a worker said: by task id what it has of each, or why it said nothing."""

    holds: Mapping[str, str]
    silence: str = ""


class Stuck:
    """Finds out what became of tasks without an end; what is found is noted where all webs of the store see it."""

    def __init__(self, deps: Deps, actions: Actions) -> None:
        self._deps = deps
        self._actions = actions
        self._redactor = Redactor.of(deps.settings.redact_keys, deps.settings.redact_patterns)

    async def look(self, older: float, limit: int, by: Actor) -> Sequence[Verdict]:
        """Look for the oldest that had no end `older` seconds after they were received or sent.

        Raises `HTTPException` where it is not allowed, `StoreError`, and `ControlError` where workers cannot be asked.
        """

        def work() -> tuple[Sequence[Verdict], list[Told]]:
            found, _ = self._look(older, Page(limit, order=Order.OLDEST))
            self._deps.notes.judge(found)
            return found, _summed(found)

        return await self._actions.change("find_stuck", {"older": older, "limit": limit}, by, work)

    def round(self, cursor: str) -> str:
        """Look for the next of them, from a cursor on; the cursor of those that follow, "" after the last.

        Written down only where something new was found. Raises `StoreError` and `ControlError`.
        """
        page = Page(LOOK, cursor, Order.OLDEST, within=WALK)
        found, following = self._look(OLDER, page)
        fresh = [one for one in self._deps.notes.judge(found) if one.outcome in (ORPHANED, FINISHED)]
        if fresh:
            arguments = {"older": OLDER, "limit": LOOK}
            action = Action(self._deps.clock.now(), "", "", "find_stuck", "timer", arguments)
            self._actions.recorded(action, lambda: (None, _summed(fresh)))
        return following

    def orphans(self, limit: int) -> list[tuple[Summary, Verdict]]:
        """Those found orphaned last and still without an end."""
        noted, reader = self._deps.notes.verdicts(ORPHANED, limit), self._deps.reader
        records = reader.records([verdict.task_id for verdict in noted])
        found = [(summarize(records[one.task_id]), one) for one in noted if one.task_id in records]
        return [(task, verdict) for task, verdict in found if task.state not in ENDED]

    def _look(self, older: float, page: Page) -> tuple[list[Verdict], str]:
        before = self._deps.clock.now() - older
        received = And((_any(_OPEN), Compare(Field.RECEIVED, Op.LE, before)))
        sent = And((_any((State.PENDING,)), Compare(Field.SENT, Op.LE, before)))
        tasks = self._deps.reader.tasks(Or((received, sent)), page)
        answers = self._ask(tasks.items) if tasks.items else {}
        until = self._deps.clock.monotonic() + BACKEND
        ends: list[End] = []
        found = [self._judge(task, answers, until, ends) for task in tasks.items]
        self._deps.notes.ended(ends, self._redactor)
        return found, tasks.next or ""

    def _ask(self, tasks: Sequence[Summary]) -> dict[str, _Asked]:
        """What each online worker has of these tasks: all are asked at once, as a task may have moved to another."""
        control, online = self._deps.control(), self._actions.online()
        if control is None:
            raise ControlError("no broker is known to this process. Start it with --broker or -A")
        answers = {}
        command = QueryTask(tuple(online), ids=tuple(task.id for task in tasks))
        for reply in control.call(command, PATIENCE) if online else ():
            value: Any = reply.value
            holds = {str(key): str(one[0]) for key, one in value.items() if one} if isinstance(value, dict) else {}
            answers[reply.worker] = _Asked(holds) if reply.outcome is Outcome.OK else _Asked({}, reply.error)
        return answers

    def _judge(self, task: Summary, answers: Mapping[str, _Asked], until: float, ends: list[End]) -> Verdict:
        """What is to be thought of one task, and why; an end that the result backend knows is added to `ends`."""
        holder = next((worker for worker, one in answers.items() if task.id in one.holds), None)
        if holder is not None:
            outcome, evidence = HELD, f"{holder} has it: {answers[holder].holds[task.id]}."
        else:
            end, said = self._backend(task, until)
            outcome, evidence = (FINISHED, said) if end else self._without(task, answers.get(task.worker), said)
            ends += [end] if end else []
        return Verdict(task.id, self._deps.clock.now(), outcome, evidence)

    def _without(self, task: Summary, answer: _Asked | None, said: str) -> tuple[str, str]:
        """The same of one that nobody says to have or to have ended; `said`: by the result backend."""
        if task.state in _WAITS:
            return UNKNOWN, f"{_WAITS[task.state]} {said}"
        if answer is not None and answer.silence:
            return UNKNOWN, f"{task.worker} was asked and does not tell: {answer.silence}. {said}"
        comes = task.state is State.RECEIVED and self._deps.clock.now() - task.updated_at <= AGAIN
        if answer is None:
            why = f"{task.worker} is not online, last seen {rfc3339(self._seen(task.worker)) or 'never'}. {said}"
            late = "A task with acks_late may come again by itself."
            return (UNKNOWN, f"{why} {_COMES}") if comes else (ORPHANED, f"{why} {late}")
        # Its end may have been under way, so the latest word is looked at once more.
        record = self._deps.reader.task(task.id)
        if record is not None and summarize(record).state in ENDED:
            return FINISHED, "Its end was told of meanwhile."
        why = f"{task.worker} is online and does not have it. {said}"
        return (UNKNOWN, f"{why} {_COMES}") if comes else (ORPHANED, why)

    def _seen(self, worker: str) -> float | None:
        found = [one.seen_at for one in self._deps.reader.workers() if one.hostname == worker]
        return max(found, default=None)

    def _backend(self, task: Summary, until: float) -> tuple[End | None, str]:
        """The end that the result backend knows, and what it says; bounded in time as a whole."""
        runs = self._deps.runs()
        if runs is None or self._deps.clock.monotonic() > until:
            return None, "The result backend was not asked."
        try:
            if not runs.has_backend:
                return None, "No result backend is known."
            result = runs.result(task.id)
        except ControlError as error:
            return None, f"The result backend does not tell: {error}."
        if result.state in ENDED:
            return _end(task, result), f"The result backend has it as {result.state}; the event of its end never came."
        return None, f"The result backend has it as {result.state}."


def _end(task: Summary, result: Result) -> End:
    """As a worker would have told it."""
    failed = result.state == State.FAILURE
    return End(
        task.id,
        result.state,
        # A backend that keeps no time: it ended after the last that was heard of it.
        task.updated_at if result.stored_at is None else result.stored_at,
        result.worker or task.worker,
        result=repr(result.value) if result.state == State.SUCCESS else "",
        exception=str(result.value) if failed else "",
        traceback=(result.traceback or "") if failed else "",
    )


def _summed(found: Sequence[Verdict]) -> list[Told]:
    counts = Counter(verdict.outcome for verdict in found)
    told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    return [Told("", "ok", told or "no task was without an end for so long")]


def _any(states: Sequence[State]) -> Or:
    return Or(tuple(Compare(Field.STATE, Op.EQ, state.value) for state in states))
