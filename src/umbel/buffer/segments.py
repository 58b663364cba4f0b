"""The segments in the spool's directory: their names, and reading their frames in spite of damage."""

from __future__ import annotations

import logging
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from umbel.buffer.frame import (
    FRAME_HEADER,
    SEGMENT_HEADER,
    Damaged,
    Frame,
    SegmentHeader,
    find_frame,
    parse_frame,
    parse_header,
    parse_segment,
)

log = logging.getLogger(__name__)

_NAME: Final = re.compile(r"(\d{20})\.spool")
_ASIDE: Final = "*.spool.damaged-*"
#: Damaged segments kept for people to look at.
ASIDE_KEPT: Final = 4
#: Bytes read at once.
CHUNK: Final = 1 << 20


def segment_path(directory: Path, first: int) -> Path:
    """Where the segment lies whose first sequence number is `first`."""
    return directory / f"{first:020}.spool"


def list_segments(directory: Path) -> list[tuple[int, Path]]:
    """First sequence number and path of every segment, the oldest first. Raises `OSError`."""
    try:
        names = [path.name for path in directory.iterdir()]
    except FileNotFoundError:
        return []
    return sorted((int(match[1]), directory / match[0]) for match in map(_NAME.fullmatch, names) if match)


def set_aside(path: Path, now: float, why: str) -> Path:
    """Rename a segment that cannot be read, so that nothing trips over it again; only the newest few are kept."""
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S")
    target = path.with_name(f"{path.name}.damaged-{stamp}")
    path.replace(target)
    log.error("spool segment %s cannot be read (%s); set aside as %s", path, why, target.name)
    aside = sorted(path.parent.glob(_ASIDE), key=lambda found: found.name.rpartition("-")[2])
    for old in aside[:-ASIDE_KEPT]:
        log.warning("the damaged spool segment %s is removed: %d newer ones are kept", old, ASIDE_KEPT)
        old.unlink(missing_ok=True)
    return target


def list_aside(directory: Path) -> list[str]:
    """Names of the segments that were set aside and are still there, the newest first."""
    return sorted(
        (path.name for path in directory.glob(_ASIDE)), key=lambda name: name.rpartition("-")[2], reverse=True
    )


class SegmentFile:
    """Reads one segment's frames in order; `offset` is where the next one begins."""

    def __init__(self, path: Path) -> None:
        """Open the segment; raises `OSError`."""
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.offset = SEGMENT_HEADER
        self._base = 0
        self._buffer = b""

    def close(self) -> None:
        """Let go of the file and of the lock on it."""
        os.close(self.fd)

    def size(self) -> int:
        """Bytes of the file now."""
        return os.fstat(self.fd).st_size

    def header(self) -> SegmentHeader:
        """The segment's header; raises `Damaged` or `OSError`."""
        return parse_segment(os.pread(self.fd, SEGMENT_HEADER, 0))

    def is_current(self) -> bool:
        """Whether the path still leads to this file (compaction replaces it)."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return False
        mine = os.fstat(self.fd)
        return (found.st_ino, found.st_dev) == (mine.st_ino, mine.st_dev)

    def load(self) -> None:
        """Have the whole file in memory, to go about in it."""
        self._base, self._buffer = 0, os.pread(self.fd, self.size(), 0)

    def frame(self) -> Frame | None:
        """The frame at `offset`, which then moves past it; None where no whole, sound one is there now."""
        frame = self._parse(self.offset)
        if frame is None and self._buffer:
            # What was read before may have been half written then.
            self._buffer = b""
            frame = self._parse(self.offset)
        return frame

    def resync(self) -> bool:
        """Move `offset` to the next sound frame beyond it, if there is one and none has come at `offset` meanwhile."""
        start, mark = self.offset, self.offset + 1
        size = self.size()
        while mark + FRAME_HEADER <= size:
            self._fill(mark, FRAME_HEADER)
            found = find_frame(self._buffer, mark - self._base)
            if found < 0:
                # A frame's beginning may straddle the end of what was read.
                mark = max(mark + 1, self._base + len(self._buffer) - FRAME_HEADER)
                self._buffer = b""
                continue
            mark = self._base + found
            if self._parse(mark) is not None:
                # Frames are written in order: with a later one there, the one at `start` is whole now, or damaged.
                self._buffer = b""
                self.offset = start if self._parse(start) is not None else mark
                return True
            mark += 1
        self.offset = start
        return False

    def _parse(self, offset: int) -> Frame | None:
        if not self._fill(offset, FRAME_HEADER):
            return None
        try:
            header = parse_header(self._buffer, offset - self._base)
            if not self._fill(offset, header.size):
                return None
            frame = parse_frame(self._buffer, offset - self._base, header)
        except Damaged:
            return None
        self.offset = offset + header.size
        return frame

    def _fill(self, offset: int, size: int) -> bool:
        """Have `size` bytes from `offset` on in the buffer, if the file holds them."""
        start = offset - self._base
        if self._buffer and start >= 0 and start + size <= len(self._buffer):
            return True
        if size > CHUNK and offset + size > self.size():
            return False
        self._buffer, self._base = os.pread(self.fd, max(CHUNK, size), offset), offset
        return len(self._buffer) >= size
