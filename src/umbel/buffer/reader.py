"""The collector's side of the spool: reads in order, survives damage, deletes what was committed."""

from __future__ import annotations

import logging
import threading
from collections import deque
from pathlib import Path
from typing import Final, NamedTuple

from umbel.buffer.batch import Backlog, Portion, SpoolBatch
from umbel.buffer.marks import READER_FILE, WRITER_FILE, Cells, Read, Written
from umbel.buffer.position import SpoolPosition
from umbel.buffer.segments import list_segments
from umbel.buffer.track import Track
from umbel.clock import Clock
from umbel.errors import SpoolError
from umbel.logs import Limited
from umbel.model.event import EventClass
from umbel.model.ledger import LedgerEntry, Reason
from umbel.private import private_directory

log = logging.getLogger(__name__)

#: Seconds between two looks while there is nothing: the first, and the longest.
_PAUSE: Final = 0.001
_PAUSE_MAX: Final = 0.02
#: Batches handed out and not committed that are remembered one by one.
_OUT: Final = 1_024


class _Out(NamedTuple):
    """A batch that was handed out: where it ended."""

    seq: int
    events: int
    segment: int
    offset: int
    captured_at: float


class SpoolReader:
    """Reads the spool in `directory`: one process at a time, one thread of it, while another may ask for `backlog`."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        """Nothing is touched before `open`."""
        self._directory = directory
        self._clock = clock
        self._cells: Cells | None = None
        self._written: Cells | None = None
        self._track = Track(directory, clock)
        self._portion: Portion | None = None
        #: Everything up to here was handed out; None: nothing is known of what came before.
        self._at: SpoolPosition | None = None
        self._captured_at = 0.0
        self._out: deque[_Out] = deque(maxlen=_OUT)
        self._committed_events = 0
        self._remarks: list[LedgerEntry] = []
        self._warn = Limited(log, clock)
        # Whoever looks moves on to the next frame: two at once would each take one, and one of them be lost.
        self._moving = threading.RLock()

    def open(self, position: str | None) -> None:
        """Begin after `position` (None: at the beginning of what there is). Raises `SpoolError`."""
        at = SpoolPosition.parse(position) if position else None
        self.close()
        try:
            private_directory(self._directory)
        except OSError as error:
            raise SpoolError(f"the spool's directory {self._directory} cannot be made: {error.strerror}") from error
        cells = Cells(self._directory / READER_FILE)
        if not cells.lock():
            cells.close()
            raise SpoolError(f"another collector reads the spool in {self._directory}; stop it first")
        self._cells, self._written = cells, Cells(self._directory / WRITER_FILE)
        self._at = at = self._known(at, cells, self._written)
        self._committed_events = at.events if at else 0
        seq = at.seq if at else 0
        cells[Read.COMMITTED] = cells[Read.HANDED_OUT] = seq
        self._track = Track(self._directory, self._clock)
        self._track.start(seq)

    def read(self, max_messages: int, max_bytes: int, wait: float) -> SpoolBatch:
        """The next messages, at most so many and (but for a single larger one) of so many bytes.

        Waits up to `wait` seconds for the first; then gives an empty batch without a position. Raises `SpoolError`
        where the directory itself cannot be read; what is damaged in it is set aside and entered.
        """
        deadline = self._clock.monotonic() + wait
        pause = _PAUSE
        while True:
            try:
                with self._moving:
                    batch = self._collect(max_messages, max_bytes)
            except OSError as error:
                raise SpoolError(f"the spool in {self._directory} cannot be read: {error.strerror}") from error
            left = deadline - self._clock.monotonic()
            if batch.position is not None or left <= 0:
                return batch
            self._clock.sleep(min(pause, left))
            pause = min(pause * 2, _PAUSE_MAX)

    def commit(self, position: str) -> None:
        """Everything up to `position` is stored: segments wholly before it are deleted."""
        with self._moving:
            self._commit(SpoolPosition.parse(position))

    def _commit(self, at: SpoolPosition) -> None:
        cells = self._opened()
        if self._at is None or at.spool != self._at.spool or at.seq <= cells[Read.COMMITTED]:
            return
        self._committed_events = at.events
        while self._out and self._out[0].seq <= at.seq:
            last = self._out.popleft()
            cells[Read.SEGMENT], cells[Read.OFFSET] = last.segment, last.offset
        cells[Read.COMMITTED] = at.seq
        self._track.forget(at.seq)

    def backlog(self) -> Backlog:
        """What was captured and is not committed."""
        with self._moving:
            return self._backlog()

    def _backlog(self) -> Backlog:
        cells, written = self._opened(), self._written
        # A disk that fails is for the next read to tell.
        if written is None or (self._peek(strict=False) is None and not self._out):
            return Backlog(0, 0, 0.0)
        events = max(0, written[Written.EVENTS] - self._committed_events)
        segment, offset = cells[Read.SEGMENT], cells[Read.OFFSET]
        oldest = self._out[0].captured_at if self._out else self._portion.frame.captured_at if self._portion else 0.0
        return Backlog(events, waiting_bytes(self._directory, segment, offset), oldest)

    def close(self) -> None:
        """Let go of everything; what was not committed comes again at the next `open`."""
        with self._moving:
            self._track.close()
            for cells in (self._cells, self._written):
                if cells is not None:
                    cells.close()
            self._cells = self._written = self._portion = None
            self._out.clear()

    def _opened(self) -> Cells:
        if self._cells is None:
            raise SpoolError(f"the spool in {self._directory} is not open for reading")
        return self._cells

    def _known(self, at: SpoolPosition | None, cells: Cells, written: Cells) -> SpoolPosition | None:
        """The position to begin at; None for the start of what there is."""
        if at is None:
            return None
        spool = written[Written.SPOOL]
        if spool and spool != at.spool:
            self._remark("it is another spool than the one that the store has a position in")
            return None
        # The writer never numbers below what was handed out: that is said first, then looked whether it already has.
        cells[Read.HANDED_OUT] = max(at.seq, cells[Read.HANDED_OUT])
        if written.lock():
            written.unlock()
        elif spool and written[Written.NEXT] <= at.seq:
            self._remark("it ends before the position that the store has")
            return None
        return at

    def _remark(self, why: str) -> None:
        log.error("the spool in %s was replaced or restored: %s; all that it holds is read", self._directory, why)
        now = self._clock.now()
        detail = f"the spool was replaced: {why}; what the former one still held is not known"
        self._remarks.append(
            LedgerEntry(Reason.DAMAGED, EventClass.UNKNOWN, now, now, 0, estimated=True, detail=detail)
        )

    def _collect(self, max_messages: int, max_bytes: int) -> SpoolBatch:
        """Whatever is there now, up to the limits."""
        cells, batch, size, first = self._opened(), SpoolBatch(), 0, True
        while len(batch.messages) < max_messages and size < max_bytes:
            portion = self._peek(strict=first)
            if portion is None:
                break
            if batch.messages and (
                len(batch.messages) + len(portion.left) > max_messages or size + portion.bytes > max_bytes
            ):
                batch.more = True
                break
            if first:
                first = False
                batch.captured_at = portion.frame.captured_at
                for entry in self._remarks:
                    batch.discard(entry)
                self._remarks.clear()
            size += self._take(portion, batch, max_messages, max_bytes)
        batch.bytes = size
        if not first and self._at is not None:
            batch.position = str(self._at)
            cells[Read.HANDED_OUT] = self._at.seq
            segment, offset = self._track.place(whole=self._portion is None)
            self._out.append(_Out(self._at.seq, self._at.events, segment, offset, batch.captured_at))
        return batch

    def _take(self, portion: Portion, batch: SpoolBatch, max_messages: int, max_bytes: int) -> int:
        """Move (a part of) the portion into the batch; gives the bytes."""
        frame, spool, size = portion.frame, self._track.spool, portion.bytes
        if portion.fresh:
            self._missed(portion, batch)
            for entry in frame.notes.entries():
                batch.discard(entry)
        taken, events = portion.take(max_messages, max_bytes)
        portion.fresh = False
        batch.messages += taken
        batch.events += events
        seq, total = portion.position()
        self._at = SpoolPosition(spool, seq, total)
        self._captured_at = frame.captured_at
        if not portion.left:
            self._portion = None
            return size
        return size - portion.bytes

    def _missed(self, portion: Portion, batch: SpoolBatch) -> None:
        """Enter what should have come before this frame, by the count that every frame carries, and did not."""
        frame = portion.frame
        missing = frame.events_before - self._at.events if self._at else 0
        if missing > 0:
            since = self._captured_at or frame.captured_at
            detail = "the spool was damaged, or the store is older than what the spool had passed on"
            self._warn.warning("missing", f"captured events are missing from the spool in {self._directory}", missing)
            batch.discard(
                LedgerEntry(Reason.DAMAGED, EventClass.UNKNOWN, since, frame.captured_at, missing, detail=detail)
            )

    def _peek(self, *, strict: bool = True) -> Portion | None:
        """The next frame, or what is left of it; None where there is none now.

        Raises `OSError` where the disk fails, unless not `strict`: what was taken before must reach the caller.
        """
        while self._portion is None:
            after = self._at.seq if self._at else 0
            # Said before a segment is left: the writer may compact it then, but not what is handed out.
            self._opened()[Read.HANDED_OUT] = after
            try:
                frame = self._track.next(after)
            except OSError as error:
                if strict:
                    raise
                log.debug("the spool in %s cannot be read just now: %s", self._directory, error)
                return None
            if self._at is not None and self._track.spool not in (0, self._at.spool):
                self._remark("it was made anew")
                self._at = None
                self._track.again()
                continue
            if frame is None:
                return None
            self._portion = Portion(frame, after)
        return self._portion


def waiting_bytes(directory: Path, segment: int, offset: int) -> int:
    """Bytes of the segments beyond `offset` in the segment that begins with sequence number `segment`."""
    total = 0
    try:
        segments = list_segments(directory)
    except OSError as error:
        log.debug("the spool's directory %s cannot be read just now: %s", directory, error)
        return 0
    for first, path in segments:
        try:
            size = path.stat().st_size
        except OSError:
            # Deleted since: it was committed.
            continue
        total += max(0, size - offset) if first == segment else size if first > segment else 0
    return total
