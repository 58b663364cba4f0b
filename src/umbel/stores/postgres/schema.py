"""The schema of the store: begun, and brought from version to version, by whichever process comes first."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from psycopg import sql

from umbel.errors import StoreError
from umbel.stores import migrate
from umbel.stores.postgres.connect import Connection, guard
from umbel.stores.postgres.target import Target
from umbel.stores.sqlfile import load

MIGRATIONS: Final = migrate.load(Path(__file__).parent / "migrations")
SQL: Final = load(Path(__file__).with_name("writer.sql"))

#: The second number of the store's advisory locks; a slot's is the slot's own, from 0.
BEGIN_PART: Final = 1_000
LEADER: Final = 1_001
MIGRATE: Final = 1_002
TRIM: Final = 1_003
INDEX: Final = 1_004
#: How long to wait for another process that migrates.
PATIENCE: Final = "60s"


def version_of(connection: Connection, target: Target) -> int:
    """The version of the store, 0 where there is none; raises `StoreError` if a newer Umbel has written it."""
    with guard(target):
        if not _one(connection, "has_table", target.schema, "migration"):
            return 0
        version: int = _one(connection, "version")
    migrate.pending(MIGRATIONS, version, str(target))
    return version


def bring_up(connection: Connection, target: Target) -> None:
    """Begin the store or bring it to the newest version; only one process does, the others wait for it.

    All steps are one transaction: others go on with the old version until it is done.
    """
    if version_of(connection, target) == len(MIGRATIONS):
        return
    with guard(target), connection.transaction():
        connection.execute(SQL["patience"], (PATIENCE,))
        connection.execute(SQL["take_lock"], (target.lock_space, MIGRATE))
        if not _one(connection, "has_table", target.schema, "migration"):
            _begin(connection, target)
        for step in migrate.pending(MIGRATIONS, version_of(connection, target), str(target)):
            # A script of ours, kept in a file: it has no parameters.
            connection.execute(step.script.encode())
            connection.execute(SQL["put_migration"], (step.version, step.name))


def _begin(connection: Connection, target: Target) -> None:
    ((exists, tables),) = connection.execute(SQL["schema"], (target.schema,)).fetchall()
    if tables:
        raise StoreError(
            f"the schema {target.schema} of {target} holds another program's tables: "
            "give another one, as in --store postgresql://…/DATABASE?schema=umbel2"
        )
    if not exists:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(target.schema)))
    connection.execute(SQL["create_migrations"])


def _one(connection: Connection, statement: str, *parameters: object) -> int:
    """The only value of the only row."""
    ((value,),) = connection.execute(SQL[statement], parameters).fetchall()
    return int(value)
