"""Chores of the one collector that leads: parts begun in time and dropped as a whole, rows beyond their bounds."""

from __future__ import annotations

from typing import Final

from umbel.retention import Retention
from umbel.stores.base import Maintenance
from umbel.stores.postgres import parts
from umbel.stores.postgres.books import NAME_ROWS, WORKER_ROWS
from umbel.stores.postgres.indexes import Indexing
from umbel.stores.postgres.parts import Part
from umbel.stores.postgres.session import Session
from umbel.stores.postgres.sums import Summing
from umbel.stores.postgres.target import Target
from umbel.stores.postgres.weed import Weeding

#: A part is ended once it holds this share of the time or bytes to keep, so that retention is never far off.
SHARE: Final = 0.1
#: Seconds between two rounds of pruning.
PRUNE_SECONDS: Final = 60.0


class Upkeep:
    """Remembers when it last pruned."""

    def __init__(self, target: Target) -> None:
        self.indexing = Indexing(target)
        self._pruned_at = 0.0
        self._weeding = Weeding()
        self._summing = Summing()

    def step(self, session: Session, retention: Retention, now: float) -> Maintenance:
        """One bounded piece of work, unless another collector leads."""
        if not session.leads():
            return Maintenance()
        found = parts.listed(session)
        half_dropped = next((part for part in found if part.dropping), None)
        if half_dropped is not None:
            return _drop(session, half_dropped)
        if not found:
            return Maintenance()
        if abs(now - self._pruned_at) >= PRUNE_SECONDS:
            self._pruned_at = now
            _prune(session, now - retention.longest if retention.longest else None)
        found = _end(session, found, retention, now)
        parts.prepare(session, found[-1].number + 1)
        expired = _expired(session, found, retention, now)
        if expired is not None:
            return _drop(session, expired)
        self.indexing.step(found, now)
        self._summing.step(session.connection, now)
        return Maintenance(self._weeding.step(session, found, retention, now))


def _end(session: Session, found: list[Part], retention: Retention, now: float) -> list[Part]:
    """Have the next part begun in time for the newest to be dropped as a whole later; the parts that there are then."""
    newest = found[-1]
    quiet = retention.shortest * (1 + SHARE) if retention.rules and retention.shortest else retention.longest
    if newest.tasks and quiet and newest.touched_at < now - quiet:
        parts.begin(session, newest.number, now)
        return parts.listed(session)
    if newest.tasks and _is_full(session, newest, retention, now):
        session.execute("set_ending", newest.number)
    return found


def _is_full(session: Session, newest: Part, retention: Retention, now: float) -> bool:
    """Whether the newest part holds a share of what is kept: it ends in time to be dropped as a whole later."""
    if retention.shortest and newest.created_at < now - retention.shortest * SHARE:
        return True
    return retention.size is not None and session.one("part_bytes", parts.names(newest.number)) > retention.size * SHARE


def _expired(session: Session, found: list[Part], retention: Retention, now: float) -> Part | None:
    """The oldest part that need not be kept, never the newest."""
    if retention.longest:
        for part in found[:-1]:
            if part.touched_at < now - retention.longest:
                return part
    if retention.size and len(found) > 1 and session.one("bytes") > retention.size:
        return found[0]
    return None


def _drop(session: Session, part: Part) -> Maintenance:
    return Maintenance(part.tasks, parts.drop(session, part))


def _prune(session: Session, oldest: float | None) -> None:
    """Drop workers not seen since `oldest`, and rows beyond their bounds; a bounded number at a time."""
    with session.connection.transaction():
        if oldest is not None:
            session.execute("drop_old_workers", oldest)
        session.execute("trim_workers", WORKER_ROWS)
        session.execute("trim_names", NAME_ROWS)
