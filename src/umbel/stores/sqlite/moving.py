"""Moves the catalog's write-ahead log into its file beside the writer, which would have to wait for the disk."""

from __future__ import annotations

import logging
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Final

#: Rows that have changed since the last time: the log has grown by a few megabytes.
ROWS: Final = 4_000

log: Final = logging.getLogger(__name__)


class Moving:
    """One move at a time, by a thread and a connection of its own."""

    def __init__(self) -> None:
        self._moved = 0
        self._thread: threading.Thread | None = None

    def step(self, file: Path, changes: int) -> None:
        """Begin to move the log if enough has changed; `changes` are the rows that the writer has changed so far."""
        # A catalog that was begun anew counts from 0.
        if self._thread is None and abs(changes - self._moved) >= ROWS:
            self._moved = changes
            self._thread = threading.Thread(target=self._run, args=(file,), name="moving", daemon=True)
            self._thread.start()

    def _run(self, file: Path) -> None:
        try:
            # Not made anew if it was moved or deleted meanwhile.
            uri = f"{file.absolute().as_uri()}?mode=rw"
            with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            log.warning("%s: its log stays as it is for now: %s", file, error)
        finally:
            self._thread = None

    def wait(self) -> None:
        """Until nothing is being moved."""
        thread = self._thread
        if thread is not None:
            thread.join()
