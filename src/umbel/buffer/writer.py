"""The receiver's side of the spool: appends what came, and sheds by class once it fills."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from umbel.buffer.appender import CLEAN, Appender
from umbel.buffer.arrival import Arrival
from umbel.buffer.files import Files, SystemFiles
from umbel.buffer.frame import FRAME_HEADER, SEGMENT_HEADER
from umbel.buffer.marks import READER_FILE, WRITER_FILE, Cells, Read
from umbel.buffer.notes import Notes, merged
from umbel.buffer.pending import ROOM, Pending, PendingFile
from umbel.buffer.recovery import boot_id, recover
from umbel.buffer.relief import Relief
from umbel.buffer.sieve import ALL_BUT_TERMINAL, Heartbeats, Sieve
from umbel.clock import Clock
from umbel.errors import SpoolError
from umbel.logs import Limited
from umbel.model.event import EventClass
from umbel.model.ledger import LedgerEntry
from umbel.private import private_directory

log = logging.getLogger(__name__)

#: Bytes of a segment unless said otherwise: a 64th of the limit between these.
SEGMENT_MIN: Final = 1 << 16
SEGMENT_MAX: Final = 1 << 23
#: A share of the limit kept for the receiver's notes when events no longer fit.
RESERVE: Final = 1 / 128
#: How full the spool is when a level of shedding begins, and when it ends again.
STARTS: Final = (0.80, 0.85, 0.92)
ENDS: Final = (0.60, 0.80, 0.85)
_SHEDS: Final = (
    "all events are kept again",
    "heartbeats are shed, but for each worker's newest",
    "heartbeats, sent and received events are shed",
    "all but terminal events are shed",
)
#: Seconds in which a former writer has to let go of the spool.
LOCK_WAIT: Final = 1.0
#: Seconds for which one heartbeat of a worker is enough while heartbeats are shed.
HEARTBEAT_EVERY: Final = 60.0


@dataclass(frozen=True, slots=True)
class SpoolState:
    """The spool as its writer sees it."""

    #: Bytes that wait for the collector, and how many there may be.
    bytes: int
    limit: int
    #: Events captured since this writer opened the spool, shed ones included.
    captured: int
    #: Those of them that were shed, with what was taken out of the spool to make room, by class.
    shed: Mapping[EventClass, int]
    #: Wall time at which about the oldest waiting event was captured; 0 where none waits.
    oldest_at: float
    #: 0: nothing is shed; 1: heartbeats; 2: sent and received too; 3: all but terminal events.
    level: int
    #: Why the disk refused the latest write, "" while it takes them.
    error: str


class SpoolWriter:
    """Writes the spool in `directory`; any thread may call. Only the constructor raises `SpoolError`."""

    def __init__(
        self,
        directory: Path,
        limit: int,
        clock: Clock,
        segment_bytes: int | None = None,
        files: Files | None = None,
    ) -> None:
        """Open the spool, made if need be, and recover what a crash left; at most `limit` bytes of disk are taken."""
        self._directory = directory
        self._limit = limit
        self._clock = clock
        self._files = files or SystemFiles()
        self._segment_bytes = segment_bytes or min(max(limit // 64, SEGMENT_MIN), SEGMENT_MAX)
        # The ballast counts as well: the directory never holds more than the limit.
        self._reserve = int(limit * RESERVE)
        self._room = limit - self._segment_bytes - self._reserve
        if self._room < 4 * self._segment_bytes:
            raise SpoolError(f"a spool of {limit} bytes is too small for segments of {self._segment_bytes}")
        self._lock = threading.Lock()
        self._sieve = Sieve()
        self._heartbeats = Heartbeats(HEARTBEAT_EVERY)
        self._warn = Limited(log, clock)
        self._captured = 0
        self._shed: dict[EventClass, int] = {}
        self._level = 0
        self._error = ""
        try:
            private_directory(directory)
        except OSError as error:
            raise SpoolError(f"the spool's directory {directory} cannot be made: {error.strerror}") from error
        self._cells = Cells(directory / WRITER_FILE, ROOM)
        if not _locked(self._cells, clock):
            self._cells.close()
            raise SpoolError(f"another receiver writes to the spool in {directory}; stop it first")
        try:
            self._open(directory, clock)
        except OSError as error:
            self._cells.close()
            raise SpoolError(f"the spool in {directory} cannot be opened: {error.strerror}") from error
        except BaseException:
            self._cells.close()
            raise

    def _open(self, directory: Path, clock: Clock) -> None:
        """Find out what is there, and go on with it."""
        self._read = Cells(directory / READER_FILE)
        self._pending_file = PendingFile(self._cells.fd, self._files)
        self._pending = self._pending_file.load()
        found = recover(directory, self._cells, self._read, clock.now(), self._pending.boot)
        #: Wall time at which an earlier writer captured its last message; 0 where there was none.
        self.previous_captured_at = found.captured_at
        self._appender = Appender(directory, self._segment_bytes, found, self._cells, self._files)
        self._relief = Relief(
            self._appender, self._read, directory, size=self._segment_bytes, files=self._files, clock=clock
        )
        if self._pending.intent and found.reached > self._pending.intent:
            self._pending = Pending()
        self._pending.intent, self._pending.boot = 0, boot_id()
        self._save()

    def append(self, messages: Sequence[bytes], events: int, captured_at: float) -> None:
        """Take `messages` (kombu envelopes) that hold `events` events; all came at `captured_at` (wall time)."""
        if not messages:
            return
        with self._lock:
            self._captured += events
            for part, share in _split(list(messages), events, self._segment_bytes):
                self._append(Arrival(part, share, captured_at))

    def note(self, entry: LedgerEntry) -> None:
        """Hand an entry for the ledger to the reader, in its place among the messages."""
        with self._lock:
            notes = Notes(ledger=[entry])
            if not self._put([], notes.events, entry.last_at, notes, room=self._room + self._reserve, level=CLEAN):
                self._hold(notes, notes.events)

    def sync(self) -> None:
        """Have what was appended on the disk itself, against a crash of the machine; may take long, blocks nobody."""
        with self._lock:
            self._flush()
            fds = self._appender.detach()
        for fd in fds:
            try:
                self._files.sync(fd)
            except OSError as error:
                self._warn.warning("sync", f"the spool in {self._directory} cannot be synced: {error.strerror}")
            finally:
                os.close(fd)

    def state(self) -> SpoolState:
        """How the spool fares now."""
        with self._lock:
            self._look()
            waiting, oldest = self._waiting()
            return SpoolState(waiting, self._limit, self._captured, dict(self._shed), oldest, self._level, self._error)

    def close(self) -> None:
        """Let go of the files; what was appended stays."""
        with self._lock:
            self._flush()
            self._appender.close()
            self._cells.close()
            self._read.close()

    def _waiting(self) -> tuple[int, float]:
        """Bytes not committed, and about when the oldest of them was captured."""
        if self._read[Read.COMMITTED] + 1 >= self._appender.next_seq:
            return 0, 0.0
        segment, offset = self._read[Read.SEGMENT], self._read[Read.OFFSET]
        left = [found for found in self._appender.segments() if found.first >= segment]
        waiting = sum(found.size - (offset if found.first == segment else 0) for found in left)
        return max(0, waiting), left[0].captured_at if left else 0.0

    def _append(self, arrival: Arrival) -> None:
        if self._level == 0 and self._take(arrival, int(self._room * STARTS[0])):
            return
        self._look()
        if self._level and not self._relieve(self._level):
            # Nothing lesser is left in the spool: what comes is sifted too.
            arrival.sift(self._sieve, self._level, self._heartbeats)
        while arrival.messages:
            if self._take(arrival, self._room):
                break
            if arrival.bytes > self._room - SEGMENT_HEADER - FRAME_HEADER:
                arrival.drop(self._sieve)
            elif self._relieve(ALL_BUT_TERMINAL) or self._release():
                continue
            elif arrival.level < ALL_BUT_TERMINAL:
                arrival.sift(self._sieve, ALL_BUT_TERMINAL, self._heartbeats)
            else:
                arrival.drop(self._sieve)
        if arrival.notes:
            self._count(arrival.notes)
        if not arrival.taken:
            self._hold(arrival.notes, arrival.events)

    def _take(self, arrival: Arrival, room: int) -> bool:
        """Write what is left of the arrival, with the count of what is not."""
        arrival.taken = self._put(
            arrival.messages, arrival.events, arrival.at, arrival.notes, room=room, level=arrival.level
        )
        return arrival.taken

    def _look(self) -> None:
        """See what the reader has deleted, and whether to begin or end shedding."""
        try:
            self._appender.refresh()
        except OSError as error:
            self._warn.warning("look", f"the spool's directory {self._directory} cannot be read: {error.strerror}")
        fill = self._appender.bytes / self._room
        level = self._level
        while level < len(STARTS) and fill >= STARTS[level]:
            level += 1
        while level and fill < ENDS[level - 1]:
            level -= 1
        if level != self._level:
            self._warn.warning("level", f"the spool in {self._directory} is {fill:.0%} full: {_SHEDS[level]}")
        self._level = level

    def _relieve(self, level: int) -> bool:
        """Take lesser events out of one segment; False where there is none to take from."""
        shed = self._relief.relieve(level)
        if shed is None:
            return False
        self._count(shed)
        return True

    def _release(self) -> bool:
        """Close the newest segment, if that lets lesser events be taken out of it."""
        active = self._appender.active
        if active is None or active.level >= ALL_BUT_TERMINAL or active.first <= self._read[Read.HANDED_OUT]:
            return False
        return self._appender.rotate()

    def _count(self, notes: Notes) -> None:
        shed = sum(span.count for span in notes.shed.values())
        if shed:
            self._warn.warning("shed", f"the spool in {self._directory} is full: events are shed", shed)
        for event_class, span in notes.shed.items():
            self._shed[event_class] = self._shed.get(event_class, 0) + span.count

    def _put(self, messages: list[bytes], events: int, at: float, notes: Notes, *, room: int, level: int) -> bool:
        """Write one frame, with the notes that wait; whether it was written."""
        pending = self._pending
        if not pending.notes:
            return self._write(messages, events, at, notes, room=room, level=level)
        # Said before: should this process die now, the next sees by the number whether the frame was written.
        pending.intent = self._appender.next_seq
        self._save()
        written = self._write(
            messages, events + pending.events, at, merged((pending.notes, notes)), room=room, level=level
        )
        if written:
            pending.notes, pending.events = Notes(), 0
        pending.intent = 0
        self._save()
        return written

    def _write(self, messages: list[bytes], events: int, at: float, notes: Notes, *, room: int, level: int) -> bool:
        try:
            written = self._appender.put(messages, events, at, notes, room=room, level=level)
        except OSError as error:
            # A disk that refuses is a full spool: lesser events make room, and the next append tries again.
            self._error = f"the disk refuses to take more: {error.strerror}"
            self._warn.warning("write", f"the spool in {self._directory} cannot be written: {error.strerror}")
            return False
        if written:
            self._error = ""
        return written

    def _hold(self, notes: Notes, events: int) -> None:
        """Keep notes that could not be written into the spool."""
        pending = self._pending
        pending.notes.update(notes)
        pending.notes.bound()
        pending.events += events
        self._save()

    def _flush(self) -> None:
        """Write the notes that wait, if there is room."""
        if self._pending.notes:
            self._look()
            last = max(entry.last_at for entry in self._pending.notes.entries())
            self._put([], 0, last, Notes(), room=self._room, level=CLEAN)

    def _save(self) -> None:
        try:
            self._pending_file.save(self._pending)
        except OSError as error:
            self._warn.warning("state", f"the spool's state in {self._directory} cannot be written: {error.strerror}")


def _locked(cells: Cells, clock: Clock) -> bool:
    """Take the writer's lock; one who is just dying, or a reader who looks, is given a second to let go."""
    for _ in range(20):
        if cells.lock():
            return True
        clock.sleep(LOCK_WAIT / 20)
    return cells.lock()


def _split(messages: list[bytes], events: int, size: int) -> Iterator[tuple[list[bytes], int]]:
    """The messages in runs of at most `size` bytes (but for a single larger one), the events shared out evenly."""
    if sum(map(len, messages)) <= size:
        yield messages, events
        return
    start, total = 0, 0
    for index, message in enumerate(messages):
        if total and total + len(message) > size:
            yield messages[start:index], _share(events, start, index, len(messages))
            start, total = index, 0
        total += len(message)
    yield messages[start:], _share(events, start, len(messages), len(messages))


def _share(events: int, start: int, end: int, count: int) -> int:
    return events * end // count - events * start // count
