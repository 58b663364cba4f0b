"""What the spool promises, one thing at a time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.buffer.faults import FaultyFiles, kill_writer
from tests.buffer.messages import CLASSES, decoded, envelope, event, one
from umbel.buffer.batch import SpoolBatch
from umbel.buffer.files import SystemFiles
from umbel.buffer.frame import SEGMENT_HEADER
from umbel.buffer.marks import WRITER_FILE, Cells, Written
from umbel.buffer.reader import SpoolReader
from umbel.buffer.recovery import JUMP
from umbel.buffer.segments import list_segments
from umbel.buffer.writer import SpoolWriter
from umbel.clock import ManualClock, SystemClock
from umbel.errors import SpoolError
from umbel.model.event import EventClass
from umbel.model.ledger import LedgerEntry, Reason

MIB = 1 << 20
SMALL = 64 * 1024
SEGMENT = 4 * 1024
QUEUED, RUNNING, TERMINAL = EventClass.QUEUED, EventClass.RUNNING, EventClass.TERMINAL


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def writer(tmp_path: Path, clock: ManualClock) -> Iterator[SpoolWriter]:
    writer = small(tmp_path, clock)
    yield writer
    if writer._appender.active is not None:
        writer.close()


@pytest.fixture
def reader(tmp_path: Path, clock: ManualClock) -> Iterator[SpoolReader]:
    reader = SpoolReader(tmp_path, clock)
    reader.open(None)
    yield reader
    reader.close()


def small(directory: Path, clock: ManualClock, files: FaultyFiles | None = None) -> SpoolWriter:
    return SpoolWriter(directory, SMALL, clock, SEGMENT, files)


def drain(reader: SpoolReader, *, commit: bool = True) -> SpoolBatch:
    """Everything that is there, as one batch."""
    whole = SpoolBatch()
    while (batch := reader.read(1_000, 10**6, 0.0)).position is not None:
        whole.messages += batch.messages
        whole.events += batch.events
        for entry in batch.ledger:
            whole.discard(entry)
        whole.position = batch.position
        if commit:
            reader.commit(batch.position)
    return whole


def fill(writer: SpoolWriter, event_class: EventClass, start: int, count: int, **options: int) -> None:
    for number in range(start, start + count):
        writer.append([one(event_class, number, **options)], 1, float(number))


def numbers(batch: SpoolBatch) -> list[int]:
    return [number for number, _ in decoded(batch.messages)]


def test_what_was_appended_is_read_in_order_with_its_time_and_count(writer: SpoolWriter, reader: SpoolReader) -> None:
    writer.append([one(QUEUED, 1), one(TERMINAL, 2)], 2, 100.0)
    writer.append([envelope([event(RUNNING, 3), event(RUNNING, 4)])], 2, 200.0)
    batch = reader.read(10, MIB, 0.0)
    assert numbers(batch) == [1, 2, 3, 4]
    assert (batch.captured_at, batch.events) == (100.0, 4)
    assert reader.read(10, MIB, 0.0).position is None


def test_a_read_respects_its_limits_and_gives_at_least_one_message(writer: SpoolWriter, reader: SpoolReader) -> None:
    writer.append([b"x" * 100] * 10, 10, 1.0)
    assert [len(reader.read(3, MIB, 0.0).messages) for _ in range(4)] == [3, 3, 3, 1]
    writer.append([b"x" * 100] * 3, 3, 1.0)
    assert [len(reader.read(10, size, 0.0).messages) for size in (1, 250)] == [1, 2]


def test_a_read_that_ends_before_an_append_that_does_not_fit_says_so(writer: SpoolWriter, reader: SpoolReader) -> None:
    for _ in range(3):
        writer.append([b"x" * 100] * 4, 4, 1.0)
    reads = [reader.read(6, MIB, 0.0) for _ in range(3)]
    assert [(len(read.messages), read.more) for read in reads] == [(4, True), (4, True), (4, False)]


def test_the_events_of_a_split_append_add_up(writer: SpoolWriter, reader: SpoolReader) -> None:
    writer.append([b"x"] * 7, 24, 1.0)
    assert sum(reader.read(2, MIB, 0.0).events for _ in range(4)) == 24


def test_an_empty_read_takes_as_long_as_it_may(tmp_path: Path) -> None:
    clock = SystemClock()
    reader = SpoolReader(tmp_path, clock)
    reader.open(None)
    begun = clock.monotonic()
    assert reader.read(10, MIB, 0.1).position is None
    assert 0.1 <= clock.monotonic() - begun < 30
    reader.close()


def test_what_was_not_committed_comes_again_and_what_was_does_not(
    writer: SpoolWriter, reader: SpoolReader, tmp_path: Path, clock: ManualClock
) -> None:
    writer.append([b"a", b"b", b"c", b"d"], 4, 1.0)
    first = reader.read(2, MIB, 0.0)
    reader.read(1, MIB, 0.0)
    reader.close()
    again = SpoolReader(tmp_path, clock)
    again.open(first.position)
    assert again.read(10, MIB, 0.0).messages == [b"c", b"d"]
    again.close()


def test_a_note_arrives_in_its_place(writer: SpoolWriter, reader: SpoolReader) -> None:
    gap = LedgerEntry(
        Reason.DISCONNECTED,
        EventClass.UNKNOWN,
        5.0,
        9.0,
        0,
        estimated=True,
        worker="w1@a",
        detail="cut off by the broker",
    )
    writer.append([b"a"], 1, 1.0)
    writer.note(gap)
    writer.append([b"b"], 1, 9.0)
    reader.read(1, MIB, 0.0)
    batch = reader.read(10, MIB, 0.0)
    assert (batch.messages, batch.ledger, batch.discarded) == ([b"b"], [gap], {})


def test_segments_are_deleted_once_committed(writer: SpoolWriter, reader: SpoolReader, tmp_path: Path) -> None:
    for _ in range(20):
        writer.append([b"x" * 1_000], 1, 1.0)
    assert len(list_segments(tmp_path)) > 5
    drain(reader)
    assert len(list_segments(tmp_path)) == 1
    assert reader.backlog() == (0, 0, 0.0)
    assert writer.state().bytes == 0


def test_the_backlog_counts_what_is_not_committed(writer: SpoolWriter, reader: SpoolReader) -> None:
    writer.append([b"x" * 100] * 4, 8, 50.0)
    writer.append([b"y" * 100], 1, 60.0)
    assert reader.backlog()[0] == 9
    batch = reader.read(4, MIB, 0.0)
    assert (reader.backlog().events, reader.backlog().oldest_at) == (9, 50.0)
    assert batch.position is not None
    reader.commit(batch.position)
    left = reader.backlog()
    assert (left.events, left.oldest_at) == (1, 60.0)
    assert 100 < left.bytes < 300


def test_a_second_writer_and_a_second_reader_are_refused(
    writer: SpoolWriter, reader: SpoolReader, tmp_path: Path, clock: ManualClock
) -> None:
    with pytest.raises(SpoolError, match="another receiver"):
        small(tmp_path, clock)
    with pytest.raises(SpoolError, match="another collector"):
        SpoolReader(tmp_path, clock).open(None)


def test_sequence_numbers_grow_on_after_everything_was_read_and_written_anew(
    writer: SpoolWriter, reader: SpoolReader, tmp_path: Path, clock: ManualClock
) -> None:
    writer.append([b"a"] * 5, 5, 1.0)
    position = drain(reader).position
    writer.close()
    for _, path in list_segments(tmp_path):
        path.unlink()
    again = small(tmp_path, clock)
    assert again.previous_captured_at == 1.0
    again.append([b"b"], 1, 2.0)
    reader.close()
    reader.open(position)
    assert drain(reader).messages == [b"b"]
    again.close()


def test_a_spool_made_anew_is_read_from_its_start_and_said_so(
    writer: SpoolWriter, reader: SpoolReader, tmp_path: Path, clock: ManualClock
) -> None:
    writer.append([b"a"] * 5, 5, 1.0)
    position = drain(reader).position
    writer.close()
    reader.close()
    shutil.rmtree(tmp_path)
    again = small(tmp_path, clock)
    again.append([b"b"], 1, 2.0)
    reader.open(position)
    batch = drain(reader)
    assert batch.messages == [b"b"]
    assert [(entry.reason, entry.estimated) for entry in batch.ledger] == [(Reason.DAMAGED, True)]
    assert batch.discarded == {}
    again.close()


def test_a_store_older_than_the_spool_is_told_how_much_it_lacks(
    writer: SpoolWriter, reader: SpoolReader, tmp_path: Path
) -> None:
    for number in range(20):
        writer.append([b"x" * 1_000], 1, float(number))
    old = reader.read(3, MIB, 0.0).position
    assert old is not None
    reader.commit(old)
    drain(reader)
    writer.append([b"z"], 1, 30.0)
    reader.close()
    reader.open(old)
    batch = drain(reader)
    assert len(batch.messages) + batch.discarded[Reason.DAMAGED, EventClass.UNKNOWN] == 18


def test_after_a_crash_of_the_machine_no_number_is_given_twice(
    writer: SpoolWriter, reader: SpoolReader, tmp_path: Path, clock: ManualClock
) -> None:
    writer.append([b"a"] * 5, 5, 1.0)
    position = drain(reader).position
    # The disk has only the beginning of what the store has.
    writer._pending.boot = "another boot"
    writer._save()
    kill_writer(writer)
    reader.close()
    for _, path in list_segments(tmp_path):
        os.truncate(path, SEGMENT_HEADER)
    cells = Cells(tmp_path / WRITER_FILE)
    cells[Written.NEXT] = cells[Written.EVENTS] = 1
    cells.close()
    (tmp_path / "reader.state").unlink()
    again = small(tmp_path, clock)
    assert again._appender.next_seq > JUMP
    again.append([b"b"], 1, 2.0)
    reader.open(position)
    assert drain(reader).messages == [b"b"]
    again.close()


@pytest.mark.parametrize("torn", [b"\0" * 50, b"UmbF\1" + b"\xff" * 100, b"x"])
def test_a_torn_end_is_cut_off_and_what_follows_is_sound(
    writer: SpoolWriter, reader: SpoolReader, tmp_path: Path, clock: ManualClock, torn: bytes
) -> None:
    writer.append([b"a"], 1, 1.0)
    kill_writer(writer)
    path = list_segments(tmp_path)[-1][1]
    with path.open("ab") as file:
        file.write(torn)
    assert drain(reader).messages == [b"a"]
    again = small(tmp_path, clock)
    again.append([b"b"], 1, 2.0)
    batch = drain(reader)
    assert (batch.messages, batch.ledger) == ([b"b"], [])
    again.close()


@pytest.mark.parametrize("closed", [True, False])
def test_damage_in_the_middle_costs_that_frame_alone_and_is_entered(
    writer: SpoolWriter, reader: SpoolReader, tmp_path: Path, closed: bool
) -> None:
    for number in range(3):
        writer.append([b"%d" % number * 200] * 2, 5, float(number))
    path = list_segments(tmp_path)[0][1]
    raw = bytearray(path.read_bytes())
    raw[SEGMENT_HEADER + 64 + 2 * 4 + 400 + 200] ^= 1
    path.write_bytes(raw)
    if closed:
        writer._appender.rotate()
        writer.append([b"end"], 1, 9.0)
    batch = drain(reader)
    assert batch.messages[:4] == [b"0" * 200] * 2 + [b"2" * 200] * 2
    assert batch.discarded == {(Reason.DAMAGED, EventClass.UNKNOWN): 5}


def test_a_segment_that_cannot_be_read_is_set_aside_and_the_rest_is_read(
    writer: SpoolWriter, reader: SpoolReader, tmp_path: Path
) -> None:
    for number in range(12):
        writer.append([b"%02d" % number * 500], 1, float(number))
    segments = list_segments(tmp_path)
    held = {name.name: len(path.read_bytes()) for name, path in ((path, path) for _, path in segments)}
    assert len(held) >= 3
    segments[1][1].write_bytes(b"\xa5" * 3_000)
    batch = drain(reader)
    lost = batch.discarded[Reason.DAMAGED, EventClass.UNKNOWN]
    assert lost > 0
    assert len(batch.messages) == 12 - lost
    assert list(tmp_path.glob("*.damaged-*"))


def test_a_damaged_newest_segment_does_not_keep_the_writer_from_opening(
    writer: SpoolWriter, reader: SpoolReader, tmp_path: Path, clock: ManualClock
) -> None:
    for number in range(8):
        writer.append([b"%d" % number * 1_000], 1, float(number))
    kill_writer(writer)
    list_segments(tmp_path)[-1][1].write_bytes(b"\xa5" * 3_000)
    again = small(tmp_path, clock)
    again.append([b"new"], 1, 20.0)
    batch = drain(reader)
    assert batch.messages[-1] == b"new"
    assert len(batch.messages) + batch.discarded[Reason.DAMAGED, EventClass.UNKNOWN] == 9
    again.close()


def test_a_message_larger_than_a_segment_passes_and_one_larger_than_the_spool_is_shed(
    writer: SpoolWriter, reader: SpoolReader
) -> None:
    writer.append([one(TERMINAL, 1, padding=3 * SEGMENT)], 1, 1.0)
    writer.append([one(TERMINAL, 2, padding=2 * SMALL)], 1, 1.0)
    writer.append([one(TERMINAL, 3)], 1, 1.0)
    batch = drain(reader)
    assert numbers(batch) == [1, 3]
    assert batch.discarded == {(Reason.SPOOL_FULL, TERMINAL): 1}


def test_lesser_classes_go_first_and_every_shed_event_is_counted(writer: SpoolWriter, reader: SpoolReader) -> None:
    for number in range(0, 600, 4):
        for offset, event_class in enumerate(CLASSES):
            writer.append([one(event_class, number + offset, worker=1)], 1, float(number))
    state = writer.state()
    assert state.bytes <= SMALL
    assert state.shed[EventClass.HEARTBEAT] > state.shed.get(TERMINAL, 0)
    batch = drain(reader)
    writer.sync()
    rest = drain(reader)
    kept = decoded(batch.messages)
    for event_class in CLASSES:
        shed = sum(got.discarded.get((Reason.SPOOL_FULL, event_class), 0) for got in (batch, rest))
        assert shed == state.shed.get(event_class, 0)
        assert shed + sum(kind is event_class for _, kind in kept) == 150
    spans = [entry for entry in batch.ledger if entry.event_class is EventClass.HEARTBEAT]
    assert all(entry.reason is Reason.SPOOL_FULL and entry.first_at <= entry.last_at for entry in spans)


def test_no_terminal_event_goes_while_a_lesser_one_is_in_the_spool(writer: SpoolWriter, reader: SpoolReader) -> None:
    fill(writer, QUEUED, 1, 60, padding=200)
    fill(writer, RUNNING, 100, 30)
    fill(writer, TERMINAL, 1_000, 60, padding=200)
    assert writer.state().shed.get(TERMINAL, 0) == 0
    kept = decoded(drain(reader).messages)
    assert sum(kind is TERMINAL for _, kind in kept) == 60


def test_shedding_begins_and_ends_at_its_watermarks(
    writer: SpoolWriter, reader: SpoolReader, caplog: pytest.LogCaptureFixture
) -> None:
    number = 0
    while writer.state().level == 0:
        number += 1
        writer.append([one(TERMINAL, number, padding=300)], 1, 1.0)
    assert 0.75 * SMALL < writer.state().bytes < 0.85 * SMALL
    while writer.state().level:
        position = reader.read(5, MIB, 0.0).position
        assert position is not None
        reader.commit(position)
    assert 0.40 * SMALL < sum(path.stat().st_size for _, path in list_segments(reader._directory)) < 0.62 * SMALL


def test_while_heartbeats_are_shed_a_workers_newest_stays(writer: SpoolWriter, reader: SpoolReader) -> None:
    for number in range(40):
        fill(writer, EventClass.HEARTBEAT, 2 * number, 2, worker=number % 2)
        fill(writer, TERMINAL, 1_000 + number, 1, padding=200)
    assert writer.state().shed[EventClass.HEARTBEAT] > 0
    kept = [number for number, kind in decoded(drain(reader).messages) if kind is EventClass.HEARTBEAT]
    assert kept
    assert writer.state().level < 2


def test_a_batch_of_several_classes_keeps_its_better_events(writer: SpoolWriter, reader: SpoolReader) -> None:
    for number in range(0, 600, 3):
        events = [event(QUEUED, number, padding=60), event(TERMINAL, number + 1), event(QUEUED, number + 2, padding=60)]
        writer.append([envelope(events)], 3, 1.0)
    shed = dict(writer.state().shed)
    batch = drain(reader)
    writer.sync()
    drain(reader)
    kept = decoded(batch.messages)
    assert shed[QUEUED] > 0
    assert sum(kind is QUEUED for _, kind in kept) + shed[QUEUED] == 400
    assert sum(kind is TERMINAL for _, kind in kept) + shed.get(TERMINAL, 0) == 200
    assert len(batch.messages) > len({number // 3 for number, kind in kept if kind is QUEUED})


def test_what_was_handed_out_is_never_shed(
    writer: SpoolWriter, reader: SpoolReader, tmp_path: Path, clock: ManualClock
) -> None:
    fill(writer, QUEUED, 1, 50, padding=100)
    batch = reader.read(30, MIB, 0.0)
    reader.close()
    fill(writer, TERMINAL, 1_000, 120, padding=200)
    again = SpoolReader(tmp_path, clock)
    again.open(batch.position)
    rest = drain(again)
    writer.sync()
    last = drain(again)
    again.close()
    queued = sum(kind is QUEUED for _, kind in decoded(batch.messages + rest.messages))
    shed = rest.discarded.get((Reason.SPOOL_FULL, QUEUED), 0) + last.discarded.get((Reason.SPOOL_FULL, QUEUED), 0)
    assert shed > 0
    assert queued + shed == 50


def test_the_number_of_files_stays_bounded_while_nobody_reads(writer: SpoolWriter, tmp_path: Path) -> None:
    fill(writer, QUEUED, 1, 3_000, padding=100)
    assert len(list_segments(tmp_path)) < 40
    assert sum(path.stat().st_size for path in tmp_path.iterdir() if path.suffix != ".state") <= SMALL


def test_a_full_disk_is_a_full_spool(tmp_path: Path, reader: SpoolReader, clock: ManualClock) -> None:
    files = FaultyFiles()
    writer = small(tmp_path, clock, files)
    fill(writer, QUEUED, 1, 20, padding=100)
    files.full = True
    fill(writer, TERMINAL, 100, 40, padding=200)
    assert "No space left" in writer.state().error
    shed = dict(writer.state().shed)
    assert shed[QUEUED] > 0
    files.full = False
    fill(writer, TERMINAL, 200, 1)
    assert writer.state().error == ""
    batch = drain(reader)
    kept = decoded(batch.messages)
    assert sum(kind is TERMINAL for _, kind in kept) + shed.get(TERMINAL, 0) == 41
    assert batch.discarded == {(Reason.SPOOL_FULL, kind): count for kind, count in shed.items()}
    writer.close()


def test_counts_that_could_not_be_written_survive_kill_9(
    tmp_path: Path, reader: SpoolReader, clock: ManualClock
) -> None:
    files = FaultyFiles()
    writer = small(tmp_path, clock, files)
    files.full = True
    fill(writer, TERMINAL, 1, 5)
    writer.note(LedgerEntry(Reason.DISCONNECTED, EventClass.UNKNOWN, 1.0, 2.0, 0, estimated=True, detail="gap"))
    kill_writer(writer)
    again = small(tmp_path, clock)
    again.sync()
    batch = drain(reader)
    assert batch.discarded == {(Reason.SPOOL_FULL, TERMINAL): 5}
    assert [entry.detail for entry in batch.ledger] == ["", "gap"]
    again.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system")
def test_a_disk_that_is_really_full(tmp_path: Path, clock: ManualClock) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        writer = SpoolWriter(tmp_path, MIB, clock, 16 * 1024, SystemFiles())
        fill(writer, QUEUED, 1, 700, padding=300)
        fill(writer, TERMINAL, 1_000, 700, padding=300)
        state = writer.state()
        assert state.shed[QUEUED] > 0
        reader = SpoolReader(tmp_path, clock)
        reader.open(None)
        kept = decoded(drain(reader).messages)
        writer.sync()
        assert drain(reader).messages == []
        for event_class in (QUEUED, TERMINAL):
            assert sum(kind is event_class for _, kind in kept) + state.shed.get(event_class, 0) == 700
        writer.append([one(TERMINAL, 5_000)], 1, 1.0)
        assert numbers(drain(reader)) == [5_000]
        reader.close()
        writer.close()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_who_asks_for_the_backlog_meanwhile_takes_no_frame_from_the_reader(
    writer: SpoolWriter, reader: SpoolReader
) -> None:
    """The collector's status is made in another thread than the one that reads."""
    frames, read = 3_000, 0
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            reader.backlog()

    asking = threading.Thread(target=ask)
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    asking.start()
    try:
        for number in range(frames):
            writer.append([b"x"], 1, float(number))
            while (batch := reader.read(10, MIB, 0.0)).position is not None:
                assert batch.ledger == []
                read += len(batch.messages)
                reader.commit(batch.position)
    finally:
        over.set()
        asking.join()
        sys.setswitchinterval(usual)
    assert read == frames
