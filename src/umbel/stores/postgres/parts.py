"""The parts of the store: begun, listed, dropped; each is one partition of each of three tables."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from psycopg import sql

from umbel.stores.postgres.schema import BEGIN_PART
from umbel.stores.postgres.session import LOCK_TIMEOUT, Session
from umbel.stores.postgres.sums import SQL as SUMS

#: Partitioned by part, in the order in which a part leaves them: once its tasks are gone, nobody adds to the others.
TABLES: Final = ("task", "rollup", "exception")
#: Room in each page for updated rows: an update that changes no indexed column then stays in its page.
_FILL: Final = {"task": 70, "rollup": 50, "exception": 70}
DAY: Final = 86_400
#: After every minute of rollups.
NEVER_MINUTE: Final = 1 << 60
#: Seconds that a collector's clock may be ahead of the server's before the server's is believed.
AHEAD: Final = 3_600.0
#: How long to wait for commits under way before a part is begun, and for readers of a part that is dropped.
BEGIN_PATIENCE: Final = "10s"
DROP_PATIENCE: Final = "200ms"

log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Newest:
    """The part that new tasks go to."""

    number: int
    created_at: float
    ending: bool
    #: The server's clock, for what a collector's may say.
    server_now: float
    tasks: int

    def is_over(self, at: float, limit: int) -> bool:
        """Whether the next new task, at `at` by its collector's clock, belongs to another part."""
        now = min(at, self.server_now + AHEAD)
        return self.ending or self.tasks >= limit or now // DAY > self.created_at // DAY


@dataclass(frozen=True, slots=True)
class Part:
    """A part as upkeep sees it."""

    number: int
    first_n: int
    created_at: float
    dropping: bool
    tasks: int
    touched_at: float


def newest(session: Session) -> Newest | None:
    """The part that new tasks go to; None in a store that has just been made."""
    row = session.execute("newest").fetchone()
    return Newest(*row) if row else None


def listed(session: Session) -> list[Part]:
    """Every part, the oldest first."""
    return [Part(*row) for row in session.execute("parts")]


def begin(session: Session, seen: int | None, at: float) -> None:
    """Begin the part after `seen`, unless somebody has: no commit is under way meanwhile.

    A commit therefore sees every task of the parts before its own, and no task is ever in two.
    """
    connection = session.connection
    prepare(session, (seen or 0) + 1)
    with connection.transaction():
        session.execute("patience", BEGIN_PATIENCE)
        session.execute("take_lock", session.target.lock_space, BEGIN_PART)
        found = newest(session)
        if (found.number if found else None) == seen:
            session.execute("put_part", at, AHEAD)


def names(number: int) -> list[str]:
    """The tables of a part."""
    return [f"{table}_{number:06d}" for table in TABLES]


def prepare(session: Session, number: int) -> None:
    """Make the tables of a part, unless they are there; neither readers nor writers wait for that."""
    attached = {name for name, is_attached, _ in session.execute("tables", names(number)) if is_attached}
    for table, name in zip(TABLES, names(number), strict=True):
        if name not in attached:
            _make(session, table, name, number)


def _make(session: Session, table: str, name: str, number: int) -> None:
    values = {"table": sql.Identifier(table), "name": sql.Identifier(name), "number": sql.Literal(number)}
    values["fill"] = sql.Literal(_FILL[table])
    with session.connection.transaction():
        session.execute("patience", BEGIN_PATIENCE)
        # Two collectors may come to this at once.
        session.execute("take_lock", session.target.lock_space, number + BEGIN_PART * 10)
        if session.execute("tables", [name]).fetchone():
            return
        make = "CREATE TABLE {name} (LIKE {table} INCLUDING ALL) WITH (fillfactor = {fill})"
        session.connection.execute(sql.SQL(make).format(**values))
        attach = "ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES IN ({number})"
        session.connection.execute(sql.SQL(attach).format(**values))


def drop(session: Session, part: Part) -> int:
    """Drop a part; the bytes that it had. What is interrupted is gone on with at the next call.

    Only what still reads the part is waited for, shortly; no other reader and no writer waits for this.
    """
    freed: int = session.one("part_bytes", names(part.number))
    if not part.dropping:
        with session.connection.transaction():
            session.execute("set_dropping", part.number)
            # They count what goes.
            session.connection.execute(SUMS["forget"])
            session.execute("touch", session.slot)
    session.connection.execute("SELECT set_config('lock_timeout', %s, false)", (DROP_PATIENCE,))
    try:
        for table, name in zip(TABLES, names(part.number), strict=True):
            _detach(session, table, name)
        for name in names(part.number):
            session.connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name)))
    finally:
        if not session.broken:
            session.connection.execute("SELECT set_config('lock_timeout', %s, false)", (LOCK_TIMEOUT,))
    with session.connection.transaction():
        session.execute("forget_shares", part.number)
        session.execute("forget_filter", part.number)
        session.execute("forget_zones", part.number)
        session.execute("forget_part", part.number)
        session.connection.execute(SUMS["forget_touched"])
        session.execute("touch", session.slot)
    log.info("dropped part %d: %d tasks, %d bytes", part.number, part.tasks, freed)
    return freed


def _detach(session: Session, table: str, name: str) -> None:
    row = session.execute("tables", [name]).fetchone()
    if row is None or not row[1]:
        return
    how = "FINALIZE" if row[2] else "CONCURRENTLY"
    statement = f"ALTER TABLE {{}} DETACH PARTITION {{}} {how}"
    session.connection.execute(sql.SQL(statement).format(sql.Identifier(table), sql.Identifier(name)))
