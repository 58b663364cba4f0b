"""The reader's way through the segments: which one is next, what is damaged, what may be deleted."""

from __future__ import annotations

import errno
import fcntl
import logging
from collections import deque
from pathlib import Path

from umbel.buffer.frame import SEGMENT_HEADER, Damaged, Frame
from umbel.buffer.marks import try_lock
from umbel.buffer.segments import SegmentFile, list_segments, set_aside
from umbel.clock import Clock

log = logging.getLogger(__name__)


class Track:
    """Gives the frames of all segments in order; holds a shared lock on the segment that it is in."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        """Begin at the oldest segment."""
        self._directory = directory
        self._clock = clock
        #: The id of the spool that the current segment belongs to; 0 before the first.
        self.spool = 0
        self._segment: SegmentFile | None = None
        #: First sequence number of the current segment, or of the one that was left; less than any before the first.
        self._first = -1
        #: Where in it the latest frame begins.
        self._begun = 0
        #: Whether the current segment has given a sound frame.
        self._sound = False
        #: Size of the newest segment when a way around damage was last looked for.
        self._tried = 0
        #: Segments that were read to their end, each with the last sequence number in it.
        self._done: deque[tuple[Path, int]] = deque()

    def start(self, seq: int) -> None:
        """Begin where `seq` was read already; what lies wholly before it is only to be deleted.

        One segment earlier than the names tell: a writer that died while it merged two leaves the second one twice.
        """
        before = [(first, path) for first, path in list_segments(self._directory) if first <= seq + 1]
        for first, path in before[:-2]:
            self._done.append((path, seq))
            self._first = first

    def next(self, after: int) -> Frame | None:
        """The next frame that reaches beyond sequence number `after`; None where there is none now."""
        while self._segment is not None or self._enter():
            try:
                frame = self._frame(after)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                self._give_up(after, str(error))
                continue
            if frame is None and self._segment is not None:
                return None
            if frame is not None and frame.last > after:
                return frame
        return None

    def again(self) -> None:
        """Read the current segment again from its beginning."""
        if self._segment is not None:
            self._segment.offset = SEGMENT_HEADER

    def place(self, *, whole: bool) -> tuple[int, int]:
        """First sequence number of the current segment and bytes of it that are read; `whole`: the last frame too."""
        return max(self._first, 0), self._segment.offset if self._segment and whole else self._begun

    def forget(self, seq: int) -> None:
        """Delete the segments that were read to their end at or before `seq`."""
        while self._done and self._done[0][1] <= seq:
            path, _ = self._done.popleft()
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                log.warning("spool segment %s cannot be deleted: %s", path, error.strerror)

    def close(self) -> None:
        """Let go of the current segment."""
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _enter(self) -> bool:
        """Open the next segment, unless there is none or the writer is just replacing it."""
        following = [(first, path) for first, path in list_segments(self._directory) if first > self._first]
        if not following:
            return False
        first, path = following[0]
        try:
            segment = SegmentFile(path)
        except FileNotFoundError:
            return False
        if not self._usable(segment, closed=len(following) > 1):
            segment.close()
            return False
        self._segment, self._first, self._sound, self._tried = segment, first, False, 0
        return True

    def _usable(self, segment: SegmentFile, *, closed: bool) -> bool:
        """Lock the segment and read its header; a closed one is entered even where its header is damaged."""
        if not try_lock(segment.fd, fcntl.LOCK_SH) or not segment.is_current():
            return False
        try:
            self.spool = segment.header().spool
        except Damaged as damage:
            if closed and segment.size():
                log.warning("spool segment %s: %s", segment.path, damage)
            return closed
        return True

    def _frame(self, after: int) -> Frame | None:
        """The next frame of the current segment; None at its end for now, or once it was left."""
        segment = self._segment
        if segment is None:
            return None
        self._begun = segment.offset
        frame = segment.frame()
        if frame is None:
            closed = any(first > self._first for first, _ in list_segments(self._directory))
            # The last frames may have come between that look and the other.
            frame = segment.frame() or self._around(segment, closed=closed)
            if frame is None and closed:
                self._leave(after)
        self._sound = self._sound or frame is not None
        return frame

    def _around(self, segment: SegmentFile, *, closed: bool) -> Frame | None:
        """The next sound frame beyond damage, if this is damage and not merely the end."""
        start, size = segment.offset, segment.size()
        if size <= start or (size == self._tried and not closed):
            return None
        self._tried = size
        if not segment.resync():
            return None
        if segment.offset > start:
            log.error("spool segment %s is damaged from byte %d to %d", segment.path, start, segment.offset)
        return segment.frame()

    def _leave(self, after: int) -> None:
        """Go on to the next segment; one that never gave a frame though it holds bytes is set aside."""
        segment = self._segment
        if segment is None:
            return
        size = segment.size()
        if size > segment.offset:
            log.warning("the last %d bytes of spool segment %s are torn", size - segment.offset, segment.path)
        if not self._sound and size > SEGMENT_HEADER:
            self._give_up(after, "no frame in it is sound")
            return
        self._done.append((segment.path, after))
        self.close()

    def _give_up(self, after: int, why: str) -> None:
        segment = self._segment
        if segment is None:
            return
        try:
            set_aside(segment.path, self._clock.now(), why)
        except OSError as error:
            log.error("spool segment %s cannot be read (%s) nor set aside: %s", segment.path, why, error.strerror)  # noqa: TRY400
            self._done.append((segment.path, after))
        self.close()
