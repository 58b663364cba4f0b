"""Walking all records in order of `n`: for moving a store and for checking it, where none may be left out."""

from __future__ import annotations

import sqlite3
from typing import Final

from umbel.errors import StoreError
from umbel.model.merge import Task
from umbel.stores.base import ScanPage
from umbel.stores.sqlite.connect import explain
from umbel.stores.sqlite.records import task_of
from umbel.stores.sqlite.rows import SUMMARY_COLUMNS, summary_of
from umbel.stores.sqlite.sessions import SQL, Listed, OpenSegment, Session

#: Characters of texts after which a page ends.
LONGEST: Final = 8 * 1024 * 1024

_RECORDS: Final = (
    f"SELECT {SUMMARY_COLUMNS}, body, args, kwargs, result, traceback FROM task LEFT JOIN record USING (n) "  # noqa: S608
    "WHERE task.n >= ? AND task.n < ? ORDER BY task.n LIMIT ?"
)


def page_from(session: Session, cursor: int | None, limit: int) -> ScanPage:
    """The records with n >= cursor, of one segment; the next cursor is the `n` that follows."""
    segments = [listed for listed in reversed(session.segments()) if cursor is None or listed.end_n > cursor]
    if not segments:
        return ScanPage((), None)
    listed = segments[0]
    file = session.file(listed.number)
    segment = session.segment(listed.number)
    if segment is None:
        raise StoreError(f"{file} cannot be read; umbel db check tells more")
    try:
        tasks, after = _read(segment, listed, max(cursor or 0, listed.first_n), limit)
        seen_at = segment.connection.execute(SQL["touched"]).fetchone()[0]
    except sqlite3.Error as error:
        raise explain(error, file) from error
    if after >= listed.end_n:
        return ScanPage(tasks, str(segments[1].first_n) if len(segments) > 1 else None, seen_at)
    return ScanPage(tasks, str(after), seen_at)


def _read(segment: OpenSegment, listed: Listed, low: int, limit: int) -> tuple[list[Task], int]:
    """Records from `low` on, and the `n` after the last one looked at."""
    found: list[Task] = []
    room = LONGEST
    cursor = segment.connection.execute(_RECORDS, (low, listed.end_n, limit))
    for row in cursor:
        summary = summary_of(row[:-5])
        record = segment.record(row[0], row[-5:])
        found.append(task_of(summary, record, segment.word))
        room -= sum(map(len, record)) + len(summary.exception)
        if room <= 0 or len(found) >= limit:
            cursor.close()
            return found, row[0] + 1
    return found, listed.end_n
