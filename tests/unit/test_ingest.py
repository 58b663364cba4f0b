"""The collector over the real store: commits before it lets the source forget, and nothing stops it."""

from __future__ import annotations

import json
import logging
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from umbel.clock import ManualClock
from umbel.cycles import EVERY
from umbel.errors import StoreBusy, StoreError
from umbel.ingest import Collector
from umbel.logs import Limited
from umbel.model.event import EventClass
from umbel.model.ledger import LedgerEntry, Reason
from umbel.model.query import EVERYTHING, Page
from umbel.model.sizing import COMMIT_TARGET, MIN_MESSAGES
from umbel.sources.base import Batch, Limits, SourceStatus
from umbel.stores.base import Commit
from umbel.stores.sqlite import SqliteReader, SqliteWriter

JSON = "application/json"


def body(**fields: Any) -> tuple[bytes, str]:
    event = {"type": "task-received", "hostname": "w@h", "pid": 1, "timestamp": 1.75e9, "uuid": "t", "name": "n"}
    return json.dumps(event | fields).encode(), JSON


class ListSource:
    """Batches from a list; records what was committed."""

    name = "list"

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.batches = list(batches)
        self.committed: list[str] = []
        self.polled: list[Limits] = []
        self.closed = False
        self.close_error: Exception | None = None
        self._next = 0

    def open(self, position: str | None) -> None:
        self._next = 0 if position is None else int(position) + 1

    def poll(self, limits: Limits) -> Batch:
        self.polled.append(limits)
        if self.finished():
            return Batch()
        batch = replace(self.batches[self._next], position=str(self._next))
        self._next += 1
        return batch

    def commit(self, position: str) -> None:
        self.committed.append(position)

    def finished(self) -> bool:
        return self._next >= len(self.batches)

    def status(self) -> SourceStatus:
        return SourceStatus(connected=True, since=0.0)

    def close(self) -> None:
        self.closed = True
        if self.close_error is not None:
            raise self.close_error


class FaultyStore(SqliteWriter):
    """The real store, with a fault before each write as long as `faults` gives one."""

    def __init__(self, path: Path, faults: Callable[[Commit], Exception | None]) -> None:
        super().__init__(path)
        self.faults = faults

    def write(self, commit: Commit) -> None:
        error = self.faults(commit)
        if error is not None:
            raise error
        super().write(commit)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "umbel.db"


@pytest.fixture
def reader(path: Path) -> Iterator[SqliteReader]:
    reader = SqliteReader(path)
    yield reader
    reader.close()


def names(reader: SqliteReader) -> set[str]:
    return {task.id for task in reader.tasks(EVERYTHING, Page(1000)).items}


def collect(source: ListSource, store: SqliteWriter, **options: Any) -> Collector:
    collector = Collector(source, store, ManualClock(), **options)
    collector.run(threading.Event())
    return collector


def test_everything_is_stored_and_the_books_balance(path: Path, reader: SqliteReader) -> None:
    bad = (b"\x80\x04pickle", "application/x-python-serialize")
    shed = {(Reason.SPOOL_FULL, EventClass.HEARTBEAT): 7}
    source = ListSource([Batch(bodies=[body(uuid="a"), body(uuid="b"), (b"{", JSON), bad], discarded=shed)])
    collect(source, SqliteWriter(path))
    books = reader.state().books
    assert names(reader) == {"a", "b"}
    assert (books.received, books.stored) == (11, 2)
    assert books.discarded == {
        (Reason.MALFORMED, EventClass.UNKNOWN): 1,
        (Reason.CONTENT_TYPE, EventClass.UNKNOWN): 1,
        (Reason.SPOOL_FULL, EventClass.HEARTBEAT): 7,
    }
    assert {(item.reason, item.raw) for item in reader.quarantine()} == {
        (Reason.CONTENT_TYPE, b"\x80\x04pickle"),
        (Reason.MALFORMED, b"{"),
    }
    assert source.committed == ["0"]
    assert source.closed


def test_a_busy_store_is_waited_for_and_the_batch_is_stored_once(path: Path, reader: SqliteReader) -> None:
    faults = iter([StoreBusy("locked"), StoreBusy("disk full")])
    source = ListSource([Batch(bodies=[body(uuid="a")]), Batch(bodies=[body(uuid="b")])])
    collect(source, FaultyStore(path, lambda _: next(faults, None)))
    assert names(reader) == {"a", "b"}
    assert reader.state().books.received == 2
    assert source.committed == ["0", "1"]


def test_nothing_is_forgotten_by_the_source_before_it_is_stored(path: Path) -> None:
    seen: list[list[str]] = []
    source = ListSource([Batch(bodies=[body(uuid="a")]), Batch(bodies=[body(uuid="b")])])

    def look(_: Commit) -> None:
        seen.append(list(source.committed))

    collect(source, FaultyStore(path, look))
    assert seen == [[], ["0"]]


def test_a_task_that_the_store_refuses_goes_to_the_quarantine_and_its_batch_mates_are_stored(
    path: Path, reader: SqliteReader
) -> None:
    def refuse(commit: Commit) -> Exception | None:
        return StoreError("cannot hold this") if "bad" in commit.tasks else None

    ids = [f"t{n}" for n in range(20)]
    source = ListSource([Batch(bodies=[body(uuid=id_) for id_ in [*ids[:9], "bad", *ids[9:]]])])
    collect(source, FaultyStore(path, refuse))
    books = reader.state().books
    assert names(reader) == set(ids)
    assert (books.received, books.stored, sum(books.discarded.values())) == (21, 20, 1)
    assert "cannot hold this" in reader.quarantine()[0].error
    assert source.committed == ["0"]


def test_a_stop_while_the_store_is_busy_keeps_the_batch_for_the_next_start(path: Path, reader: SqliteReader) -> None:
    stop = threading.Event()
    source = ListSource([Batch(bodies=[body(uuid="a")])])

    def busy(_: Commit) -> Exception:
        stop.set()
        return StoreBusy("locked")

    Collector(source, FaultyStore(path, busy), ManualClock(), grace=1.0).run(stop)
    assert source.committed == []
    assert source.closed
    again = ListSource(source.batches)
    collect(again, SqliteWriter(path))
    assert names(reader) == {"a"}
    assert reader.state().books.received == 1


def test_what_was_committed_is_not_polled_again_after_a_restart(path: Path, reader: SqliteReader) -> None:
    collect(ListSource([Batch(bodies=[body(uuid="a")])]), SqliteWriter(path))
    collect(ListSource([Batch(bodies=[body(uuid="a")]), Batch(bodies=[body(uuid="b")])]), SqliteWriter(path))
    assert reader.state().books.received == 2


def test_a_stop_drains_what_waits(path: Path, reader: SqliteReader) -> None:
    stop = threading.Event()
    stop.set()
    source = ListSource([Batch(bodies=[body(uuid=f"t{n}")]) for n in range(5)])
    Collector(source, SqliteWriter(path), ManualClock()).run(stop)
    assert len(names(reader)) == 5


def test_nothing_is_committed_after_a_batch_that_was_given_up(path: Path, reader: SqliteReader) -> None:
    stop = threading.Event()
    clock = ManualClock()

    def busy_until_given_up(commit: Commit) -> Exception | None:
        stop.set()
        return StoreBusy("locked") if clock.monotonic() < 5.3 else None

    source = ListSource([Batch(bodies=[body(uuid=f"t{n}")]) for n in range(3)])
    Collector(source, FaultyStore(path, busy_until_given_up), clock, grace=10.0).run(stop)
    # The position of a later batch would say that the first one is stored.
    assert names(reader) == set()
    assert source.committed == []


def test_a_source_that_fails_to_close_does_not_keep_the_store_from_closing(path: Path) -> None:
    source = ListSource([Batch(bodies=[body(uuid="a")])])
    source.close_error = RuntimeError("stuck")
    closed: list[bool] = []

    class Store(SqliteWriter):
        def close(self) -> None:
            closed.append(True)
            super().close()

    collect(source, Store(path))
    assert closed == [True]


def test_batches_shrink_while_commits_are_slow_and_grow_again_when_full_ones_are_quick(path: Path) -> None:
    clock = ManualClock()
    slow = [True]

    class Store(SqliteWriter):
        def write(self, commit: Commit) -> None:
            super().write(commit)
            clock.advance(3 * COMMIT_TARGET if slow[0] else 0.001)
            slow[0] = commit.position is not None and int(commit.position.value) < 10

    big = [body(uuid=f"t{n}") for n in range(MIN_MESSAGES)]
    source = ListSource([Batch(bodies=big * (1 if n < 12 else 2)) for n in range(20)])
    Collector(source, Store(path), clock).run(threading.Event())
    sizes = [limits.messages for limits in source.polled]
    assert sizes[0] > sizes[5] >= sizes[10] == MIN_MESSAGES
    assert sizes[-1] > MIN_MESSAGES


def test_batches_grow_while_more_waits_although_none_has_as_many_messages_as_it_might(path: Path) -> None:
    source = ListSource([Batch(bodies=[body()], more=True)] * 3)
    collect(source, SqliteWriter(path))
    assert [limits.messages for limits in source.polled] == sorted({limits.messages for limits in source.polled})


class Watcher:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def saw(self, hostname: str) -> None:
        self.told.append(("saw", hostname))

    def came_online(self, hostname: str) -> None:
        self.told.append(("online", hostname))


def test_workers_are_told_of_after_the_commit_publishers_are_not(path: Path) -> None:
    watcher = Watcher()
    events = [
        body(type="worker-online", hostname="new@h", pid=2),
        body(type="worker-heartbeat", hostname="old@h", pid=3),
        body(type="task-sent", hostname="gen1@h", pid=4),
    ]
    collect(ListSource([Batch(bodies=events)]), SqliteWriter(path), sightings=watcher)
    assert sorted(watcher.told) == [("online", "new@h"), ("saw", "old@h")]


class Circle:
    """Refers to itself, as a connection to a broker does."""

    def __init__(self) -> None:
        self.itself = self


def test_what_others_leave_in_cycles_is_freed_although_batches_look_for_none(path: Path) -> None:
    clock, seen, most = ManualClock(), weakref.WeakSet[Circle](), 0

    class Leaver(Watcher):
        def saw(self, hostname: str) -> None:
            nonlocal most
            seen.add(Circle())
            clock.advance(EVERY / 4)
            most = max(most, len(seen))

    source = ListSource([Batch(bodies=[body(type="worker-heartbeat")]) for _ in range(40)])
    Collector(source, SqliteWriter(path), clock, sightings=Leaver()).run(threading.Event())
    assert 1 < most <= 5


def test_runs_that_a_worker_counted_and_no_event_told_of_are_estimated(path: Path, reader: SqliteReader) -> None:
    def beat(clock: int, processed: int) -> tuple[bytes, str]:
        return body(type="worker-heartbeat", clock=clock, processed=processed, active=0, timestamp=1.75e9 + clock)

    events = [body(type="task-started", clock=1), beat(2, 1), beat(10, 5), beat(12, 5)]
    collect(ListSource([Batch(bodies=events)]), SqliteWriter(path))
    books = reader.state().books
    assert books.missed_estimate == {"w@h": 12}
    assert books.received == books.stored == 4
    assert [(entry.reason, entry.estimated, entry.worker) for entry in reader.ledger()] == [
        (Reason.NOT_SENT, True, "w@h")
    ]


def test_nothing_is_estimated_of_a_source_that_others_read_too(path: Path, reader: SqliteReader) -> None:
    def beat(clock: int, processed: int) -> tuple[bytes, str]:
        return body(type="worker-heartbeat", clock=clock, processed=processed, active=0, timestamp=1.75e9 + clock)

    alone = Batch(bodies=[body(type="task-started", clock=1), beat(2, 1)])
    shared = Batch(bodies=[beat(10, 5), beat(12, 5)], shared=True)
    again = Batch(bodies=[beat(20, 9)])
    collect(ListSource([alone, shared, again]), SqliteWriter(path))
    assert reader.state().books.missed_estimate == {}


def test_the_estimate_goes_on_over_a_restart_of_the_collector(path: Path, reader: SqliteReader) -> None:
    def beat(clock: int, processed: int) -> tuple[bytes, str]:
        return body(type="worker-heartbeat", clock=clock, processed=processed, active=0, timestamp=1.75e9 + clock)

    before = Batch(bodies=[body(type="task-started", clock=1), beat(2, 1), body(type="task-started", clock=3)])
    after = Batch(bodies=[beat(20, 5), beat(21, 5)])
    collect(ListSource([before]), SqliteWriter(path))
    collect(ListSource([before, after]), SqliteWriter(path))
    assert reader.state().books.missed_estimate == {"w@h": 9}


def test_losses_are_told_in_the_log_once_in_five_seconds_with_their_number(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("umbel.ingest.limited", Limited(logging.getLogger("umbel.ingest"), ManualClock()))
    lost = LedgerEntry(Reason.SPOOL_FULL, EventClass.HEARTBEAT, 1.0, 2.0, 5, detail="the spool was full")
    cut = LedgerEntry(Reason.DISCONNECTED, EventClass.UNKNOWN, 1.0, 2.0, 0, estimated=True, detail="the broker left")
    batches = [Batch(bodies=[body()], position=str(n), ledger=[lost, lost, cut]) for n in range(50)]
    collect(ListSource(batches), SqliteWriter(path))
    told = [record.getMessage() for record in caplog.records if "not kept" in record.getMessage()]
    assert told == [
        "events not kept, spool_full: the spool was full (5 times)",
        "events not kept, disconnected: the broker left",
    ]
