"""Indexes of each part that is over, built beside the collector that leads: of filters' fields, of ids, and of texts.

Texts are indexed by trigrams, of pg_trgm; without that extension they are read instead. An index that was not finished
is invalid: it is dropped and built anew.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from umbel.errors import StoreError
from umbel.stores.postgres import places
from umbel.stores.postgres.compile import ALL_TEXTS
from umbel.stores.postgres.connect import Connection, connect, guard
from umbel.stores.postgres.facets import FACETS
from umbel.stores.postgres.parts import Part, names
from umbel.stores.postgres.schema import INDEX
from umbel.stores.postgres.schema import SQL as WRITER
from umbel.stores.postgres.target import Target
from umbel.stores.sqlfile import load

EXTENSION: Final = "pg_trgm"
#: Seconds without a commit to a part, by the collectors' clocks, after which it is indexed.
QUIET: Final = 60.0
#: Seconds before another try, after one has failed.
AGAIN: Final = 300.0
#: An index of a large part takes minutes; a lock that others hold is waited for no longer than this.
_SETTINGS: Final = {"lock_timeout": "10s", "statement_timeout": "0", "maintenance_work_mem": "256MB"}
#: Ids fetched at once.
IDS: Final = 10_000
#: Seconds that a build is given to end once it was cancelled.
GRACE: Final = 10.0

_SQL: Final = load(Path(__file__).with_name("indexes.sql"))
log: Final = logging.getLogger(__name__)


class Refused(StoreError):
    """The server has no pg_trgm, or does not let us have it."""


class Indexing:
    """Remembers which parts have their indexes."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._done: set[int] = set()
        #: Texts are not indexed: there is no extension for it.
        self._refused = False
        self._tried_at = 0.0
        self._thread: threading.Thread | None = None
        self._connection: Connection | None = None
        self._closed = False

    def step(self, found: Sequence[Part], now: float) -> None:
        """Have the next part's indexes built, the latest first, unless some are being built."""
        if self._thread is not None and self._thread.is_alive():
            return
        waiting = [
            part.number for part in found[:-1] if part.number not in self._done and now - part.touched_at >= QUIET
        ]
        if not waiting or 0 <= now - self._tried_at < AGAIN:
            return
        self._tried_at, self._closed = now, False
        self._thread = threading.Thread(target=self._build, args=(waiting[-1],), name="indexing", daemon=True)
        self._thread.start()

    def _build(self, number: int) -> None:
        try:
            with closing(connect(self._target, "index", _SETTINGS)) as connection:
                self._connection = connection
                if not self._closed and self._build_all(connection, number):
                    self._done.add(number)
                    self._tried_at = 0.0
        except StoreError as error:
            if not self._closed:
                log.warning("part %d is not indexed, to be tried again: %s", number, error)
        finally:
            self._connection = None

    def _build_all(self, connection: Connection, number: int) -> bool:
        if not build_facets(connection, self._target, number):
            return False
        build_filter(connection, self._target, number)
        if self._refused:
            return True
        try:
            return build_texts(connection, self._target, number)
        except Refused as error:
            self._refused = True
            log.warning("%s", error)
            return True

    def close(self) -> None:
        """Give up what is under way."""
        self._closed = True
        connection, thread = self._connection, self._thread
        if connection is not None:
            with suppress(psycopg.Error):
                connection.cancel()
        if thread is not None:
            thread.join(GRACE)


def build_facets(connection: Connection, target: Target, number: int) -> bool:
    """Build what is missing of what filters look at; False while another collector builds indexes."""
    table = names(number)[0]
    with guard(target):
        if not _alone(connection, target):
            return False
        built = [_make(connection, table, suffix, sql.SQL(what)) for suffix, what in FACETS.items()]
        # The planner is to know what is in an index before it chooses between them.
        if any(built):
            connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table)))
    return True


def build_filter(connection: Connection, target: Target, number: int) -> None:
    """Make the filter of a part's ids, unless it is there."""
    with guard(target), connection.transaction():
        if connection.execute(WRITER["filter_sizes"], ([number],)).fetchone() is not None:
            return
        ((tasks,),) = connection.execute(_SQL["tasks"], (number,)).fetchall()
        with connection.cursor("ids") as cursor:
            cursor.itersize = IDS
            ids = (id_ for (id_,) in cursor.execute(_SQL["ids"], (number,)))
            bits = places.make(ids, tasks)
        connection.execute(_SQL["put_filter"], (number, bits))


def build_texts(connection: Connection, target: Target, number: int) -> bool:
    """Build the index of a part's texts unless it is there; False while another collector builds indexes."""
    with guard(target):
        if not _alone(connection, target):
            return False
        operators = sql.Identifier(_extension(connection, target), "gin_trgm_ops")
        what = sql.SQL("gin (({texts}) {operators})").format(texts=sql.SQL(ALL_TEXTS), operators=operators)
        if _make(connection, names(number)[0], "texts", what):
            log.info("indexed the texts of part %d", number)
    return True


def _alone(connection: Connection, target: Target) -> bool:
    """Whether no other collector builds indexes, until this connection ends."""
    ((free,),) = connection.execute(WRITER["try_session_lock"], (target.lock_space, INDEX)).fetchall()
    return bool(free)


def _make(connection: Connection, table: str, suffix: str, what: sql.Composable) -> bool:
    """Build an index unless it is there and whole; whether it was built."""
    name = f"{table}_{suffix}"
    state = connection.execute(_SQL["state"], (name,)).fetchone()
    if state == (True,):
        return False
    if state is not None:
        connection.execute(sql.SQL("DROP INDEX CONCURRENTLY {}").format(sql.Identifier(name)))
    make = sql.SQL("CREATE INDEX CONCURRENTLY {name} ON {table} USING {what}")
    connection.execute(make.format(name=sql.Identifier(name), table=sql.Identifier(table), what=what))
    return True


def _extension(connection: Connection, target: Target) -> str:
    """The schema of pg_trgm, which is made if it may be; raises `Refused`."""
    problem: psycopg.Error | None = None
    # Not in our own schema if it can be helped: whoever drops that would take the indexes of other stores along.
    for where in ("SCHEMA public", ""):
        if connection.execute(_SQL["extension"], (EXTENSION,)).fetchone() is None:
            try:
                connection.execute(f"CREATE EXTENSION IF NOT EXISTS {EXTENSION} {where}".encode())
            except psycopg.Error as error:
                if connection.closed:
                    raise
                problem = error
    found = connection.execute(_SQL["extension"], (EXTENSION,)).fetchone()
    if found is None:
        raise Refused(
            f"{target} has no extension {EXTENSION} ({' '.join(str(problem).split())}): searches of texts read every "
            f"task; have a superuser run CREATE EXTENSION {EXTENSION} in the database and restart the collector"
        ) from problem
    return str(found[0])
