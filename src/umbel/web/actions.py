"""Carries out what somebody asks of workers: allowed or not, written into the audit trail, each reply told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import msgspec
from fastapi import HTTPException, Request

from umbel.access.identity import Identity
from umbel.access.rules import Target
from umbel.control.audit import Action, Told
from umbel.control.commands import Command, Control, Outcome, Reply
from umbel.errors import ControlError, StoreError
from umbel.logs import Limited
from umbel.model.task import summarize
from umbel.web.deps import Deps, identity_of
from umbel.web.permits import CONFIGURATION
from umbel.web.turns import Turns
from umbel.web.veil import scrubbed

log = logging.getLogger(__name__)
limited = Limited(log)

#: Commands under way at once, and how many more may wait for their turn. Each has a thread that mostly sleeps; a look
#: at `/api/workers` is four of them, and all of it may be waiting for one worker that hangs.
UNDER_WAY: Final = 64
WAITING: Final = 64
#: What those hear who are more than that.
BUSY: Final = "Too many commands are under way; try again in a moment."
#: Seconds that a command to everybody lasts where no worker is known to be online.
NOBODY: Final = 1.0

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks, and how."""

    who: str
    origin: str
    #: `api`, `page` or `flower`.
    via: str
    identity: Identity

    def asks(self, at: float, what: str, arguments: Mapping[str, Any], destination: Sequence[str] = ()) -> Action:
        """What they ask for, as the audit trail keeps it; `at`: UTC seconds."""
        return Action(at, self.who, self.origin, what, self.via, arguments, destination)


def actor(request: Request, via: str) -> Actor:
    """Who stands behind a request."""
    client = request.client
    identity = identity_of(request)
    return Actor(identity.name, client.host if client else "unix socket", via, identity)


class Actions:
    """Everything that Umbel does to others goes through here."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self.turns = Turns(UNDER_WAY, WAITING, BUSY)

    def allow(self, *, looks: bool = False) -> None:
        """Raise 403 where what changes something is refused."""
        if self._deps.settings.read_only and not looks:
            raise HTTPException(403, "Umbel is read-only: start it without --read-only to change workers or tasks.")

    def permit(self, by: Actor, asked: Action, targets: Callable[[], Sequence[Target]]) -> None:
        """Raise 403, and write it down, where the rules do not let somebody do this.

        Every change goes through here, whichever address it was asked for at.
        """
        why = self.refusal(by, asked.what, targets)
        if why:
            raise self.denied(asked, why)

    def refusal(self, by: Actor, what: str, targets: Callable[[], Sequence[Target]]) -> str:
        """Why the rules do not let somebody do this, "" where they do; `targets` are asked only if they matter."""
        rules = self._deps.rules
        found = targets() if rules.limits(by.identity) else ()
        if rules.allow(by.identity, what, found):
            return ""
        return f"Your role, {by.identity.role.word}, may not {what} this: see --rules."

    def denied(self, asked: Action, why: str) -> HTTPException:
        """Enter in the audit trail that somebody was refused; the 403 to raise. They are refused even if it fails."""
        if self._deps.audit is not None:
            try:
                self._deps.audit.deny(asked, why)
            except StoreError as error:
                limited.warning(
                    "denied", f"{asked.who or asked.origin} was refused, which cannot be written down: {error}"
                )
        return HTTPException(403, why)

    def targets_of(self, ids: Sequence[str]) -> list[Target]:
        """Tasks by id, as rules see them; one that the store does not know has neither name nor queue."""
        found: list[Target] = []
        for start in range(0, len(ids), 1_000):
            records = self._deps.reader.records(ids[start : start + 1_000])
            seen = [summarize(records[id_]) if id_ in records else None for id_ in ids[start : start + 1_000]]
            found += [Target(task.name, task.queue) if task else Target() for task in seen]
        return found

    def _targets(self, command: Command) -> list[Target]:
        ids = getattr(command, "task_ids", None)
        if ids is not None:
            return self.targets_of(ids)
        return [Target(str(getattr(command, "task_name", "")), str(getattr(command, "queue", "")))]

    async def perform(self, command: Command, by: Actor, patience: float) -> list[Reply]:
        """Send the command and gather a reply for each worker, within `patience` seconds.

        Raises `HTTPException` where it is refused, `ControlError` if it cannot be sent, `StoreError` if it cannot be
        written into the audit trail; then it is not sent.
        """
        self.allow(looks=command.looks)
        action = by.asks(self._deps.clock.now(), command.method, command.arguments(), command.destination)
        if command.method in CONFIGURATION and not by.identity.data:
            why = f"Your role, {by.identity.role.word}, does not see what may hold secrets."
            raise await self.turns.run(lambda: self.denied(action, why))
        if not command.looks:
            await self.turns.run(lambda: self.permit(by, action, lambda: self._targets(command)))
        control = self._deps.control()
        if control is None:
            raise HTTPException(503, "No broker is known to this process. Start it with --broker or -A.")
        if command.looks:
            replies = await self.turns.run(lambda: self._send(control, command, patience))
            return replies if by.identity.data else [replace(reply, value=scrubbed(reply.value)) for reply in replies]
        return await self.turns.run(
            lambda: self.recorded(action, lambda: _with_told(self._send(control, command, patience)))
        )

    async def change(
        self,
        what: str,
        arguments: Mapping[str, Any],
        by: Actor,
        work: Callable[[], tuple[Answer, Sequence[Told]]],
        targets: Callable[[], Sequence[Target]] = tuple,
    ) -> Answer:
        """Do what changes something by other means than a command: allowed or not, and written down in the same way."""
        self.allow()
        action = by.asks(self._deps.clock.now(), what, arguments)

        def carried_out() -> Answer:
            self.permit(by, action, targets)
            return self.recorded(action, work)

        return await self.turns.run(carried_out)

    def recorded(self, action: Action, work: Callable[[], tuple[Answer, Sequence[Told]]]) -> Answer:
        """Do the work between the two entries of the audit trail; what cannot be written down is not done."""
        audit = self._deps.audit
        if audit is None:
            return work()[0]
        number = audit.begin(action)
        try:
            answer, told = work()
        except BaseException as error:
            audit.end(number, self._deps.clock.now(), [Told("", "failed", str(error) or repr(error))])
            raise
        audit.end(number, self._deps.clock.now(), told)
        return answer

    def _send(self, control: Control, command: Command, timeout: float) -> list[Reply]:
        if command.destination:
            return list(control.call(command, timeout))
        expected = self.online()
        return list(control.call(command, timeout if expected else min(timeout, NOBODY), expected))

    def online(self) -> list[str]:
        """Workers that live as far as the store knows."""
        now = self._deps.clock.now()
        return sorted({worker.hostname for worker in self._deps.reader.workers() if worker.online(now)})


def _with_told(replies: list[Reply]) -> tuple[list[Reply], list[Told]]:
    """The replies, and as the audit trail keeps them."""
    return replies, [Told(reply.worker, reply.outcome.value, _said(reply)[:2_000]) for reply in replies]


def _said(reply: Reply) -> str:
    return reply.error or ("" if reply.value is None else msgspec.json.encode(reply.value).decode())


def one(replies: Sequence[Reply], worker: str) -> Reply:
    """The reply of one worker that was addressed; raises `ControlError` where there is none at all."""
    for reply in replies:
        if reply.worker == worker:
            return reply
    raise ControlError(f"{worker} was not asked")


def summed(replies: Sequence[Reply]) -> dict[str, int]:
    """How many replies of each outcome; those that did not occur are left out."""
    counts = {outcome.value: sum(reply.outcome is outcome for reply in replies) for outcome in Outcome}
    return {outcome: count for outcome, count in counts.items() if count}
