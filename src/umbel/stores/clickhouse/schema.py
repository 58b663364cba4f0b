"""The tables: made and migrated once, while others may be doing the same or be reading."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Final

from umbel.clock import Clock
from umbel.stores import migrate
from umbel.stores.clickhouse.connection import Connection
from umbel.stores.clickhouse.target import Target
from umbel.stores.sqlfile import load

log: Final = logging.getLogger(__name__)

MIGRATIONS: Final = migrate.load(Path(__file__).parent / "migrations")
SQL: Final = load(Path(__file__).with_name("schema.sql"))

#: By what the rows of a table are spread over the shards of a cluster. A commit's entries must stay one block.
SHARDING: Final = {
    "task": "cityHash64(id)",
    "place": "cityHash64(id)",
    "stray": "cityHash64(id)",
    "doomed": "cityHash64(id)",
    "worker": "cityHash64(hostname)",
    "entry": "0",
    "rollup": "span",
    "migration": "0",
    "credential": "cityHash64(digest)",
}
_COMMENT: Final = re.compile(r"^\s*--[^\n]*\n", re.MULTILINE)
_TABLE: Final = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)_local\b")


def fill(sql: str, target: Target, **more: str | int) -> str:
    """A statement for one server or for a cluster, with more of its words."""
    cluster, layout = target.cluster, target.layout
    return Template(sql).substitute(
        database=target.database,
        local="_local" if cluster else "",
        on_cluster=f"ON CLUSTER '{cluster}'" if cluster else "",
        replicated="Replicated" if cluster else "",
        part=layout.part,
        per_part=layout.part // layout.span,
        **more,
    )


def statements(script: str, target: Target) -> Iterator[str]:
    """The statements of a script, and on a cluster after each table the one that spreads over its shards."""
    for piece in fill(_COMMENT.sub("", script), target).split(";\n"):
        sql = piece.strip()
        if not sql:
            continue
        yield sql
        table = _TABLE.match(sql)
        if table:
            yield fill(SQL["distribute"], target).format(
                table=table[1], cluster=target.cluster, database=target.database, key=SHARDING[table[1]]
            )


class Prepared:
    """A connection to a store that has its tables: whoever uses it may come before the first collector."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._lock = threading.Lock()
        self._done = False

    def opened(self) -> Connection:
        """The connection; its first use makes the tables, as `prepare` does, and any thread may be the first."""
        with self._lock:
            if not self._done:
                prepare(self._connection, self._clock)
                self._done = True
        return self._connection


def prepare(connection: Connection, clock: Clock) -> None:
    """Make the database and bring its tables up to date; raises StoreError for one that a newer Umbel wrote.

    Each statement does nothing where another collector was faster, so it does not matter who finishes.
    """
    target = connection.target
    connection.command(fill(SQL["make_database"], target), in_database=False)
    for sql in statements(SQL["make_migration"] + ";\n", target):
        connection.command(sql)
    version = connection.query(SQL["version"])[0][0]
    for step in migrate.pending(MIGRATIONS, version, target.address):
        for sql in statements(step.script, target):
            connection.command(sql)
        connection.insert("migration", COLUMNS, [(step.version, step.name, clock.now())])
        log.info("%s: format %d (%s)", target.address, step.version, step.name)


COLUMNS: Final = {"version": "UInt32", "name": "String", "at": "Float64"}
