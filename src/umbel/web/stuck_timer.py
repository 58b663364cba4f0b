"""Looks for tasks without an end from time to time: one web for all that share a store, a bounded piece each time."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Final
from uuid import uuid4

from umbel.logs import Limited
from umbel.stores.journal import Entry, Journal, Kind
from umbel.web.deps import Deps
from umbel.web.stuck import Stuck
from umbel.web.turns import Turns

limited: Final = Limited(logging.getLogger(__name__))

#: Seconds between looks at whose turn it is, and for which a turn is left to others to take as well.
TICK: Final = 30.0
SETTLE: Final = 3.0
_KEY: Final = "stuck"


class StuckTimer:
    """One for each app.

    Whoever finds that nobody has looked for so long enters itself into the journal, and looks if its entry is still
    there a little later: of several, the latest entry counts. Two that look at once, as after a stop in between, find
    the same and do no harm.
    """

    def __init__(self, deps: Deps, stuck: Stuck, turns: Turns) -> None:
        """`turns`: threads that may wait for workers."""
        self._deps = deps
        self._stuck = stuck
        self._turns = turns
        self._me = uuid4().hex

    def _journal(self) -> Journal | None:
        """Where turns are taken; None where this web is not to look."""
        settings = self._deps.settings
        looks = settings.stuck_every > 0 and settings.broker and not settings.read_only
        return self._deps.journal if looks else None

    async def run(self) -> None:
        """Until it is cancelled."""
        journal = self._journal()
        while journal is not None:
            await asyncio.sleep(min(TICK, max(1.0, self._deps.settings.stuck_every)))
            try:
                if await self._turns.run(partial(self.claim, journal)):
                    await asyncio.sleep(SETTLE)
                    await self._turns.run(partial(self.take, journal))
            except Exception as error:  # noqa: BLE001 - whatever it meets, the next round comes
                limited.warning("stuck", f"tasks without an end could not be looked for: {error!r}")

    def claim(self, journal: Journal) -> bool:
        """Enter this web where a look is due; whether it was."""
        last, now = journal.find(Kind.TURN, [_KEY]).get(_KEY), self._deps.clock.now()
        # Nobody takes a turn away before its web can have begun: two would displace each other for ever.
        due = max(self._deps.settings.stuck_every, 2 * SETTLE)
        # A clock that is ahead must not keep the others waiting.
        if last is not None and abs(now - last.at) < due:
            return False
        self._enter(journal, now, last.texts.get("cursor", "") if last is not None else "")
        return True

    def take(self, journal: Journal) -> bool:
        """Look for the next piece if it is this web's turn; whether it was."""
        last = journal.find(Kind.TURN, [_KEY]).get(_KEY)
        if last is None or last.texts.get("who") != self._me:
            return False
        following = ""
        try:
            following = self._stuck.round(last.texts.get("cursor", ""))
        finally:
            # After a failure from the beginning: the cursor itself may be what cannot be used.
            self._enter(journal, self._deps.clock.now(), following)
        return True

    def _enter(self, journal: Journal, now: float, cursor: str) -> None:
        journal.put(Entry(Kind.TURN, _KEY, now, {"who": self._me, "cursor": cursor}))
