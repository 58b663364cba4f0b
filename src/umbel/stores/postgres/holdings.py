"""What the store holds, part by part, and what a retention would drop of it."""

from __future__ import annotations

import psycopg

from umbel.clock import Clock
from umbel.model.holdings import Part, RetentionEffect, cutoffs, rule_of
from umbel.model.holdings import preview as of_parts
from umbel.retention import Retention
from umbel.stores.kinds import STATES
from umbel.stores.postgres.parts import names
from umbel.stores.postgres.scan import Listed, parts_of
from umbel.stores.postgres.sessions import ReadSession
from umbel.stores.postgres.text import told


def parts(session: ReadSession) -> list[Part]:
    """The parts that have tasks, the newest first."""
    return [
        Part(f"{part.number:06d}", part.tasks, _bytes(session, part), part.first_at, part.last_at, sealed=False)
        for part in parts_of(session)
        if part.tasks
    ]


def _bytes(session: ReadSession, part: Listed) -> int:
    size: int = session.query("part_bytes", names(part.number))[0][0]
    return size


def preview(session: ReadSession, retention: Retention, now: float, clock: Clock, budget: float) -> RetentionEffect:
    """What the retention would drop, by the times that the tasks' own events tell."""

    def expired(part: Part) -> list[tuple[int, int]] | None:
        try:
            return _expired(session, int(part.name), retention, now)
        except psycopg.errors.QueryCanceled:
            # The server's own time limit: the part is too large to be looked at.
            return None

    return of_parts(parts(session), expired, session.query("bytes")[0][0], retention, now, clock=clock, budget=budget)


def _expired(session: ReadSession, number: int, retention: Retention, now: float) -> list[tuple[int, int]]:
    """The tasks of a part that are beyond their age: by index of the rule (the last: no rule's), how many."""
    moments = cutoffs(retention, now)
    found = []
    # The server tells for each task how many of the cutoffs it is not older than.
    for stored_name, state, reached, count in session.query("older", moments, number):
        rule, age = rule_of(retention, told(stored_name), STATES[state])
        if age is not None and reached <= moments.index(now - age):
            found.append((rule, count))
    return found
