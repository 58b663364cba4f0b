"""Sends tasks: one run again, many run again at a pace, any one started anew; each written down and linked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, Final, NamedTuple
from uuid import uuid4

from fastapi import HTTPException

from umbel.access.rules import Target
from umbel.control.audit import Action, Told
from umbel.control.runs import Runs
from umbel.errors import BrokerError, ControlError
from umbel.model.message import HEADER, Outgoing, Parcel
from umbel.web.actions import Actions, Actor
from umbel.web.again import Finder, Found
from umbel.web.deps import Deps
from umbel.web.turns import Turns

log = logging.getLogger(__name__)

#: Tasks of one bulk, and how many a second are sent unless told.
MOST: Final = 10_000
RATE: Final = 10.0
#: Replies of a bulk that its entry in the audit trail names.
NAMED: Final = 200


class Outcome(NamedTuple):
    """What became of one task of a bulk."""

    task_id: str
    #: `sent`, `would` in a dry run, `skipped`, or `failed`: after that the rest is left.
    outcome: str
    #: The new run; "" where there is none.
    new_id: str = ""
    #: Where its arguments came from, or why it was not sent.
    text: str = ""


class Sender:
    """Everything that Umbel sends as a task of its own accord goes through here, past `Actions`."""

    def __init__(self, deps: Deps, actions: Actions) -> None:
        self._deps = deps
        self._actions = actions
        self.finder = Finder(deps)

    def runs(self) -> Runs:
        """How tasks are sent; 503 where no broker is known."""
        runs = self._deps.runs()
        if runs is None:
            raise HTTPException(503, "No broker is known to this process. Start it with --broker or -A.")
        return runs

    async def again(self, found: Found, outgoing: Outgoing, by: Actor) -> str:
        """Send a new run of the task; its id. Raises `WrongArguments` and `ControlError`."""
        original = found.task.id
        arguments = {"task_id": original, "told_by": found.source.value, **_told(outgoing)}
        return await self._recorded(
            "run_again",
            arguments,
            by,
            lambda: self._send_again(found, outgoing),
            lambda: self._actions.targets_of([original]),
        )

    async def start(self, outgoing: Outgoing, by: Actor) -> str:
        """Send any task; its id. Raises as `again` does."""
        target = Target(outgoing.parcel.name, outgoing.parcel.routing_key)
        return await self._recorded("send_task", _told(outgoing), by, lambda: self._send(outgoing), lambda: [target])

    async def _recorded(
        self,
        what: str,
        arguments: dict[str, Any],
        by: Actor,
        send: Callable[[], str],
        targets: Callable[[], Sequence[Target]],
    ) -> str:
        def work() -> tuple[str, list[Told]]:
            new = send()
            return new, [Told("", "sent", new)]

        return await self._actions.change(what, arguments, by, work, targets)

    def bulk(self, ids: Iterable[str], by: Actor, *, dry_run: bool = False) -> Iterator[Outcome]:
        """Run tasks again, one for each step of the iterator: pace it, and close it to leave the rest.

        Only tasks that have ended and whose true arguments the result backend tells are sent; the others are skipped
        with the reason, as are those that the rules keep from somebody. A task that fails to be sent ends it. Written
        down as one action.
        """
        self._actions.allow()
        steps = self._steps(ids, by, dry_run=dry_run)
        return steps if dry_run else self._written(steps, by)

    def _steps(self, ids: Iterable[str], by: Actor, *, dry_run: bool) -> Iterator[Outcome]:
        seen: set[str] = set()
        for task_id in ids:
            if task_id in seen:
                continue
            seen.add(task_id)
            if len(seen) > MOST:
                yield Outcome(task_id, "failed", text=f"at most {MOST:,} tasks are run again at once")
                return
            outcome = self.one(task_id, by, dry_run=dry_run)
            yield outcome
            if outcome.outcome == "failed":
                return

    def one(self, task_id: str, by: Actor, *, dry_run: bool) -> Outcome:
        """One step of a bulk, which is written down by whoever takes the steps."""
        record = self._deps.reader.task(task_id)
        if record is None:
            return Outcome(task_id, "skipped", text="no event told of it")
        # The bulk itself is what the audit trail tells of, with how many were refused and why.
        refused = self._actions.refusal(by, "run_again", lambda: self._actions.targets_of([task_id]))
        if refused:
            return Outcome(task_id, "skipped", text=refused)
        found, why = self.finder.ended(record)
        if found is None:
            return Outcome(task_id, "skipped", text=why)
        if dry_run:
            return Outcome(task_id, "would", text=found.told_by)
        try:
            return Outcome(task_id, "sent", self._send_again(found, as_found(found)), found.told_by)
        except (ControlError, BrokerError) as error:
            return Outcome(task_id, "failed", text=str(error))

    def _written(self, steps: Iterator[Outcome], by: Actor) -> Iterator[Outcome]:
        """The steps between the two entries of the audit trail, whoever stops them."""
        audit, now = self._deps.audit, self._deps.clock.now
        action = Action(now(), by.who, by.origin, "run_again", by.via, {"bulk": True})
        number = audit.begin(action) if audit is not None else 0
        counts: dict[str, int] = {}
        named: list[Told] = []
        try:
            for outcome in steps:
                counts[outcome.outcome] = counts.get(outcome.outcome, 0) + 1
                if outcome.outcome != "skipped" and len(named) < NAMED:
                    said = f"{outcome.task_id} as {outcome.new_id}" if outcome.new_id else outcome.text
                    named.append(Told("", outcome.outcome, said))
                yield outcome
        finally:
            if audit is not None:
                total = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
                audit.end(number, now(), [Told("", "ok", total or "nothing was to be done"), *named])

    def _send_again(self, found: Found, outgoing: Outgoing) -> str:
        original = found.task.id
        linked = replace(
            outgoing,
            headers={**outgoing.headers, HEADER: original},
            root_id=found.task.root_id or original,
            parent_id=original,
        )
        return self._send(linked, original)

    def _send(self, outgoing: Outgoing, original: str = "") -> str:
        self._reachable(outgoing.parcel)
        new = str(uuid4())
        if original:
            # Before it is sent: a message that may have left without a link would be sent once more by whoever looks.
            self._deps.notes.link(new, original)
        return self.runs().publish(replace(outgoing, task_id=new))

    def _reachable(self, parcel: Parcel) -> None:
        """Refuse a queue that the broker says is not there: the message would be dropped without a word."""
        if parcel.exchange or self._deps.queues is None:
            return
        if not parcel.routing_key:
            raise ControlError("no queue is named for the task")
        if not self._deps.queues.depths([parcel.routing_key]):
            raise ControlError(f"the broker has no queue {parcel.routing_key!r}")


def as_found(found: Found) -> Outgoing:
    """A new run just as the first one was, its expiry as far from now as it was from its sending."""
    return Outgoing(found.parcel, expires_in=found.lifetime)


async def paced(
    turns: Turns, steps: Iterator[Outcome], rate: float, closed: Callable[[], bool] = lambda: False
) -> AsyncIterator[Outcome]:
    """The steps of a bulk, at most `rate` that send something a second, on threads of control's own.

    Closes `steps` however it ends, and leaves the rest when the server stops (`closed`).
    """
    with closing(steps):  # type: ignore[type-var]  # every iterator of `Sender.bulk` is a generator
        while not closed():
            outcome = await turns.run(lambda: next(steps, None))
            if outcome is None:
                return
            yield outcome
            if outcome.outcome == "sent":
                await asyncio.sleep(1 / rate)


def _told(outgoing: Outgoing) -> dict[str, Any]:
    """A task as the audit trail keeps it."""
    parcel = outgoing.parcel
    given = {
        "name": parcel.name,
        "args": list(parcel.args),
        "kwargs": dict(parcel.kwargs),
        "exchange": parcel.exchange,
        "routing_key": parcel.routing_key,
        "priority": parcel.priority,
        "countdown": outgoing.countdown,
        "eta": outgoing.eta,
        "expires_in": outgoing.expires_in,
    }
    return {name: value for name, value in given.items() if value not in (None, "")}
