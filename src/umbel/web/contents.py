"""What queues hold and what is done to it: a look, throwing all away, dead letters put back; each allowed and noted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from fastapi import HTTPException

from umbel.access.rules import Target
from umbel.brokers.base import DeadLetters, Message, Moved, QueueMessages
from umbel.control.audit import Told
from umbel.model.delayed import DELAYED
from umbel.web.actions import Actions, Actor
from umbel.web.deps import Deps

#: Messages that are shown at most, and moved at most by one command.
LOOK: Final = 100
MOVE: Final = 10_000

Answer = TypeVar("Answer")


class Contents:
    """Everything that Umbel does to queues goes through here, past `Actions`."""

    def __init__(self, deps: Deps, actions: Actions) -> None:
        self._deps = deps
        self._actions = actions

    def allow(self) -> None:
        """Raise 403 where what changes something is refused."""
        self._actions.allow()

    def messages(self) -> QueueMessages:
        """Who looks into queues; 503 where none can."""
        if self._deps.messages is None:
            raise HTTPException(503, "The queues of this broker cannot be looked into.")
        return self._deps.messages

    async def peek(self, queue: str, limit: int, by: Actor) -> Sequence[Message]:
        """The next messages of a queue. Where a look leaves a mark, it counts as a change."""
        messages = self._of(queue)
        arguments = {"queue": queue, "limit": limit}
        if not by.identity.data:
            asked = by.asks(self._deps.clock.now(), "peek", arguments)
            why = "Your role does not see arguments, and messages hold them."
            raise await self._actions.turns.run(lambda: self._actions.denied(asked, why))
        if not messages.marks:
            self._actions.allow(looks=True)
            return await self._actions.turns.run(lambda: messages.peek(queue, limit))

        def told(found: Sequence[Message]) -> str:
            return f"{len(found)} messages seen"

        return await self._change("peek", arguments, by, lambda: messages.peek(queue, limit), told)

    async def purge(self, queue: str, by: Actor) -> int:
        """Throw away what waits in a queue; how many messages that were."""
        messages = self._of(queue)
        told: Callable[[int], str] = "{} messages thrown away".format
        return await self._change("purge", {"queue": queue}, by, lambda: messages.purge(queue), told)

    async def put_back(self, queue: str, limit: int, into: str, by: Actor) -> Moved:
        """Put dead letters back to where each came from, or `into` one queue."""
        messages = self._of(queue)

        def told(moved: Moved) -> str:
            where = ", ".join(f"{count} into {name}" for name, count in moved.into.items())
            return f"{where or 'none moved'}; {moved.left} left{f': {moved.why}' if moved.why else ''}"

        arguments = {"queue": queue, "limit": limit, "into": into}
        return await self._change("put_back", arguments, by, lambda: messages.put_back(queue, limit, into), told)

    def dead_letters(self) -> Sequence[DeadLetters] | None:
        """The queues of dead letters; None where there are none to be known. Raises `BrokerError`."""
        return None if self._deps.messages is None else self._deps.messages.dead_letters()

    async def _change(
        self,
        what: str,
        arguments: Mapping[str, Any],
        by: Actor,
        do: Callable[[], Answer],
        told: Callable[[Answer], str],
    ) -> Answer:
        def work() -> tuple[Answer, list[Told]]:
            done = do()
            return done, [Told("", "ok", told(done))]

        queue = str(arguments["queue"])
        return await self._actions.change(what, arguments, by, work, lambda: [Target(queue=queue)])

    def _of(self, queue: str) -> QueueMessages:
        """Who looks into this queue; 400 for those in which Umbel's own events and Celery's delays are."""
        own = self._deps.settings.queue_name
        if queue == own or queue.startswith((f"{own}.", DELAYED)):
            raise HTTPException(400, f"{queue} is no queue of tasks: what it holds is left alone.")
        return self.messages()
