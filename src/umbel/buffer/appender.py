"""Appends frames to the newest segment and begins new ones; knows the size of all. Takes no decisions."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

from umbel.buffer.files import Files
from umbel.buffer.frame import SEGMENT_HEADER, Frame, SegmentHeader, pack_frame, pack_segment
from umbel.buffer.marks import Cells, Written
from umbel.buffer.notes import Notes
from umbel.buffer.recovery import Found, Segment
from umbel.buffer.segments import list_segments, segment_path
from umbel.private import private_directory

log = logging.getLogger(__name__)

#: Files that were closed for writing and not yet synced; beyond it the system writes them back in its own time.
_UNSYNCED: Final = 8
#: The level of a segment in which there is nothing to shed.
CLEAN: Final = 9


class Appender:
    """The writer's segments; every method that writes raises `OSError` and leaves all as it was."""

    def __init__(self, directory: Path, segment_bytes: int, found: Found, cells: Cells, files: Files) -> None:
        """Go on where `found` says."""
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._files = files
        self._cells = cells
        self.spool = found.spool
        self.next_seq = found.next_seq
        self.events = found.events
        self.closed = found.segments
        self.active: Segment | None = None
        self._fd = -1
        self._unsynced: list[int] = []
        self.bytes = 0
        cells[Written.SPOOL], cells[Written.NEXT], cells[Written.EVENTS] = found.spool, found.next_seq, found.events
        if found.reusable:
            self._go_on(self.closed.pop())
        self.refresh()

    def put(self, messages: list[bytes], events: int, at: float, notes: Notes, *, room: int, level: int) -> bool:
        """Append one frame, if the spool then holds at most `room` bytes.

        `events` includes the notes'; the messages hold nothing of rank `level` or less.
        """
        seq = self.next_seq
        last = seq + max(1, len(messages)) - 1
        frame = pack_frame(Frame(seq, last, events, self.events, at, messages, None, notes))
        size = len(frame[0]) + len(frame[1])
        if self.bytes + size + SEGMENT_HEADER > room:
            return False
        active = self.active
        if active is None or (active.size + size > self._segment_bytes and active.size > SEGMENT_HEADER):
            active = self._begin(at)
        try:
            self._files.write(self._fd, frame, active.size)
        except OSError:
            self._undo(active)
            raise
        active.level = min(active.level, level)
        active.size += size
        self.bytes += size
        self.next_seq, self.events = last + 1, self.events + events
        cells = self._cells
        cells[Written.NEXT], cells[Written.EVENTS] = self.next_seq, self.events
        cells[Written.CAPTURED] = max(0, int(at * 1e6))
        return True

    def rotate(self) -> bool:
        """Close the newest segment, if it holds anything; the next frame begins another."""
        if self.active is None or self.active.size <= SEGMENT_HEADER:
            return False
        self._unsynced.append(self._fd)
        if len(self._unsynced) > _UNSYNCED:
            os.close(self._unsynced.pop(0))
        self.closed.append(self.active)
        self.active, self._fd = None, -1
        return True

    def refresh(self) -> None:
        """Learn which segments the reader has deleted."""
        there = {first for first, _ in list_segments(self._directory)}
        self.closed = [segment for segment in self.closed if segment.first in there]
        if self.active is not None and self.active.first not in there:
            log.error("spool segment %s was removed while it was written; another is begun", self.active.path)
            self.rotate()
            self.closed = [segment for segment in self.closed if segment.first in there]
        self.measure()

    def measure(self) -> None:
        """Add the segments' sizes up again."""
        self.bytes = sum(segment.size for segment in self.segments())

    def segments(self) -> list[Segment]:
        """All of them, the oldest first."""
        return [*self.closed, self.active] if self.active is not None else list(self.closed)

    def detach(self) -> list[int]:
        """Descriptors of what is to be put on the disk, each to be closed by the caller."""
        fds, self._unsynced = self._unsynced, []
        if self._fd >= 0:
            fds.append(os.dup(self._fd))
        return fds

    def close(self) -> None:
        """Let go of every file."""
        for fd in self.detach():
            os.close(fd)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self.active = -1, None

    def _go_on(self, segment: Segment) -> None:
        fd = os.open(segment.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            self._files.truncate(fd, segment.size)
        except OSError as error:
            # What is torn stays; frames are written at their offset, over it.
            log.warning("the torn end of spool segment %s stays: %s", segment.path, error.strerror)
        self._fd, self.active = fd, segment

    def _begin(self, at: float) -> Segment:
        """Begin a new segment with the next sequence number."""
        self.rotate()
        if self.active is not None:
            return self.active
        private_directory(self._directory)
        path = segment_path(self._directory, self.next_seq)
        fd = self._files.create(path)
        try:
            self._files.write(fd, (pack_segment(SegmentHeader(self.spool, self.next_seq, self.events, at)),), 0)
        except OSError:
            os.close(fd)
            self._files.unlink(path)
            raise
        self._fd, self.active = fd, Segment(path, self.next_seq, SEGMENT_HEADER, at, CLEAN)
        self.bytes += SEGMENT_HEADER
        return self.active

    def _undo(self, active: Segment) -> None:
        """Take back what a failed write may have left behind."""
        try:
            self._files.truncate(self._fd, active.size)
        except OSError as error:
            log.warning("the torn end of spool segment %s stays: %s", active.path, error.strerror)
