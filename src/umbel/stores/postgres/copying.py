"""Rows sent in bulk."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from psycopg import sql

from umbel.stores.postgres.session import Session

_COPY: Final = "COPY {} FROM STDIN (FORMAT BINARY)"


def copy_rows(session: Session, table: str, types: Iterable[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Send rows into a temporary table, in PostgreSQL's own form."""
    with session.connection.cursor() as cursor, cursor.copy(sql.SQL(_COPY).format(sql.Identifier(table))) as copy:
        copy.set_types(list(types))
        for row in rows:
            copy.write_row(row)
