"""What the store holds, piece by piece, and what a retention would drop of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from umbel.clock import Clock
from umbel.model.holdings import Part, RetentionEffect, cutoffs, rule_of
from umbel.model.holdings import preview as of_parts
from umbel.retention import Retention
from umbel.stores.kinds import STATES
from umbel.stores.sqlite.files import with_companions
from umbel.stores.sqlite.sessions import Listed, Session


def parts(session: Session) -> list[Part]:
    """The segments, the newest first."""
    return [_part(session, listed) for listed in session.segments()]


def _part(session: Session, listed: Listed) -> Part:
    held = with_companions(session.files.segment(listed.number, listed.generation))
    tasks, sealed = listed.tasks - listed.dropped, bool(listed.generation)
    return Part(f"{listed.number:06d}", tasks, held, listed.first_at, listed.last_at, sealed)


def preview(session: Session, retention: Retention, now: float, clock: Clock, budget: float) -> RetentionEffect:
    """What the retention would drop, by the times that the tasks' own events tell."""

    def expired(part: Part) -> Iterator[tuple[int, int]]:
        return _expired(session, int(part.name), retention, now)

    return of_parts(parts(session), expired, session.files.size(), retention, now, clock=clock, budget=budget)


def _expired(session: Session, number: int, retention: Retention, now: float) -> Iterator[tuple[int, int]]:
    """The tasks of a segment that are beyond their age: by index of the rule (the last: no rule's), how many."""
    segment = session.segment(number)
    if segment is None:
        return
    moments = cutoffs(retention, now)
    older = ", ".join(["sum(coalesce(updated_at, finished_at) < ?)"] * len(moments))
    sql = f"SELECT name, state, {older} FROM task NOT INDEXED GROUP BY name, state"  # noqa: S608 - marks only
    try:
        rows = segment.connection.execute(sql, moments).fetchall()
    except sqlite3.DatabaseError as error:
        session.spoil(number, error)
        return
    for word, state_number, *counts in rows:
        name, state = segment.word(word) if word is not None else "", STATES[state_number]
        rule, age = rule_of(retention, name, state)
        if age is not None:
            yield rule, counts[moments.index(now - age)]
