"""Makes room in a full spool: takes the lesser events out of what nobody has read yet, the oldest segment first."""

from __future__ import annotations

import fcntl
import itertools
import logging
import os
from pathlib import Path
from typing import Final

from umbel.buffer.appender import CLEAN, Appender
from umbel.buffer.compact import Remains, joined, sift
from umbel.buffer.files import Files
from umbel.buffer.frame import SEGMENT_HEADER, Frame, SegmentHeader, pack_frame, pack_segment
from umbel.buffer.marks import Cells, Read, try_lock
from umbel.buffer.notes import Notes
from umbel.buffer.recovery import Segment
from umbel.buffer.segments import SegmentFile
from umbel.buffer.sieve import Sieve
from umbel.clock import Clock
from umbel.logs import Limited

log = logging.getLogger(__name__)

BALLAST: Final = "ballast"
#: Seconds before a segment that could not be rewritten is tried again.
RETRY: Final = 1.0


class Relief:
    """Compacts one segment at a time; a reader's lock or an error leaves a segment as it is.

    The new file is written into the ballast, whose blocks were set aside while there was room, and renamed over the
    segment: what is left and the count of what was taken out become true at once, also on a full disk.
    """

    def __init__(
        self, appender: Appender, read: Cells, directory: Path, *, size: int, files: Files, clock: Clock
    ) -> None:
        """`size`: bytes of the ballast."""
        self._appender = appender
        self._read = read
        self._directory = directory
        self._path = directory / BALLAST
        self._size = size
        self._files = files
        self._clock = clock
        self._warn = Limited(log, clock)
        self._sieve = Sieve()
        self._retry: dict[int, float] = {}
        self.lay_ballast()

    def lay_ballast(self) -> None:
        """Have the ballast's blocks, if the disk gives them."""
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._files.allocate(fd, self._size)
            finally:
                os.close(fd)
        except OSError as error:
            self._warn.warning("ballast", f"{self._path}: no {self._size} bytes to set aside: {error.strerror}")

    def relieve(self, level: int) -> Notes | None:
        """Sift the oldest segment that may hold something of rank `level` or less.

        Gives what was shed (perhaps nothing), or None where no segment is left to sift.
        """
        now = self._clock.monotonic()
        self._retry = {first: at for first, at in self._retry.items() if now < at <= now + RETRY}
        for index, segment in enumerate(self._appender.closed):
            if segment.double or segment.level >= level or segment.first in self._retry or not self._unseen(segment):
                continue
            try:
                shed = self._sift(index, segment, level)
            except FileNotFoundError:
                continue
            except OSError as error:
                self._retry[segment.first] = now + RETRY
                self._warn.warning("compact", f"spool segment {segment.path} cannot be rewritten: {error.strerror}")
                continue
            if shed is not None:
                return shed
        return None

    def _unseen(self, segment: Segment) -> bool:
        """Whether nothing of it was handed out: what was may be in the store already, and must not count as shed."""
        return segment.first > self._read[Read.HANDED_OUT]

    def _open(self, segment: Segment) -> SegmentFile | None:
        """The segment, locked against the reader until it is closed; None where the reader is there first."""
        file = SegmentFile(segment.path)
        if try_lock(file.fd, fcntl.LOCK_EX) and self._unseen(segment):
            return file
        file.close()
        return None

    def _sift(self, index: int, segment: Segment, level: int) -> Notes | None:
        file = self._open(segment)
        if file is None:
            return None
        try:
            remains = sift(file, level, self._sieve)
            if remains is None:
                # Nothing in it can be read: the reader sets it aside and says what is missing.
                segment.level = CLEAN
                return None
            if not remains.shed:
                segment.level = level
            elif not self._merge(index, segment, remains, level):
                self._rewrite(segment, remains.frames, level)
            self._appender.measure()
            return remains.shed
        finally:
            file.close()

    def _merge(self, index: int, segment: Segment, remains: Remains, level: int) -> bool:
        """Add what remains to the segment before, where both are small, or the files would become ever more."""
        before = self._appender.closed[index - 1] if index else None
        if (
            before is None
            or before.double
            or before.level < level
            or before.size <= SEGMENT_HEADER
            or before.size + remains.bytes > self._size // 2
            or not self._unseen(before)
        ):
            return False
        file = self._open(before)
        if file is None:
            return False
        try:
            found = sift(file, 0, self._sieve)
            if found is None:
                return False
            self._rewrite(before, [*found.frames, *remains.frames], level)
        finally:
            file.close()
        # From here on its frames are there twice; a reader takes the first and knows the second by their numbers.
        segment.level = level
        try:
            self._files.unlink(segment.path)
        except OSError as error:
            segment.double = True
            self._warn.warning("unlink", f"spool segment {segment.path} cannot be deleted: {error.strerror}")
        else:
            self._appender.closed.remove(segment)
        return True

    def _rewrite(self, segment: Segment, frames: list[Frame], level: int) -> None:
        """Put `frames` in the place of what the segment holds."""
        first, last = frames[0], frames[-1].last
        header = SegmentHeader(self._appender.spool, segment.first, first.events_before, first.captured_at, level, last)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = 0
            for parts in itertools.chain([(pack_segment(header),)], map(pack_frame, joined(frames))):
                self._files.write(fd, parts, size)
                size += sum(map(len, parts))
            self._files.truncate(fd, size)
        finally:
            os.close(fd)
        self._files.replace(self._path, segment.path)
        segment.size, segment.level, segment.captured_at = size, level, first.captured_at
        self.lay_ballast()
