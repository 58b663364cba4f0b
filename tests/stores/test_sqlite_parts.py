"""The SQLite store's parts: ids, filter, memory of recent records, SQL files, migrations, upkeep, bounds."""

from __future__ import annotations

import sqlite3
import uuid
import zlib
from array import array
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.store_oracle import check
from tests.conformance.test_stores import SPAN, commit, task_events
from tests.strategies import START
from umbel.clock import ManualClock
from umbel.errors import StoreError
from umbel.model.event import (
    AnyEvent,
    EventClass,
    TaskFailed,
    TaskReceived,
    TaskRetried,
    TaskSent,
    TaskStarted,
    TaskSucceeded,
)
from umbel.model.ledger import LedgerEntry, Quarantined, Reason
from umbel.model.merge import Task, fold
from umbel.model.meter import Meter
from umbel.model.query import EVERYTHING, Page
from umbel.model.search import parse
from umbel.model.worker import Worker
from umbel.retention import Retention, parse_retention
from umbel.stores import migrate, sqlfile
from umbel.stores.base import Commit
from umbel.stores.sqlite import SqliteKeeper, SqliteReader, SqliteWriter, catalog, filterfile
from umbel.stores.sqlite.cache import Cache, Entry
from umbel.stores.sqlite.filter import Filter, words_for
from umbel.stores.sqlite.ids import bound_key, bound_keys, to_key, to_text
from umbel.stores.sqlite.meters import NOTES

ids = st.one_of(
    st.uuids().map(str),
    st.uuids().map(lambda u: str(u).upper()),
    st.uuids().map(lambda u: u.hex),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
)


@given(ids)
def test_an_id_comes_back_as_it_was(id_: str) -> None:
    assert to_text(to_key(id_)) == id_


@given(st.lists(ids | st.sampled_from(["a" * 35, "0" * 37])), st.randoms())
def test_many_ids_are_stored_as_each_alone(some: list[str], random: Random) -> None:
    uuids = [str(uuid.UUID(int=random.getrandbits(128))) for _ in range(5)]
    assert bound_keys(uuids + some) == [bound_key(id_) for id_ in uuids + some]
    assert bound_keys(uuids) == [bound_key(id_) for id_ in uuids]
    shifted = [uuids[0][:-1], uuids[0][-1] + uuids[1]]
    assert bound_keys(shifted) == shifted


def test_the_ids_that_celery_makes_take_sixteen_bytes() -> None:
    assert to_key("6f1d1f60-5c4a-4f0e-9d57-0a4f6d7a0001") == bytes.fromhex("6f1d1f605c4a4f0e9d570a4f6d7a0001")
    assert to_key("6F1D1F60-5C4A-4F0E-9D57-0A4F6D7A0001") == "6F1D1F60-5C4A-4F0E-9D57-0A4F6D7A0001"


def whole(number: int) -> list[AnyEvent]:
    """All events of a task as most are; those of even numbers are alike, and those of odd ones."""
    id_, at = str(uuid.UUID(int=number)), START + 20 + number % 7
    who: dict[str, Any] = {"hostname": f"w{number % 2}@a", "pid": 1, "uuid": id_}
    what: dict[str, Any] = {"name": "shop.pay", "root_id": id_, "args": f"(no. {number},)"}
    return [
        TaskSent(hostname="gen1@a", timestamp=at, uuid=id_, queue="mail", **what),
        TaskReceived(**who, timestamp=at + 1, **what),
        TaskStarted(**who, timestamp=at + 2 + number / 8),
        TaskSucceeded(**who, timestamp=at + 40, runtime=1.0 + number / 4, result=f"r {number}."),
    ]


def test_usual_tasks_count_once_though_some_of_them_come_again(tmp_path: Path) -> None:
    batches = [[whole(n) for n in range(first, end)] for first, end in ((0, 10), (5, 15), (0, 20), (3, 9))]
    batches.insert(1, [whole(12)[:2], whole(16)[1:3], whole(17)[:1]])
    # Nobody saw these being sent, until somebody did for one.
    batches += [[whole(n)[1:] for n in range(20, 40)], [whole(20)[:1], whole(41)[1:], whole(25)[2:]]]
    for batch in batches:
        # Each time anew, so that what is known is read from the file; and once more from memory.
        writer = SqliteWriter(tmp_path / "umbel.db")
        writer.open()
        events = [event for task in batch for event in task]
        writer.write(commit(events))
        writer.write(commit(events))
        writer.close()
    with closing(SqliteReader(tmp_path / "umbel.db")) as reader:
        check(reader, [event for batch in batches for task in batch for event in task], SPAN)


def test_a_segment_from_before_bundles_is_read_and_then_written_with_them(tmp_path: Path) -> None:
    batches = [[event for n in range(first, first + 80) for event in whole(n)] for first in (0, 80)]
    file = SqliteWriter(tmp_path / "umbel.db")
    file.open()
    file.write(commit(batches[0]))
    file.close()
    with closing(sqlite3.connect(tmp_path / "umbel.db.segments" / "000001.db")) as old, old:
        bundles = old.execute("SELECT data FROM bundle").fetchall()
        for (data,) in bundles:
            columns = msgspec.msgpack.decode(zlib.decompress(data))
            old.executemany("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?)", zip(*columns, strict=True))
        old.execute("DROP TABLE bundle")
        old.execute("DROP TABLE tens")
        old.execute("DELETE FROM rollup WHERE step = 600")
        old.execute("DROP INDEX task_open")
        old.execute("PRAGMA user_version = 2")
    assert len(bundles) == 2
    with closing(SqliteReader(tmp_path / "umbel.db")) as reader:
        check(reader, batches[0], SPAN)
        file.open()
        file.write(commit(batches[1]))
        check(reader, [*batches[0], *batches[1]], SPAN)
        for text, number in (
            ("args:'no. 12,'", 12),
            ("args:'no. 12,'", 12),
            ("'no. 123,'", 123),
            ("result:'r 99.'", 99),
        ):
            found = reader.tasks(parse(text.replace("'", '"'), START), Page(10)).items
            assert [task.id for task in found] == [str(uuid.UUID(int=number))]
    file.close()
    keeper = SqliteKeeper(tmp_path / "umbel.db")
    assert [finding.problem for finding in keeper.check() if finding.problem] == []
    with closing(sqlite3.connect(tmp_path / "umbel.db.segments" / "000001.db")) as broken, broken:
        broken.execute("DELETE FROM bundle WHERE first = (SELECT min(first) FROM bundle)")
    assert any("with 96 records" in finding.problem for finding in keeper.check())


def test_the_filter_never_misses_and_seldom_errs_in_memory_and_by_its_file(tmp_path: Path) -> None:
    """Time-based ids, which differ in few bits, are told apart as well as random ones."""
    random = Random(3)
    filter_ = Filter(words_for(500))
    members: dict[int, list[bytes | str]] = {}
    for number in (3, 63, 64, 200):
        filter_.open(number)
        members[number] = [to_key(str(uuid.uuid1(node=1, clock_seq=n))) for n in range(400)]
        members[number] += [random.randbytes(16) for _ in range(100)]
        for key in members[number]:
            filter_.add(number, filter_.slots(key))
    for group in filter_.groups:
        saving = filterfile.Saving(tmp_path / f"{group}.bits", group, [])
        while not saving.step(filter_):
            pass
        assert filterfile.read(tmp_path / f"{group}.bits", filter_.words) == filter_.groups[group]
    for number, keys in members.items():
        assert all(number in filter_.candidates(filter_.slots(key)) for key in keys)
        found = filterfile.lookup(tmp_path / f"{number // 64}.bits", number // 64, keys)
        assert {key for where, key in found if where == number} == set(keys)
    strangers = [random.randbytes(16) for _ in range(5_000)]
    wrong = sum(len(filter_.candidates(filter_.slots(key))) for key in strangers)
    assert wrong < 5_000 * 4 * 0.01


def test_a_dropped_segment_is_no_candidate_and_an_empty_group_is_freed() -> None:
    filter_ = Filter(1024)
    filter_.open(1)
    filter_.open(2)
    slots = filter_.slots("a")
    filter_.add(1, slots)
    filter_.add(2, slots)
    assert filter_.candidates(slots) == [2, 1]
    filter_.drop(2)
    assert filter_.candidates(slots) == [1]
    filter_.drop(1)
    assert not filter_.groups


def entry(id_: str, *, ended: bool = False, size: int = 0) -> Entry:
    (task,) = fold([TaskFailed(hostname="w", timestamp=1.0, uuid=id_, traceback="x" * size)]).values()
    return Entry(id_, 1, 1, task, None, ended)


def test_the_memory_of_records_is_bounded_in_count_and_bytes_and_keeps_open_ones_longest() -> None:
    cache = Cache(count=10, size=100_000)
    for n in range(20):
        cache.keep(entry(f"open{n}"))
        cache.keep(entry(f"ended{n}", ended=True))
        cache.trim()
        assert len(cache) <= 10
    assert sum(cache.get(f"open{n}") is not None for n in range(20)) >= 8
    cache.keep(entry("large", size=95_000))
    cache.trim()
    assert cache.get("large") is not None
    assert len(cache) <= 2


def test_statements_are_found_by_name_without_their_comments(tmp_path: Path) -> None:
    file = tmp_path / "some.sql"
    file.write_text("-- About it.\n\n-- name: one\n-- why\nSELECT 1;\n\n-- name: two\nSELECT 2\n  FROM t;\n")
    assert sqlfile.load(file) == {"one": "SELECT 1", "two": "SELECT 2\n  FROM t"}
    file.write_text("-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;\n")
    with pytest.raises(StoreError, match="two statements named one"):
        sqlfile.load(file)


def test_migrations_are_numbered_without_a_gap(tmp_path: Path) -> None:
    for name in ("001_first.sql", "002_second.sql"):
        (tmp_path / name).write_text("SELECT 1")
    steps = migrate.load(tmp_path)
    assert [(step.version, step.name) for step in steps] == [(1, "first"), (2, "second")]
    assert [step.version for step in migrate.pending(steps, 1, "x")] == [2]
    with pytest.raises(StoreError, match="upgrade Umbel"):
        migrate.pending(steps, 3, "x")
    (tmp_path / "004_gap.sql").write_text("SELECT 1")
    with pytest.raises(StoreError, match="number it in order"):
        migrate.load(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> tuple[SqliteWriter, SqliteReader]:
    clock = ManualClock()
    writer = SqliteWriter(tmp_path / "umbel.db", clock=clock, segment_tasks=3)
    writer.open()
    return writer, SqliteReader(tmp_path / "umbel.db", clock=clock)


def test_the_quarantine_is_bounded_in_count_and_bytes(
    store: tuple[SqliteWriter, SqliteReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "QUARANTINE_ROWS", 10)
    monkeypatch.setattr(catalog, "QUARANTINE_BYTES", 10_000)
    writer, reader = store
    for n in range(5):
        some = [Quarantined(START + n, Reason.MALFORMED, "e", "t", bytes([n])) for _ in range(4)]
        writer.write(Commit(at=START, quarantine=some))
    assert [bad.at for bad in reader.quarantine()] == [START + 4] * 4 + [START + 3] * 4 + [START + 2] * 2
    writer.write(Commit(at=START, quarantine=[Quarantined(START, Reason.MALFORMED, "e", "t", b"x" * 9_997)]))
    assert len(reader.quarantine()) <= 3
    assert reader.state().quarantined == len(reader.quarantine())


def test_ledger_names_workers_and_estimates_are_bounded(
    store: tuple[SqliteWriter, SqliteReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    for bound in ("LEDGER_ROWS", "WORKER_ROWS", "NAME_ROWS", "MISSED_ROWS"):
        monkeypatch.setattr(catalog, bound, 5)
    writer, reader = store
    for n in range(20):
        at = START + n * 1000
        gap = LedgerEntry(Reason.NOT_SENT, EventClass.RUNNING, at, at, 2, estimated=True, worker=f"w{n}")
        worker = Worker(f"w{n}", 1, first_seen_at=at, seen_at=at)
        writer.write(commit(task_events(f"t{n}", name=f"n{n}"), at=at, ledger=[gap], workers={(f"w{n}", 1): worker}))
    writer.maintain(Retention(), START + 20_000)
    assert [loss.worker for loss in reader.ledger()] == [f"w{n}" for n in range(19, 14, -1)]
    assert [worker.hostname for worker in reader.workers()] == [f"w{n}" for n in range(19, 14, -1)]
    assert list(reader.names()) == [f"n{n}" for n in range(19, 14, -1)]
    missed = reader.state().books.missed_estimate
    assert len(missed) == 6
    assert sum(missed.values()) == 40


def test_workers_not_seen_within_retention_go(store: tuple[SqliteWriter, SqliteReader]) -> None:
    writer, reader = store
    for n in range(3):
        worker = Worker(f"w{n}", 1, first_seen_at=START, seen_at=START + n * 1000)
        writer.write(Commit(at=START, workers={(f"w{n}", 1): worker}))
    writer.maintain(Retention(age=1500), START + 2600)
    assert [worker.hostname for worker in reader.workers()] == ["w2"]


def test_a_segment_is_closed_early_where_little_is_kept(store: tuple[SqliteWriter, SqliteReader]) -> None:
    """Else a quiet store would keep everything for as long as its segment takes to fill."""
    writer, reader = store
    for n in range(3):
        writer.write(commit(task_events(f"t{n}"), at=START + n))
        writer.maintain(Retention(age=1000), START + n * 200)
    assert len(list(reader._files.directory.glob("*.db"))) == 2
    check(reader, [event for n in range(3) for event in task_events(f"t{n}")], SPAN)


def test_rules_reach_even_the_newest_tasks_when_nothing_has_come_for_long(
    store: tuple[SqliteWriter, SqliteReader],
) -> None:
    writer, reader = store
    writer.write(commit(task_events("t"), at=START))
    for now in range(900, 1_300, 20):
        writer.maintain(parse_retention("state:STARTED 1000s, 1d"), START + now)
    assert reader.state().tasks == 0


def test_full_segments_enter_the_filters_file_and_are_found_by_it(store: tuple[SqliteWriter, SqliteReader]) -> None:
    writer, reader = store
    events = [event for n in range(20) for event in task_events(f"t{n}")]
    for n in range(20):
        writer.write(commit(task_events(f"t{n}")))
        writer.maintain(Retention(), START)
    with reader._sessions.use() as session:
        listed = session.segments()
    assert [segment.filtered for segment in listed] == [0] + [1] * (len(listed) - 1)
    check(reader, events, SPAN)
    assert reader.task("nobody") is None


def test_the_filter_of_a_finished_group_of_segments_takes_no_memory(tmp_path: Path) -> None:
    clock = ManualClock()
    writer = SqliteWriter(tmp_path / "umbel.db", clock=clock, segment_tasks=1)
    writer.open()
    events = [event for n in range(70) for event in task_events(f"t{n}")]
    for n in range(70):
        writer.write(commit(task_events(f"t{n}")))
    for round_ in range(2):
        for _ in range(3):
            writer.maintain(Retention(), START)
        shelf = writer._shelf
        assert shelf is not None
        assert [type(words) for words in shelf.filter.groups.values()] == [memoryview, array]
        late = TaskFailed(hostname="w", timestamp=START + round_, uuid=f"t{round_}", exception="E('x')")
        writer.write(commit([late]))
        events.append(late)
        writer.close()
        writer.open()
    check(SqliteReader(tmp_path / "umbel.db"), events, SPAN)
    writer.close()


def test_a_long_history_of_retries_is_restored_exactly(store: tuple[SqliteWriter, SqliteReader]) -> None:
    writer, reader = store
    events = [
        TaskRetried(hostname="w", pid=n % 3, timestamp=START + n, uuid="t", exception=f"E({n})", traceback="tb" * n)
        for n in range(70)
    ]
    for at in range(0, 70, 7):
        writer.write(commit(list(events[at : at + 7])))
    expected: Task = fold(events)["t"]
    assert reader.task("t") == expected
    assert len(expected.history) == 50
    check(reader, list(events), SPAN)


def test_a_reader_stays_right_when_the_store_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "umbel.db"
    reader = SqliteReader(path)
    versions = set()
    for round_ in range(2):
        writer = SqliteWriter(path)
        writer.open()
        writer.write(commit(task_events(f"t{round_}")))
        versions.add(reader.version())
        assert [summary.id for summary in reader.tasks(EVERYTHING, Page()).items] == [f"t{round_}"]
        writer.close()
        for file in sorted(tmp_path.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
    assert len(versions) == 2


def test_sums_of_days_that_are_over_serve_long_spans_and_follow_late_events(
    store: tuple[SqliteWriter, SqliteReader],
) -> None:
    writer, reader = store
    day = 86_400.0
    start = START // day * day
    span = (start - 1_000, start + 12 * day)
    events = [event for n in range(60) for event in task_events(f"t{n}", start + n * day / 6, name=f"n{n % 7}")]
    for n in range(60):
        writer.write(commit(events[2 * n : 2 * n + 2]))
    for _ in range(30):
        writer.maintain(Retention(), START)

    def units() -> list[tuple[int, int]]:
        """First day and days of the sums that serve any span."""
        with reader._sessions.use() as session:
            return list(session.query("units", 0, 10**6))

    def days() -> int:
        return len(units())

    assert days() >= 9
    assert {length for _, length in units()} >= {1, 2, 4}
    check(reader, events, span)
    late = TaskFailed(hostname="w1@a", pid=1, timestamp=start + 2 * day, uuid="t12", exception="ValueError('x')")
    events.append(late)
    known = days()
    writer.write(commit([late]))
    assert days() < known
    changed = (start + 2 * day) // day
    assert not any(first <= changed < first + length for first, length in units())
    check(reader, events, span)
    for _ in range(30):
        writer.maintain(Retention(), START)
    assert days() == known
    assert {length for _, length in units()} >= {1, 2, 4}
    check(reader, events, span)
    writer.maintain(Retention(size=1), START)
    assert days() < known
    assert sum(sum(point.counts.values()) for point in reader.rollup_names(*span)) < 122


def test_counters_add_up_to_the_same_however_many_notes_of_commits_wait(tmp_path: Path) -> None:
    path, run = tmp_path / "umbel.db", (int(Meter.RUN), "add", "w1@a")
    count = 2 * NOTES + 5
    writer, reader = SqliteWriter(path), None
    for number in range(count):
        if number % 40 == 0:
            writer.close()
            writer.open()
        writer.write(commit([], START + number, meters={run: {"7": (1, 0.5), str(100 + number): (2, 1.0)}}))
        reader = reader or SqliteReader(path)
        histogram = reader.meters().runs["add", "w1@a"]
        assert (histogram.count, histogram.seconds) == (3 * (number + 1), 1.5 * (number + 1))
        with closing(sqlite3.connect(path)) as catalog_:
            assert catalog_.execute("SELECT count(*) FROM meter_news").fetchone()[0] <= NOTES
    assert reader is not None
    assert reader.meters().runs["add", "w1@a"].buckets[7] == count
    reader.close()
    writer.close()


@pytest.mark.parametrize("moment", [1, 2, 3])
def test_a_record_that_is_written_while_it_is_read_is_the_one_before_or_the_one_after(
    tmp_path: Path, moment: int
) -> None:
    failed = TaskFailed(hostname="w1@a", pid=1, timestamp=START + 9, uuid="t", exception="E()")
    writer, reader = SqliteWriter(tmp_path / "umbel.db"), SqliteReader(tmp_path / "umbel.db")
    writer.open()
    writer.write(commit(task_events("t")[:-1]))
    before = reader.task("t")
    (segment,) = reader._sessions._idle[0]._segments.values()
    asked: list[str] = []

    def meanwhile(statement: str) -> None:
        asked.append(statement)
        if len(asked) == moment:
            writer.write(commit([failed]))

    segment.connection.set_trace_callback(meanwhile)
    found = reader.task("t")
    segment.connection.set_trace_callback(None)
    after = reader.task("t")
    assert found in (before, after)
    writer.close()
    reader.close()
