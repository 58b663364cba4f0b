"""Connections as Umbel uses them, and PostgreSQL's errors in Umbel's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Final

import psycopg
from psycopg import sql

from umbel.errors import StoreBusy, StoreError
from umbel.stores.postgres.target import Target

Connection = psycopg.Connection[tuple[Any, ...]]

_BACKEND: Final = "SELECT pg_backend_pid()"

#: The oldest server that has what the store uses (DETACH PARTITION … CONCURRENTLY), and what it calls itself.
OLDEST: Final = 140_000
#: Unless the URL says otherwise: how soon an unreachable or vanished server is noticed.
_PATIENCE: Final = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}

#: By SQLSTATE or the two characters of its class: what is wrong, and what to do.
_PASSING: Final = {
    "08": "cannot be reached; is PostgreSQL running there?",
    "25006": "takes no writes: it is a standby or set read-only; give the primary's --store",
    "40": "had to choose between two commits; this one comes again",
    "53100": "cannot grow: the server's disk is full",
    "53300": "takes no more connections; raise max_connections, or stop something",
    "53": "is short of resources",
    "55P03": "is locked by another session",
    "57014": "took too long",
    "57": "is shutting down or starting",
}
_LASTING: Final = {
    "28": "does not let us in; set the user and password in --store, PGPASSWORD or ~/.pgpass, and see pg_hba.conf",
    "3D": "names a database that is not there; create it: createdb DATABASE",
    "42501": "does not allow it; give Umbel's user the right: GRANT CREATE, TEMPORARY ON DATABASE … TO …, or make it "
    "the owner of the schema",
}
#: When connecting there is only a message: what it says, and the SQLSTATE that it stands for.
_SAYINGS: Final = (
    ("too many clients", "53300"),
    ("connection slots", "53300"),
    ("starting up", "57P03"),
    ("shutting down", "57P03"),
    ("recovery mode", "57P03"),
    ("password", "28P01"),
    ("authentication", "28000"),
    ("pg_hba.conf", "28000"),
    ("database", "3D000"),
    ("role ", "28000"),
)
#: What makes a commit fail through no fault of what is in it, besides what passes: rights, password, database, tables.
_SURROUNDINGS: Final = ("28", "3D", "3F", "42501", "42P01")


def connect(target: Target, purpose: str, settings: dict[str, str]) -> Connection:
    """A connection that commits each statement by itself; raises `StoreBusy` for a server that is away."""
    connection = _opened(target, purpose)
    try:
        with guard(target):
            ((backend,),) = connection.execute(_BACKEND)
        # A pooler tells a number of its own for the process that serves us.
        if backend != connection.info.backend_pid:
            _refuse_shared(target, purpose, backend)
        _prepare(connection, target, settings)
    except BaseException:
        connection.close()
        raise
    return connection


def _opened(target: Target, purpose: str) -> Connection:
    try:
        given = psycopg.conninfo.conninfo_to_dict(target.conninfo)
        options: dict[str, Any] = {"application_name": f"umbel {purpose}"} | _PATIENCE
        options = {name: value for name, value in options.items() if name not in given}
        return psycopg.connect(target.conninfo, autocommit=True, client_encoding="UTF8", **options)
    except psycopg.Error as error:
        raise explain(error, target) from error


def _refuse_shared(target: Target, purpose: str, backend: int) -> None:
    """Raise `StoreError` if the process that just served us now serves another connection: no session is kept."""
    with closing(_opened(target, purpose)) as other, guard(target), other.transaction():
        ((found,),) = other.execute(_BACKEND)
    if found == backend:
        raise StoreError(
            f"{target} goes through a pooler that keeps no sessions, and Umbel's locks, settings and notifications "
            "need them: set pool_mode = session for this database (pgbouncer), or name the server itself in --store"
        )


def _prepare(connection: Connection, target: Target, settings: dict[str, str]) -> None:
    with guard(target):
        if connection.info.server_version < OLDEST:
            raise StoreError(
                f"{target} is PostgreSQL {connection.info.server_version // 10_000}; 14 or newer is needed"
            )
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise StoreError(f"{target} keeps texts in {encoding}: create the database with ENCODING 'UTF8'")
        wanted = {"search_path": target.schema, "jit": "off", **settings}
        calls = sql.SQL(", ").join([sql.SQL("set_config(%s, %s, false)")] * len(wanted))
        connection.execute(sql.SQL("SELECT ") + calls, [text for pair in wanted.items() for text in pair])


def state_of(error: psycopg.Error) -> str:
    """The SQLSTATE of an error; one that the server did not send is taken from its words, else 08000."""
    if error.sqlstate:
        return error.sqlstate
    if not isinstance(error, psycopg.OperationalError):
        return ""
    message = str(error)
    # Words of the server, not of libpq about a server that does not answer.
    return next((state for words, state in _SAYINGS if "FATAL" in message and words in message), "08000")


def _look_up(table: dict[str, str], state: str) -> str | None:
    return table.get(state) or table.get(state[:2])


def explain(error: psycopg.Error, target: Target) -> StoreError:
    """PostgreSQL's error in Umbel's terms: `StoreBusy` where it may pass, else `StoreError`."""
    state = state_of(error)
    said = " ".join(str(error).split())[:500]
    passing = _look_up(_PASSING, state)
    if passing:
        return StoreBusy(f"{target} {passing} ({said})")
    lasting = _look_up(_LASTING, state)
    return StoreError(f"{target} {lasting or 'cannot be used'} ({said})")


def is_surroundings(error: psycopg.Error) -> bool:
    """Whether a commit failed for something around it that may be mended, so that the same commit may succeed."""
    return state_of(error).startswith(_SURROUNDINGS)


@contextmanager
def guard(target: Target) -> Iterator[None]:
    """Turn PostgreSQL's errors into Umbel's."""
    try:
        yield
    except psycopg.Error as error:
        raise explain(error, target) from error
