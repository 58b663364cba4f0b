"""Dropping tasks that a rule of the retention keeps for a shorter time than others of their part."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from umbel.retention import Retention
from umbel.stores.kinds import STATE_NUMBER, STATES
from umbel.stores.postgres.parts import Part
from umbel.stores.postgres.session import Session
from umbel.stores.postgres.text import like_pattern

#: Order numbers looked at in one round.
STRETCH: Final = 20_000

#: What a writer has locked just now comes in another round: nobody waits.
_DELETE: Final = (
    "DELETE FROM task WHERE part = %s AND n IN (SELECT n FROM task WHERE part = %s AND n >= %s AND n < %s "
    "AND updated_at < {} FOR UPDATE SKIP LOCKED)"
)


class Weeding:
    """Walks all parts but the newest, again and again, a stretch at a time."""

    def __init__(self) -> None:
        self._part = 0
        self._n = 0
        self._begun_at = 0.0

    def step(self, session: Session, found: Sequence[Part], retention: Retention, now: float) -> int:
        """Look at one stretch; how many tasks were dropped."""
        if not retention.rules or retention.shortest is None:
            return 0
        part = self._next(found, retention.shortest, now)
        if part is None:
            return 0
        low = max(self._n, part.first_n) if part.number == self._part else part.first_n
        self._part, self._n = part.number, low + STRETCH
        cutoff, parameters = _cutoff(retention, now)
        where = (part.number, part.number, low, low + STRETCH, *parameters)
        with session.connection.transaction():
            # What the statement consists of is ours; names and ages are in the parameters.
            gone = session.connection.execute(_DELETE.format(cutoff).encode(), where).rowcount
            if gone:
                session.execute("take_tasks", part.number, session.slot, -gone, part.touched_at)
                session.execute("touch", session.slot)
        return gone

    def _next(self, found: Sequence[Part], shortest: float, now: float) -> Part | None:
        """The part to go on with; None until a tenth of the shortest age has passed since the last walk began."""
        for part, following in pairwise(found):
            if part.number > self._part or (part.number == self._part and self._n < following.first_n):
                return part
        if now - self._begun_at >= shortest / 10 or now < self._begun_at:
            self._part = self._n = 0
            self._begun_at = now
        return None


def _cutoff(retention: Retention, now: float) -> tuple[str, list[Any]]:
    """SQL for the time before which a task is too old, NULL for one that stays for ever, and its parameters."""
    cases, parameters = [], []
    for rule in retention.rules:
        states = [STATE_NUMBER[state] for state in STATES if not rule.states or state.value in rule.states]
        cases.append("WHEN name LIKE %s ESCAPE '\\' AND state = ANY(%s::smallint[]) THEN %s::double precision")
        parameters += [like_pattern(rule.name), states, None if rule.age is None else now - rule.age]
    parameters.append(None if retention.age is None else now - retention.age)
    return f"CASE {' '.join(cases)} ELSE %s::double precision END", parameters
