"""The operator's side of a PostgreSQL store: looked over, brought to the newest form, made smaller.

Collectors may go on meanwhile: what is looked at is one moment, and a table that is made smaller waits for its turn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from psycopg import sql

from umbel.clock import Clock
from umbel.stores.base import Finding
from umbel.stores.postgres.connect import Connection, connect, guard
from umbel.stores.postgres.parts import TABLES, names
from umbel.stores.postgres.schema import MIGRATIONS, bring_up, version_of
from umbel.stores.postgres.sessions import no_store
from umbel.stores.postgres.target import Target
from umbel.stores.sqlfile import load

#: How long a table that is in use is waited for.
LOCK_TIMEOUT: Final = "10s"

_SQL: Final = load(Path(__file__).with_name("keeper.sql"))
_OF_A_PART: Final = re.compile(rf"(?:{'|'.join(TABLES)})_(\d{{6,}})")


class PostgresKeeper:
    """`StoreKeeper` on a schema of a database."""

    def __init__(self, target: Target, *, clock: Clock | None = None) -> None:
        self._target = target
        # Nothing here asks for the time: the server's statements tell by themselves when they are through.
        del clock

    def migrate(self) -> Sequence[str]:
        with self._connected() as connection:
            before = version_of(connection, self._target)
            bring_up(connection, self._target)
        return [f"{self._target}: {step.version:03d} {step.name}" for step in MIGRATIONS[before:]]

    def check(self) -> Iterator[Finding]:
        with self._connected() as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            parts = {number: (dropping, tasks) for number, dropping, tasks in connection.execute(_SQL["parts"])}
            for number, (dropping, tasks) in parts.items():
                yield Finding(names(number)[0], _problem(connection, number, tasks, dropping=dropping))
            ((doubled,),) = connection.execute(_SQL["doubled"]).fetchall()
            yield Finding("ids", f"{doubled:,} tasks stand in two parts" if doubled else "")
            yield from _strays(connection, set(parts))

    def vacuum(self) -> Iterator[Finding]:
        with self._connected() as connection:
            for name, _, before in connection.execute(_SQL["tables"]).fetchall():
                connection.execute(sql.SQL("VACUUM (FULL, ANALYZE) {}").format(sql.Identifier(name)))
                ((after,),) = connection.execute(_SQL["size"], (name,)).fetchall()
                yield Finding(f"{name}: {before:,} bytes, now {after:,}")

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """A connection to a store that is there."""
        with closing(connect(self._target, "db", {"lock_timeout": LOCK_TIMEOUT})) as connection:
            if not version_of(connection, self._target):
                raise no_store(self._target)
            with guard(self._target):
                yield connection


def _problem(connection: Connection, number: int, tasks: int, *, dropping: bool) -> str:
    """What is wrong with a part, "" for nothing."""
    if dropping:
        return "it is half dropped; the next collector finishes that"
    ((found, places),) = connection.execute(_SQL["count"], (number,)).fetchall()
    if found != tasks:
        return f"it holds {found:,} tasks and should hold {tasks:,}"
    return "" if places == found else f"{found - places:,} of its tasks have another's place in the order"


def _strays(connection: Connection, parts: set[int]) -> Iterator[Finding]:
    """Tables that look like a part's and belong to none; the one made ahead is as it should be."""
    newest = max(parts, default=0)
    for name, attached, size in connection.execute(_SQL["tables"]).fetchall():
        match = _OF_A_PART.fullmatch(name)
        if match and int(match[1]) not in parts and not (attached and int(match[1]) == newest + 1):
            yield Finding(name, f"it belongs to no part and holds {size:,} bytes; drop it once you know why")
