"""Any interleaving of append, read, commit, crash, torn write, shedding and full disk, against a simple model."""

from __future__ import annotations

import errno
import fcntl
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.buffer.faults import FaultyFiles, Killed, kill_reader, kill_writer
from tests.buffer.messages import CLASSES, decoded, envelope, event
from umbel.buffer.batch import SpoolBatch
from umbel.buffer.marks import READER_FILE, Cells, Read, try_lock
from umbel.buffer.reader import SpoolReader
from umbel.buffer.segments import SegmentFile, list_segments
from umbel.buffer.writer import SpoolWriter
from umbel.clock import ManualClock
from umbel.model.event import EventClass
from umbel.model.ledger import LedgerEntry, Reason

LIMIT = 48 * 1024
SEGMENT = 3 * 1024
#: Classes of the events of each message, and how many times the message is sent.
MESSAGES = st.lists(
    st.tuples(st.lists(st.sampled_from(CLASSES), min_size=0, max_size=4), st.integers(1, 6)), min_size=1, max_size=5
)


class SpoolMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="spool-"))
        self.clock = ManualClock()
        self.files = FaultyFiles()
        self.number = 0
        #: Class of every event whose append returned, and of those whose append was cut short by death.
        self.certain: dict[int, EventClass] = {}
        self.doubtful: dict[int, EventClass] = {}
        self.notes = 0
        self.doubtful_notes = 0
        #: The store: what was committed in one transaction.
        self.rows: list[int] = []
        self.discarded: Counter[tuple[Reason, EventClass]] = Counter()
        self.position: str | None = None
        self.unstored: list[SpoolBatch] = []
        self.terminal_shed = 0

    @initialize()
    def begin(self) -> None:
        self.writer = self.new_writer()
        self.reader = SpoolReader(self.directory, self.clock)
        self.reader.open(None)

    def new_writer(self) -> SpoolWriter:
        self.terminal_shed = 0
        try:
            return SpoolWriter(self.directory, LIMIT, self.clock, SEGMENT, self.files)
        except Killed:
            return SpoolWriter(self.directory, LIMIT, self.clock, SEGMENT, self.files)

    def events(self, spec: list[tuple[list[EventClass], int]]) -> tuple[list[bytes], dict[int, EventClass]]:
        messages, made = [], {}
        for classes, times in spec:
            for _ in range(times):
                events = []
                for event_class in classes:
                    self.number += 1
                    made[self.number] = event_class
                    events.append(event(event_class, self.number, padding=self.number % 200, worker=self.number % 3))
                messages.append(envelope(events))
        return messages, made

    @rule(spec=MESSAGES)
    def append(self, spec: list[tuple[list[EventClass], int]]) -> None:
        self.clock.advance(1.5)
        messages, made = self.events(spec)
        try:
            self.writer.append(messages, len(made), self.clock.now())
        except Killed:
            self.doubtful |= made
            self.after_death()
            return
        self.certain |= made
        shed = self.writer.state().shed.get(EventClass.TERMINAL, 0)
        if shed > self.terminal_shed and not self.files.full:
            self.nothing_lesser_is_left()
        self.terminal_shed = shed

    @rule()
    def note(self) -> None:
        now = self.clock.now()
        entry = LedgerEntry(Reason.DISCONNECTED, EventClass.UNKNOWN, now, now, 1)
        try:
            self.writer.note(entry)
        except Killed:
            self.doubtful_notes += 1
            self.after_death()
            return
        self.notes += 1

    @rule()
    def sync(self) -> None:
        try:
            self.writer.sync()
        except Killed:
            self.after_death()

    @rule(messages=st.integers(1, 40), size=st.sampled_from([1, 2_000, 20_000, 10**6]))
    def read(self, messages: int, size: int) -> None:
        batch = self.reader.read(messages, size, 0.0)
        assert len(batch.messages) <= messages
        assert sum(map(len, batch.messages)) <= size or len(batch.messages) == 1
        if batch.position is not None:
            self.unstored.append(batch)

    @precondition(lambda self: self.unstored)
    @rule(tell=st.booleans())
    def store(self, tell: bool) -> None:
        batch = self.unstored.pop(0)
        self.keep(batch)
        if tell:
            assert batch.position is not None
            self.reader.commit(batch.position)

    def keep(self, batch: SpoolBatch) -> None:
        self.rows += [number for number, _ in decoded(batch.messages)]
        self.discarded.update(batch.discarded)
        counted: Counter[tuple[Reason, EventClass]] = Counter()
        for entry in batch.ledger:
            assert not entry.estimated
            counted[entry.reason, entry.event_class] += entry.count
        assert counted == Counter(batch.discarded)
        self.position = batch.position

    @rule(clean=st.booleans())
    def reader_restarts(self, clean: bool) -> None:
        kill_reader(self.reader)
        self.unstored.clear()
        self.reader = SpoolReader(self.directory, self.clock)
        self.reader.open(self.position)

    @rule(torn=st.binary(max_size=200))
    def writer_dies(self, torn: bytes) -> None:
        kill_writer(self.writer)
        segments = list_segments(self.directory)
        if torn and segments:
            with segments[-1][1].open("ab") as file:
                file.write(torn)
        self.writer = self.new_writer()

    @rule()
    def writer_restarts(self) -> None:
        try:
            self.writer.close()
        except Killed:
            self.after_death()
            return
        self.writer = self.new_writer()

    @precondition(lambda self: self.files.kill_in is None and not self.files.full)
    @rule(operations=st.integers(1, 12), done=st.sampled_from([0.0, 0.3, 0.9, 1.0]))
    def death_awaits(self, operations: int, done: float) -> None:
        self.files.kill_in, self.files.done = operations, done

    @precondition(lambda self: self.files.kill_in is None)
    @rule(code=st.sampled_from([errno.ENOSPC, errno.EDQUOT, errno.EIO]))
    def disk_fills(self, code: int) -> None:
        self.files.full, self.files.code = True, code

    @rule()
    def disk_empties(self) -> None:
        self.files.full = False

    def after_death(self) -> None:
        kill_writer(self.writer)
        self.files.kill_in = None
        self.writer = self.new_writer()

    def nothing_lesser_is_left(self) -> None:
        """A terminal event was just shed: whatever could be compacted must hold terminal ones alone."""
        cells = Cells(self.directory / READER_FILE)
        handed_out = cells[Read.HANDED_OUT]
        cells.close()
        for first, path in list_segments(self.directory):
            segment = SegmentFile(path)
            if first > handed_out and try_lock(segment.fd, fcntl.LOCK_EX):
                while frame := segment.frame():
                    assert {kind for _, kind in decoded(frame.messages)} <= {EventClass.TERMINAL}
            segment.close()

    @invariant()
    def the_directory_holds_no_more_than_the_limit(self) -> None:
        sizes = [path.stat().st_size for path in self.directory.iterdir() if not path.name.endswith(".state")]
        assert sum(sizes) <= LIMIT

    @invariant()
    def everything_is_stored_once_and_in_order(self) -> None:
        assert self.rows == sorted(set(self.rows))

    def teardown(self) -> None:
        try:
            if hasattr(self, "reader"):
                self.balance()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def balance(self) -> None:
        self.files.full, self.files.kill_in = False, None
        self.reader_restarts(clean=True)
        self.drain()
        # What waited for room is written now that there is some.
        self.writer.sync()
        self.drain()
        assert self.reader.backlog() == (0, 0, 0.0)
        self.writer.close()
        self.reader.close()
        rows = set(self.rows)
        for event_class in CLASSES:
            missing = sum(kind is event_class and n not in rows for n, kind in self.certain.items())
            doubtful = sum(kind is event_class and n not in rows for n, kind in self.doubtful.items())
            shed = self.discarded[Reason.SPOOL_FULL, event_class]
            assert missing <= shed <= missing + doubtful, (event_class, missing, shed, doubtful)
        noted = self.discarded[Reason.DISCONNECTED, EventClass.UNKNOWN]
        assert self.notes <= noted <= self.notes + self.doubtful_notes
        assert not any(reason is Reason.DAMAGED for reason, _ in self.discarded)

    def drain(self) -> None:
        while (batch := self.reader.read(1_000, 10**6, 0.0)).position is not None:
            self.keep(batch)
            self.reader.commit(batch.position)


SpoolMachine.TestCase.settings = settings(
    max_examples=30, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
TestSpool = pytest.mark.timeout(300)(SpoolMachine.TestCase)
