"""Tasks that have had no end for long: each is looked for at its worker and in the result backend, by its id."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from umbel.control.audit import Told, Verdict
from umbel.control.commands import Outcome, QueryTask
from umbel.errors import ControlError
from umbel.model.query import And, Compare, Field, Op, Or, Order, Page
from umbel.model.task import ENDED, State, Summary, rfc3339, summarize
from umbel.web.actions import Actions, Actor
from umbel.web.deps import Deps

#: Seconds without an end from which on a task is looked for, and tasks looked for at once, the oldest first.
OLDER: Final = 3_600.0
LOOK: Final = 500
#: Seconds that the workers have to answer, and that the result backend is asked in all.
PATIENCE: Final = 5.0
BACKEND: Final = 20.0
#: Outcomes: its end is known to the backend alone; nobody has it; a worker has it; it cannot be told.
FINISHED, ORPHANED, HELD, UNKNOWN = "ended", "orphaned", "held", "unknown"

_OPEN: Final = (State.RECEIVED, State.STARTED, State.RETRY, State.REJECTED)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a worker said: by task id what it has of each, or why it said nothing."""

    holds: Mapping[str, str]
    silence: str = ""


class Stuck:
    """Finds out what became of tasks without an end; what is found is noted beside the audit trail."""

    def __init__(self, deps: Deps, actions: Actions) -> None:
        self._deps = deps
        self._actions = actions

    async def look(self, older: float, limit: int, by: Actor) -> Sequence[Verdict]:
        """Look for the oldest that had no end `older` seconds after they were received or sent.

        Raises `HTTPException` where it is not allowed, `StoreError`, and `ControlError` where workers cannot be asked.
        """

        def work() -> tuple[Sequence[Verdict], list[Told]]:
            found = self._look(older, limit)
            if self._deps.audit is not None:
                self._deps.audit.judge(found)
            counts = Counter(verdict.outcome for verdict in found)
            told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
            return found, [Told("", "ok", told or "no task was without an end for so long")]

        return await self._actions.change("find_stuck", {"older": older, "limit": limit}, by, work)

    def orphans(self, limit: int) -> list[tuple[Summary, Verdict]]:
        """Those found orphaned last and still without an end."""
        audit, reader = self._deps.audit, self._deps.reader
        noted = audit.verdicts(ORPHANED, limit) if audit is not None else ()
        found = [(record, verdict) for verdict in noted if (record := reader.task(verdict.task_id)) is not None]
        told = [(summarize(record), verdict) for record, verdict in found]
        return [(task, verdict) for task, verdict in told if task.state not in ENDED]

    def _look(self, older: float, limit: int) -> list[Verdict]:
        before = self._deps.clock.now() - older
        received = And((_any(_OPEN), Compare(Field.RECEIVED, Op.LE, before)))
        sent = And((_any((State.PENDING,)), Compare(Field.SENT, Op.LE, before)))
        tasks = self._deps.reader.tasks(Or((received, sent)), Page(limit, order=Order.OLDEST)).items
        answers = self._ask(tasks)
        end = self._deps.clock.monotonic() + BACKEND
        return [self._judge(task, answers, end) for task in tasks]

    def _ask(self, tasks: Sequence[Summary]) -> dict[str, _Asked]:
        """What the online workers have of the tasks that they took; no other is asked."""
        control, online = self._deps.control(), set(self._actions.online())
        if control is None:
            raise ControlError("no broker is known to this process. Start it with --broker or -A")
        ids: defaultdict[str, list[str]] = defaultdict(list)
        for task in tasks:
            ids[task.worker].append(task.id)
        asked = {worker: QueryTask((worker,), ids=tuple(found)) for worker, found in ids.items() if worker in online}
        answers = {}
        for worker, command in asked.items():
            for reply in control.call(command, PATIENCE):
                value: Any = reply.value
                holds = {str(key): str(one[0]) for key, one in value.items() if one} if isinstance(value, dict) else {}
                answers[worker] = _Asked(holds) if reply.outcome is Outcome.OK else _Asked({}, reply.error)
        return answers

    def _judge(self, task: Summary, answers: Mapping[str, _Asked], end: float) -> Verdict:
        """What is to be thought of one task, and why."""
        answer = answers.get(task.worker)
        if answer is not None and task.id in answer.holds:
            outcome, evidence = HELD, f"{task.worker} has it: {answer.holds[task.id]}."
        else:
            ended, said = self._backend(task.id, end)
            outcome, evidence = (FINISHED, said) if ended else self._without(task, answer, said)
        return Verdict(task.id, self._deps.clock.now(), outcome, evidence)

    def _without(self, task: Summary, answer: _Asked | None, said: str) -> tuple[str, str]:
        """The same of one that nobody says to have or to have ended; `said`: by the result backend."""
        if task.state is State.PENDING:
            return UNKNOWN, f"No worker has told that it received it. {said}"
        if answer is None:
            why = f"{task.worker} is not online, last seen {rfc3339(self._seen(task.worker)) or 'never'}. {said}"
            return ORPHANED, f"{why} A task with acks_late may come again by itself."
        if answer.silence:
            return UNKNOWN, f"{task.worker} was asked and does not tell: {answer.silence}. {said}"
        # Its end may have been under way, so the latest word is looked at once more.
        record = self._deps.reader.task(task.id)
        if record is not None and summarize(record).state in ENDED:
            return FINISHED, "Its end was told of meanwhile."
        return ORPHANED, f"{task.worker} is online and does not have it. {said}"

    def _seen(self, worker: str) -> float | None:
        found = [one.seen_at for one in self._deps.reader.workers() if one.hostname == worker]
        return max(found, default=None)

    def _backend(self, task_id: str, end: float) -> tuple[bool, str]:
        """Whether the result backend says that it has ended, and what it says; bounded in time as a whole."""
        runs = self._deps.runs()
        if runs is None or self._deps.clock.monotonic() > end:
            return False, "The result backend was not asked."
        try:
            if not runs.has_backend:
                return False, "No result backend is known."
            result = runs.result(task_id)
        except ControlError as error:
            return False, f"The result backend does not tell: {error}."
        if result.state in ENDED:
            return True, f"The result backend has it as {result.state}; the event of its end never came."
        return False, f"The result backend has it as {result.state}."


def _any(states: Sequence[State]) -> Or:
    return Or(tuple(Compare(Field.STATE, Op.EQ, state.value) for state in states))
