"""What writer and reader tell each other outside the segments: a page of counters each, mapped into memory.

A store to a cell is one machine word: it costs nothing, never tears, and survives the death of the process.
Each file is also the lock that keeps a second writer or reader away.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from enum import IntEnum
from pathlib import Path
from typing import Final

from umbel.buffer.files import allocate
from umbel.errors import SpoolError

PAGE: Final = 4096
WRITER_FILE: Final = "writer.state"
READER_FILE: Final = "reader.state"


class Written(IntEnum):
    """The writer's cells."""

    SPOOL = 0
    #: The sequence number that the next message will have.
    NEXT = 1
    #: Events in all frames written since the spool was made.
    EVENTS = 2
    #: Microseconds since the epoch at which the newest message was captured.
    CAPTURED = 3


class Read(IntEnum):
    """The reader's cells."""

    #: Last sequence number that the store has.
    COMMITTED = 0
    #: Last sequence number that was handed out: what lies between may or may not be stored.
    HANDED_OUT = 1
    #: First sequence number of the segment that the committed position lies in, and the offset in it.
    SEGMENT = 2
    OFFSET = 3


class Cells:
    """A mapped file of unsigned words; `room` bytes more follow for the owner's use."""

    def __init__(self, path: Path, room: int = 0) -> None:
        """Open the file, made if need be; raises `SpoolError`."""
        try:
            self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                # Its blocks are its own from now on: writing to it never needs room on a full disk.
                allocate(self.fd, PAGE + room)
                self._map = mmap.mmap(self.fd, PAGE)
            except OSError:
                os.close(self.fd)
                raise
        except OSError as error:
            raise SpoolError(
                f"the spool's file {path} cannot be opened: {error.strerror}. "
                "Is there room on the disk, and may this user write there?"
            ) from error
        self._words = memoryview(self._map).cast("Q")

    def __getitem__(self, cell: int) -> int:
        return self._words[cell]

    def __setitem__(self, cell: int, value: int) -> None:
        self._words[cell] = value

    def lock(self) -> bool:
        """Take the file's lock, kept until `close` or the death of the process; False where another has it."""
        return try_lock(self.fd, fcntl.LOCK_EX)

    def unlock(self) -> None:
        """Give the lock back."""
        fcntl.flock(self.fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Unmap the file and free its lock."""
        self._words.release()
        self._map.close()
        os.close(self.fd)


def try_lock(fd: int, kind: int) -> bool:
    """Take an advisory lock of a kind (LOCK_SH, LOCK_EX) without waiting; False where another is in the way."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
