"""The store's writer: a commit is one transaction, whoever else writes at the same time.

A connection that breaks while the transaction commits leaves open whether it did. The commit's token, kept with the
books, tells: when the same commit comes again, it is done only once.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg

from umbel.clock import Clock, SystemClock
from umbel.errors import StoreBusy, StoreError
from umbel.model.worker import Worker
from umbel.retention import Retention
from umbel.stores.base import Commit, Maintenance
from umbel.stores.postgres import parts
from umbel.stores.postgres.books import WORKER_ROWS, Books, together
from umbel.stores.postgres.connect import explain, is_surroundings
from umbel.stores.postgres.places import Places
from umbel.stores.postgres.rollups import Rollups
from umbel.stores.postgres.schema import BEGIN_PART
from umbel.stores.postgres.session import Session
from umbel.stores.postgres.target import Target
from umbel.stores.postgres.tasks import TaskWriter
from umbel.stores.postgres.text import stored, told
from umbel.stores.postgres.upkeep import Upkeep

#: Seconds after which the connection is made anew: the server cannot freeze temporary tables of one that never ends.
SESSION_SECONDS: Final = 86_400.0
#: Tasks after which a part ends, though its day is not over.
PART_TASKS: Final = 5_000_000

log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A commit of which we don't know whether it succeeded."""

    commit: Commit
    slot: int
    token: str


class PostgresWriter:
    """`StoreWriter` on a schema of a database; several may write to it at once."""

    def __init__(self, target: Target, *, clock: Clock | None = None, part_tasks: int = PART_TASKS) -> None:
        self._target = target
        self._clock = clock or SystemClock()
        self._part_tasks = part_tasks
        self._upkeep = Upkeep(target)
        self._session: Session | None = None
        self._connected_at = 0.0
        self._places: Places | None = None
        self._rollups: Rollups | None = None
        self._books: Books | None = None
        self._doubt: _Doubt | None = None

    # The port

    def open(self) -> None:
        self._connected()

    def position(self, source: str) -> str | None:
        with self._settled() as session:
            value: str | None = session.one("position", stored(source))
        return None if value is None else told(value)

    def positions(self, prefix: str) -> Mapping[str, str]:
        with self._settled() as session:
            rows = session.execute("positions", stored(prefix)).fetchall()
        return {told(source): told(value) for source, value in rows}

    def forget(self, source: str) -> None:
        with self._told():
            self._connected().execute("forget_position", stored(source))

    def workers(self) -> Sequence[Worker]:
        with self._told():
            return together(record for (record,) in self._connected().execute("workers", WORKER_ROWS))

    def write(self, commit: Commit) -> None:
        with self._told(writing=True):
            if not self._was_done(commit):
                self._write(commit)

    def maintain(self, retention: Retention, now: float) -> Maintenance:
        with self._told():
            done = self._upkeep.step(self._connected(), retention, now)
        if done.dropped_tasks and self._rollups is not None:
            self._rollups.forget()
        return done

    def close(self) -> None:
        self._upkeep.indexing.close()
        self._drop()

    # Connecting

    def _connected(self) -> Session:
        old = self._clock.monotonic() - self._connected_at >= SESSION_SECONDS
        if self._session is not None and (old or self._session.broken):
            self._drop()
        if self._session is None:
            self._session = session = Session(self._target)
            self._connected_at = self._clock.monotonic()
            self._places, self._rollups, self._books = Places(session), Rollups(session), Books(session)
            log.info("connected to %s as collector %d", self._target, session.slot)
        return self._session

    @contextmanager
    def _settled(self) -> Iterator[Session]:
        """A transaction that begins when no commit is under way: a collector may be dead and its connection not yet."""
        with self._told():
            session = self._connected()
            with session.connection.transaction():
                session.execute("patience", parts.BEGIN_PATIENCE)
                session.execute("take_lock", self._target.lock_space, BEGIN_PART)
                yield session

    def _drop(self) -> None:
        """Close the connection, undoing what was not committed."""
        session, self._session, self._places, self._rollups, self._books = self._session, None, None, None, None
        if session is not None:
            session.close()

    @contextmanager
    def _told(self, *, writing: bool = False) -> Iterator[None]:
        """Undo what failed and tell why; while writing, what is not the commit's own fault is `StoreBusy`."""
        try:
            yield
        except psycopg.Error as error:
            self._undo()
            told = explain(error, self._target)
            raise StoreBusy(str(told)) if writing and is_surroundings(error) else told from error
        except StoreError as error:
            cause = error.__cause__
            self._undo()
            # No connection: that says nothing of the commit.
            if writing and isinstance(cause, psycopg.Error) and self._session is None:
                raise StoreBusy(str(error)) from error
            raise
        except (UnicodeError, OverflowError) as error:
            self._undo()
            raise StoreError(f"{self._target} cannot hold what a task has: {error}") from error
        except BaseException:
            self._drop()
            raise

    def _undo(self) -> None:
        """Roll back in the database and in memory."""
        if self._session is None:
            return
        try:
            self._session.connection.execute("ROLLBACK")
        except psycopg.Error as error:
            log.warning("the connection to %s is given up: %s", self._target, " ".join(str(error).split()))
            self._drop()
            return
        if self._places is not None and self._rollups is not None and self._books is not None:
            self._places.forget()
            self._rollups.forget()
            self._books.forget()

    # Writing

    def _was_done(self, commit: Commit) -> bool:
        """Whether this very commit succeeded at the last try, although nobody told us."""
        doubt = self._doubt
        if doubt is None:
            return False
        # Locks the row: waits for the transaction in doubt, should the server still be busy with it.
        token = self._connected().one("token", doubt.slot)
        self._doubt = None
        return doubt.commit is commit and token == doubt.token

    def _write(self, commit: Commit) -> None:
        started = self._clock.monotonic()
        session = self._connected()
        newest = self._begin(session, commit.at)
        token = secrets.token_hex(8)
        self._fill(session, commit, newest, token, started)
        self._doubt = _Doubt(commit, session.slot, token)
        self._commit(session)
        self._doubt = None

    def _begin(self, session: Session, at: float) -> int:
        """Begin a transaction during which no part is begun; the number of the newest part."""
        for _ in range(2):
            session.connection.execute("BEGIN")
            session.execute("share_lock", self._target.lock_space, BEGIN_PART)
            newest = parts.newest(session)
            if newest is not None and not newest.is_over(at, self._part_tasks):
                return newest.number
            session.connection.execute("ROLLBACK")
            parts.begin(session, newest.number if newest else None, at)
        # Others fill parts faster than we come to write: take the newest as it is.
        session.connection.execute("BEGIN")
        session.execute("share_lock", self._target.lock_space, BEGIN_PART)
        newest = parts.newest(session)
        if newest is None:
            raise StoreBusy(f"{self._target} has lost its parts; they are begun anew")
        return newest.number

    def _fill(self, session: Session, commit: Commit, newest: int, token: str, started: float) -> None:
        """Everything that the commit brings."""
        places, rollups, books = self._places, self._rollups, self._books
        if places is None or rollups is None or books is None:
            raise StoreBusy(f"{self._target} was closed meanwhile")
        tasks = TaskWriter(session, places, rollups, newest)
        tasks.join(commit.tasks.values())
        minutes = rollups.flush(commit.at)
        for part, new in sorted(tasks.touched.items()):
            first, last = minutes.get(part, (parts.NEVER_MINUTE, -1))
            session.execute("put_share", part, session.slot, new, *tasks.zones.of_part(part), first, last, commit.at)
        tasks.zones.write(session)
        books.join_workers(commit.workers)
        for (reason, class_), count in commit.discarded.items():
            session.execute("discard", session.slot, reason, class_, count)
        books.add_meters(commit.meters, commit.at)
        books.enter(commit.ledger)
        dropped = books.quarantine(commit.quarantine)
        books.note_names(tasks.names, commit.at)
        if commit.position is not None:
            session.execute("put_position", stored(commit.position.source), stored(commit.position.value))
        self._close_books(session, commit, token, dropped, self._clock.monotonic() - started)

    def _close_books(self, session: Session, commit: Commit, token: str, dropped: int, seconds: float) -> None:
        values = {
            "slot": session.slot,
            "token": token,
            "stored": commit.stored,
            "at": commit.at,
            "seconds": seconds,
            "captured_at": commit.captured_at,
            "dropped": dropped,
        }
        session.execute_named("commit", values)
        session.execute("notify", self._target.channel)

    def _commit(self, session: Session) -> None:
        session.connection.execute("COMMIT")
