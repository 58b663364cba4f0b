"""Rewrites a segment as a sealed one: reads a snapshot of its file and writes a new one.

It takes no part in what the writer does to the segment meanwhile.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from umbel.errors import StoreError
from umbel.private import private_file
from umbel.retention import Retention
from umbel.stores.kinds import STATES
from umbel.stores.sqlite import bitmaps, tens
from umbel.stores.sqlite.blocks import SQL, Blocks, Record, pack_blocks
from umbel.stores.sqlite.bundles import Bundles, has_bundles
from umbel.stores.sqlite.connect import guard, migrate
from umbel.stores.sqlite.files import delete
from umbel.stores.sqlite.fragments import SAMPLE, Fragments, fragments_of
from umbel.stores.sqlite.segment import MIGRATIONS
from umbel.stores.sqlite.vectors import pack, unpack

#: Bytes of index entries that are sorted in memory before they are written.
HASH_BYTES: Final = 32 * 1024 * 1024
#: Steps of SQLite's machine between two looks at whether to go on.
LOOK: Final = 200_000
#: Tables that are taken over as they are.
_SAME: Final = ("segment", "word", "exception")

log: Final = logging.getLogger(__name__)


def seal(
    source: Path,
    target: Path,
    generation: int,
    retention: Retention,
    now: float,
    *,
    gone: Callable[[], bool] = lambda: False,
) -> None:
    """Write `target` from `source`, without what `retention` no longer keeps at `now`; durable when this returns.

    Raises `StoreError`; `gone` tells from time to time whether to give up.
    """
    draft = target.with_name(target.name + "-draft")
    for file in (draft, target):
        delete(file)
    connection = _connect(draft)
    try:
        with guard(source):
            connection.set_progress_handler(lambda: int(gone()), LOOK)
            migrate(connection, draft, MIGRATIONS)
            connection.execute("ATTACH ? AS old", (f"{source.absolute().as_uri()}?mode=ro",))
            _write(connection, generation, retention, now, gone)
            connection.execute("DETACH old")
            # Into a file whose pages are full and in order.
            connection.execute("VACUUM INTO ?", (str(target),))
    finally:
        connection.close()
        delete(draft)
    _finish(target)


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file.absolute().as_uri(), uri=True, isolation_level=None)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -64000")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def _finish(target: Path) -> None:
    private_file(target)
    connection = sqlite3.connect(target, isolation_level=None)
    try:
        with guard(target):
            connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()
    descriptor = os.open(target, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(
    connection: sqlite3.Connection, generation: int, retention: Retention, now: float, gone: Callable[[], bool]
) -> None:
    execute = connection.execute
    connection.executescript(SQL["schema"])
    execute("BEGIN")
    for table in _SAME:
        execute(f"INSERT INTO main.{table} SELECT * FROM old.{table}")  # noqa: S608 - names of ours
    connection.create_function("packed", 1, lambda cells: pack(unpack(cells)), deterministic=True)
    execute(SQL["copy_rollups"])
    tens.make(connection)
    first_n, tasks = execute("SELECT first_n, tasks FROM main.segment").fetchone()
    _cut_off(connection, retention, now)
    execute(SQL["copy_tasks"])
    kept = execute("SELECT count(*) FROM main.task").fetchone()[0]
    execute(SQL["put_tally"])
    rows = connection.cursor().execute(SQL["columns"])
    connection.executemany(SQL["put_bitmap"], list(bitmaps.build(rows, first_n)))
    for field, column in enumerate(("sent_at", "received_at", "started_at", "finished_at")):
        values = {"field": field, "first_n": first_n, "size": bitmaps.ZONE}
        execute(SQL["put_zones"].format(column=column), values)
    grams = _make_grams(connection)
    _write_records(connection, first_n, gone, grams=grams)
    execute(SQL["put_sealed"], (now, generation, tasks - kept, grams))
    execute("COMMIT")


def _make_grams(connection: sqlite3.Connection) -> bool:
    """Make the index of texts, unless this SQLite cannot."""
    try:
        connection.execute(SQL["grams"])
    except sqlite3.OperationalError as error:
        log.warning("texts are not indexed: this SQLite cannot (%s)", error)
        return False
    connection.execute("INSERT INTO grams (grams, rank) VALUES ('hashsize', ?)", (HASH_BYTES,))
    return True


def _cut_off(connection: sqlite3.Connection, retention: Retention, now: float) -> None:
    """Note for each name and state that there is what is too old."""
    words = dict(connection.execute("SELECT id, word FROM main.word WHERE typeof(word) = 'text'"))
    cutoffs = []
    for name, state in connection.execute(SQL["groups"]).fetchall():
        age = retention.age_of(words.get(name, ""), STATES[state])
        if age is not None:
            cutoffs.append((name, state, now - age))
    connection.execute(SQL["cutoff"])
    connection.executemany(SQL["put_cutoff"], cutoffs)


def _write_records(connection: sqlite3.Connection, first_n: int, gone: Callable[[], bool], *, grams: bool) -> None:
    texts: list[tuple[int, str]] = []
    fragments = _left_out(connection, first_n) if grams else None

    def records() -> Iterator[tuple[int, Record]]:
        for n, exception, record in _records(connection, first_n, connection.cursor().execute(SQL["records"])):
            if fragments is not None:
                texts.append((n, fragments.without(_text(record, exception))))
            yield n - first_n, record

    for block in pack_blocks(records()):
        # Single statements are too short for SQLite to ask.
        if not block[0] % 64 and gone():
            raise StoreError("sealing is given up: the writer has ended")
        connection.execute(SQL["put_block"], block)
        connection.executemany(SQL["put_grams"], texts)
        texts.clear()
    if grams:
        connection.execute("INSERT INTO grams (grams) VALUES ('optimize')")


def _text(record: Record, exception: str | None) -> str:
    """What is searched of a task."""
    return "\n".join([*record[1:], exception or ""]).replace("\0", "\n")


def _left_out(connection: sqlite3.Connection, first_n: int) -> Fragments:
    """What the index of texts leaves out, noted in the new file."""
    count = connection.execute("SELECT count(*) FROM main.task").fetchone()[0]
    rows = connection.cursor().execute(SQL["sample"], (max(1, count // SAMPLE),))
    sample = [_text(record, exception) for _, exception, record in _records(connection, first_n, rows)]
    found = Fragments(fragments_of(sample))
    connection.executemany(SQL["put_left_out"], [(gram,) for gram in found.grams])
    return found


def _records(
    connection: sqlite3.Connection, first_n: int, rows: Iterable[tuple[Any, ...]]
) -> Iterator[tuple[int, str | None, Record]]:
    """The records of some rows, with their tasks' exceptions: those that have rows, the others as they are kept."""
    was_sealed = connection.execute("SELECT count(*) FROM old.sqlite_schema WHERE name = 'block'").fetchone()[0]
    blocks = Blocks(connection, "old") if was_sealed else None
    bundles = Bundles(connection, "old") if not was_sealed and has_bundles(connection, "old") else None
    for n, *row, exception in rows:
        record: Record | None = row
        if row[0] is None:
            record = blocks.record(n - first_n) if blocks else bundles.record(n) if bundles else None
        if record is not None:
            yield n, exception, record
