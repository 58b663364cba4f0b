"""A writer and a reader of a spool as processes of their own, to be killed.

`python -m tests.buffer.processes write DIRECTORY LIFE` and `… read DIRECTORY`.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import sys
from pathlib import Path

from tests.buffer.messages import CLASSES, decoded, one
from umbel.buffer.reader import SpoolReader
from umbel.buffer.writer import SpoolWriter
from umbel.clock import SystemClock
from umbel.model.event import EventClass

LIMIT = 1 << 20
BATCH = 40
#: Numbers of one life of a writer begin at a multiple of this.
LIFE = 10_000_000


def numbers(life: int, append: int) -> range:
    """The numbers of the events of one append."""
    start = life * LIFE + append * BATCH
    return range(start, start + BATCH)


def class_of(number: int) -> EventClass:
    return CLASSES[number % len(CLASSES)]


def write(directory: Path, life: int) -> None:
    """Append as fast as it goes; after each append its number is left in a file."""
    writer = SpoolWriter(directory / "spool", LIMIT, SystemClock())
    progress = os.open(directory / f"life-{life}", os.O_RDWR | os.O_CREAT)
    append = 0
    while True:
        messages = [one(class_of(number), number, worker=number % 7) for number in numbers(life, append)]
        writer.append(messages, len(messages), SystemClock().now())
        append += 1
        os.pwrite(progress, struct.pack("<Q", append), 0)
        if append % 50 == 0:
            writer.sync()


def open_store(directory: Path) -> sqlite3.Connection:
    store = sqlite3.connect(directory / "store.db", isolation_level=None)
    store.execute("PRAGMA journal_mode=WAL")
    store.execute("CREATE TABLE IF NOT EXISTS rows (number INTEGER PRIMARY KEY)")
    store.execute("CREATE TABLE IF NOT EXISTS shed (class TEXT, count INTEGER)")
    store.execute("CREATE TABLE IF NOT EXISTS at (position TEXT)")
    return store


def position(store: sqlite3.Connection) -> str | None:
    row = store.execute("SELECT position FROM at").fetchone()
    return row[0] if row else None


def keep(store: sqlite3.Connection, reader: SpoolReader, wait: float) -> bool:
    """Read a batch and store it with its position in one transaction; whether there was one."""
    batch = reader.read(300, 1 << 20, wait)
    if batch.position is None:
        return False
    store.execute("BEGIN")
    store.executemany("INSERT INTO rows VALUES (?)", [(number,) for number, _ in decoded(batch.messages)])
    store.executemany(
        "INSERT INTO shed VALUES (?, ?)", [(f"{reason}/{kind}", n) for (reason, kind), n in batch.discarded.items()]
    )
    store.execute("DELETE FROM at")
    store.execute("INSERT INTO at VALUES (?)", (batch.position,))
    store.execute("COMMIT")
    reader.commit(batch.position)
    return True


def read(directory: Path) -> None:
    """Store what comes, a little slower than it comes."""
    store = open_store(directory)
    reader = SpoolReader(directory / "spool", SystemClock())
    reader.open(position(store))
    while True:
        keep(store, reader, 0.1)
        SystemClock().sleep(0.03)


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        read(Path(sys.argv[2]))
