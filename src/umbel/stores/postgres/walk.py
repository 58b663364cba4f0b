"""Walking all records in order of `n`: for moving a store and for checking it, where none may be left out."""

from __future__ import annotations

from typing import Final

from umbel.stores.base import ScanPage
from umbel.stores.postgres.rows import RECORD_COLUMNS, record_of
from umbel.stores.postgres.scan import Listed, parts_of
from umbel.stores.postgres.sessions import ReadSession

#: Bytes of texts after which a page ends.
LONGEST: Final = 8 * 1024 * 1024

_SIZES: Final = (
    "SELECT n, octet_length(args) + octet_length(kwargs) + octet_length(result) + octet_length(traceback) + "
    "octet_length(exception) + octet_length(body) FROM task WHERE part = %s AND n >= %s AND n < %s ORDER BY n LIMIT %s"
)
_RECORDS: Final = f"SELECT {RECORD_COLUMNS} FROM task WHERE part = %s AND n >= %s AND n < %s ORDER BY n"  # noqa: S608 - built by us


def page_from(session: ReadSession, cursor: int | None, limit: int) -> ScanPage:
    """The records with n >= cursor, of one part; the next cursor is the `n` that follows."""
    parts = [part for part in reversed(parts_of(session)) if cursor is None or part.end_n > cursor]
    if not parts:
        return ScanPage((), None)
    part = parts[0]
    low = max(cursor or 0, part.first_n)
    end = _end(session, part, low, limit)
    rows = session.rows(_RECORDS, (part.number, low, end))
    following = str(end) if end < part.end_n else str(parts[1].first_n) if len(parts) > 1 else None
    return ScanPage([record_of(row)[0] for row in rows], following, part.touched_at)


def _end(session: ReadSession, part: Listed, low: int, limit: int) -> int:
    """The `n` at which the page ends: after so many records, or so many bytes of them."""
    room = LONGEST
    sizes = session.rows(_SIZES, (part.number, low, part.end_n, limit))
    for n, size in sizes:
        room -= size
        if room <= 0:
            return int(n) + 1
    return int(sizes[-1][0]) + 1 if len(sizes) == limit else part.end_n
