"""Sealing: a full segment is rewritten beside the writer, and nobody notices but the disk."""

from __future__ import annotations

import operator
import os
import signal
import sqlite3
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from tests.conformance.store_oracle import check
from tests.conformance.store_process import START, commit_of, history
from tests.conformance.store_rigs import all_tasks
from tests.conformance.test_stores import SPAN, commit, ended, task_events
from umbel.clock import ManualClock
from umbel.model.event import AnyEvent, TaskFailed, TaskSucceeded
from umbel.model.merge import fold
from umbel.model.query import Compare, Field, Op, Page
from umbel.model.search import parse
from umbel.retention import Retention
from umbel.stores.base import Surveying
from umbel.stores.sqlite import SqliteReader, SqliteWriter, sealing, sessions, vectors
from umbel.stores.sqlite.bitmaps import Bitmaps, Kind, bits_of, key_of, number_of, positions_of
from umbel.stores.sqlite.blocks import SQL, Blocks
from umbel.stores.sqlite.grams import Grams, grams_of, match_of
from umbel.stores.sqlite.seal import seal
from umbel.stores.sqlite.vectors import MARK, unpack

NOW = START + 10_000
BATCHES = history()[:60]
EVENTS = [event for batch in BATCHES for event in batch]


class Store:
    """A writer whose segments hold 200 tasks, and a reader."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "umbel.db"
        self.writer = SqliteWriter(self.path, clock=ManualClock(), segment_tasks=200, quiet=0.0)
        self.writer.open()
        self.reader = SqliteReader(self.path, budget=60.0)

    def fill(self) -> None:
        for number, batch in enumerate(BATCHES):
            self.writer.write(commit_of(number, batch))

    def settle(self, until: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None) -> None:
        """Upkeep until something holds."""
        deadline = time.monotonic() + 120
        while not until():
            assert time.monotonic() < deadline
            self.writer.maintain(Retention(), NOW)
            meanwhile()
            time.sleep(0.01)

    def sealed(self) -> list[bool]:
        """Of each part, the newest first."""
        return [part.sealed for part in self.reader.parts()]

    @property
    def process(self) -> int | None:
        """The process that rewrites a segment."""
        work = self.writer._upkeep.sealing._work
        return work.process.pid if work is not None and work.process is not None else None

    def files(self) -> set[str]:
        return {file.name for file in self.path.with_name("umbel.db.segments").iterdir()}


@pytest.fixture
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Store]:
    made = Store(tmp_path)
    yield made
    made.writer.close()
    made.reader.close()


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even small segments are sealed by a process."""
    monkeypatch.setattr(sealing, "INLINE_TASKS", 0)


def tens_and_minutes(file: Path) -> tuple[Counter[object], Counter[object]]:
    """Counts by ten minutes, name and code: as a segment keeps them, and added up from its minutes."""
    tens: Counter[object] = Counter()
    minutes: Counter[object] = Counter()
    with closing(sqlite3.connect(file)) as segment:
        for step, at, name, cells in segment.execute("SELECT * FROM rollup WHERE step IN (60, 600)"):
            for code, count in unpack(cells).items():
                (tens if step == 600 else minutes)[at * step // 600, name, code] += count
    return tens, minutes


def all_but_newest(store: Store) -> Callable[[], bool]:
    return lambda: store.sealed()[1:] == [True] * (len(store.sealed()) - 1) and len(store.sealed()) > 1


def test_sealed_by_a_process_beside_the_writer_all_answers_stay_the_same(store: Store, beside: None) -> None:
    store.fill()
    seen: set[int | None] = set()

    def look() -> None:
        seen.add(store.process)
        assert len(all_tasks(store.reader, limit=500)) == len(fold(EVENTS))

    before = sum(part.bytes for part in store.reader.parts())
    store.settle(all_but_newest(store), look)
    assert len(seen - {None}) >= 2
    check(store.reader, EVENTS, SPAN)
    assert sum(part.bytes for part in store.reader.parts()) < before
    assert not any("sealing" in name for name in store.files())


@pytest.mark.parametrize("q", ["state:FAILURE", "name:=shop.a", "-state:SUCCESS", "name:=shop.b state:SUCCESS"])
def test_what_a_survey_has_no_time_to_look_at_is_counted_by_bits(store: Store, q: str) -> None:
    store.fill()
    # The segment that is open then has none that match.
    for more in (range(200), range(200, 201)):
        store.writer.write(commit([event for n in more for event in task_events(f"more{n}", NOW - 1)], NOW))
    store.settle(all_but_newest(store))
    where = parse(q, NOW)
    whole = store.reader.count(where)
    # As soon as the page is there its time is up.
    survey = SqliteReader(store.path, clock=Hurry()).survey(where, Surveying(2, 60.0, 10_000, 0.0, 0.0))
    assert survey.tally.looked_at < whole.n
    assert survey.count == whole


class Hurry(ManualClock):
    """A clock of which each look takes a millisecond."""

    def monotonic(self) -> float:
        self.advance(0.001)
        return super().monotonic()


def test_what_is_written_while_a_segment_is_sealed_is_not_lost(store: Store, beside: None) -> None:
    events = [event for n in range(450) for event in ended(f"t{n}", START + n)[:2]]
    for at in range(0, len(events), 100):
        store.writer.write(commit(events[at : at + 100], START))
    written: list[AnyEvent] = []

    def meanwhile() -> None:
        at = len(written)
        if at < 400:
            late = TaskSucceeded(hostname="w1@a", pid=1, timestamp=NOW + at, uuid=f"t{at}", result="r", runtime=3.0)
            store.writer.write(commit([late], START))
            written.append(late)

    store.settle(lambda: all_but_newest(store)() and len(written) == 400, meanwhile)
    check(store.reader, events + written, (SPAN[0], NOW + 5_000))


def test_sums_of_hours_serve_spans_that_begin_and_end_within_days_and_follow_late_events(tmp_path: Path) -> None:
    store = Store(tmp_path)
    try:
        hour, start = 3_600.0, START // 86_400 * 86_400.0
        events: list[AnyEvent] = []
        for n in range(26 * 12):
            events += task_events(f"t{n}", start + n * hour / 12, name=f"n{n % 3}")
        for at in range(0, len(events), 24):
            store.writer.write(commit(events[at : at + 24]))
        store.settle(lambda: all(store.sealed()[1:]))

        def lengths() -> dict[int, int]:
            """By hour of the first day: the longest sum that begins there."""
            with store.reader._sessions.use() as session:
                found = session.query("hours", 0, 10**9)
            return {int(first - start // hour): length for first, length in found}

        store.settle(lambda: 8 in lengths().values())
        store.settle(lambda: len(lengths()) >= 8)
        spans = [(start + low * hour, start + high * hour) for low, high in ((0, 16), (1, 15), (3.5, 9.25), (0, 30))]
        for span in spans:
            check(store.reader, events, span)
        known = lengths()
        late = TaskFailed(hostname="w1@a", pid=1, timestamp=start + 5 * hour, uuid="t60", exception="ValueError('x')")
        events.append(late)
        store.writer.write(commit([late]))
        assert not any(first <= 5 < first + length for first, length in lengths().items())
        for span in spans:
            check(store.reader, events, span)
        store.settle(lambda: lengths() == known)
        for span in spans:
            check(store.reader, events, span)
    finally:
        store.writer.close()
        store.reader.close()


def test_late_events_about_sealed_tasks_join_and_are_found(store: Store) -> None:
    store.fill()
    store.settle(all_but_newest(store))
    ids = sorted(fold([event for batch in BATCHES[:5] for event in batch]))[:20]
    late: list[AnyEvent] = [
        TaskFailed(hostname="new@w", pid=9, timestamp=NOW, uuid=id_, exception="Überlauf('neu')", traceback="tb")
        for id_ in ids
    ]
    store.writer.write(commit(late, START))
    span = (SPAN[0], NOW + 5_000)
    check(store.reader, EVENTS + late, span)
    for where in (
        Compare(Field.EXCEPTION, Op.CONTAINS, "überlauf"),
        Compare(Field.WORKER, Op.EQ, "new@w"),
        Compare(Field.FINISHED, Op.GE, NOW),
    ):
        expected = 0 if where.field is Field.EXCEPTION else 20
        assert len(all_tasks(store.reader, where, 7)) == store.reader.count(where).n == expected
    assert store.reader.count(Compare(Field.TEXT, Op.CONTAINS, "berlauf('NEU")).n == 20
    store.writer.close()
    store.writer.open()
    check(store.reader, EVENTS + late, span)


def test_a_killed_sealing_process_leaves_the_old_file_and_is_tried_again(
    store: Store, beside: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sealing, "AGAIN", 0.0)
    store.fill()
    killed = 0

    def kill() -> None:
        nonlocal killed
        if killed < 3 and store.process is not None:
            os.kill(store.process, signal.SIGKILL)
            killed += 1

    store.settle(lambda: killed == 3, kill)
    check(store.reader, EVENTS, SPAN)
    store.settle(all_but_newest(store))
    assert "not sealed" in caplog.text
    check(store.reader, EVENTS, SPAN)


def test_a_writer_that_stops_takes_its_sealing_process_with_it(store: Store, beside: None) -> None:
    store.fill()
    store.settle(lambda: store.process is not None)
    process = store.process
    assert process is not None
    store.writer.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert not any("sealing" in name for name in store.files())
    store.writer.open()
    check(store.reader, EVENTS, SPAN)


def test_an_orphaned_sealing_gives_up(store: Store, tmp_path: Path) -> None:
    store.fill()
    source = store.path.with_name("umbel.db.segments") / "000001.db"
    with pytest.raises(Exception, match=r"given up|interrupted"):
        seal(source, tmp_path / "new", 1, Retention(), NOW, gone=lambda: True)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("crash", ["before the catalog knows", "before the old file is gone"])
def test_of_two_files_of_a_segment_the_newer_one_is_taken(store: Store, tmp_path: Path, crash: str) -> None:
    store.fill()
    store.writer.close()
    directory = store.path.with_name("umbel.db.segments")
    seal(directory / "000001.db", directory / "000001-1.db", 1, Retention(), NOW)
    if crash == "before the old file is gone":
        with sqlite3.connect(store.path) as catalog:
            catalog.execute("UPDATE segment SET generation = 1 WHERE number = 1")
    store.writer.open()
    assert "000001.db" not in store.files()
    assert store.sealed()[-1]
    check(store.reader, EVENTS, SPAN)


def test_a_lost_catalog_is_made_anew_from_sealed_segments(store: Store) -> None:
    store.fill()
    store.settle(all_but_newest(store))
    sealed = store.sealed()
    store.writer.close()
    store.path.unlink()
    store.writer.open()
    check(store.reader, EVENTS, SPAN)
    assert store.sealed() == sealed


def test_a_search_that_takes_too_long_is_interrupted_and_goes_on(tmp_path: Path, store: Store) -> None:
    store.fill()
    store.settle(all_but_newest(store))
    hasty = SqliteReader(store.path, budget=0.0)
    where = Compare(Field.RESULT, Op.CONTAINS, "1")
    cursor, rounds, found = "", 0, 0
    while True:
        page = hasty.tasks(where, Page(500, cursor))
        rounds, found = rounds + 1, found + len(page.items)
        if page.next is None:
            break
        assert page.covered_since is not None
        cursor = page.next
    assert rounds > 1
    assert found == len(all_tasks(store.reader, where, 50)) > 100
    hasty.close()


class Ticking(ManualClock):
    """Each look at it takes a second."""

    def monotonic(self) -> float:
        self.advance(1.0)
        return super().monotonic()


def test_a_search_leaves_nothing_out_wherever_it_is_interrupted(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store.fill()
    store.settle(all_but_newest(store))
    # Also where a segment is opened.
    monkeypatch.setattr(sessions, "LOOK", 5)
    where = Compare(Field.RESULT, Op.CONTAINS, "1")
    expected = [task.id for task in all_tasks(store.reader, where, 50)]
    assert len(expected) > 100
    for budget in range(3, 120, 3):
        hasty = SqliteReader(store.path, clock=Ticking(), budget=budget)
        found, cursor = [], ""
        while True:
            page = hasty.tasks(where, Page(50, cursor))
            found += [task.id for task in page.items]
            if page.next is None:
                break
            cursor = page.next
        hasty.close()
        assert found == expected
    assert "left out" not in caplog.text


def test_a_search_leaves_nothing_out_where_a_function_of_its_statement_is_interrupted(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store.fill()
    store.settle(all_but_newest(store))
    where = Compare(Field.RESULT, Op.CONTAINS, "1")
    expected = [task.id for task in all_tasks(store.reader, where, 50)]
    clock = ManualClock()
    field, asked = Blocks.field, 0

    def interrupted(self: Blocks, position: int, number: int) -> object:
        nonlocal asked
        asked += 1
        if asked == 100:
            clock.advance(2.0)
            raise sqlite3.OperationalError("interrupted")
        return field(self, position, number)

    monkeypatch.setattr(Blocks, "field", interrupted)
    hasty = SqliteReader(store.path, clock=clock, budget=1.0)
    page = hasty.tasks(where, Page(500))
    assert not page.complete
    found = [task.id for task in page.items]
    assert page.next is not None
    found += [task.id for task in hasty.tasks(where, Page(500, page.next)).items]
    hasty.close()
    assert found == expected
    assert "left out" not in caplog.text


def test_positions_come_back_from_bits_in_either_order() -> None:
    positions = [0, 7, 8, 63, 64, 1_000, 4_095]
    assert list(positions_of(number_of(positions), descending=False)) == positions
    assert list(positions_of(int.from_bytes(bits_of(positions), "little"), descending=True)) == positions[::-1]
    assert list(positions_of(0, descending=True)) == []


def test_entries_of_the_index_are_those_that_a_match_must_have() -> None:
    assert grams_of(Op.CONTAINS, "ab") == []
    assert grams_of(Op.GLOB, "ab*cdef*") == ["cde", "def"]
    assert grams_of(Op.CONTAINS, "ab\0cde") == ["cde"]
    assert match_of(['a"b', "cde"]) == '"a""b" AND "cde"'


def test_entries_are_looked_up_from_the_rarest_on_until_more_would_not_pay(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "index.db")) as connection:
        connection.execute(SQL["grams"])
        # Whether FTS5 has more than one page for an entry hangs on how many tasks have it.
        texts = ((n, f"customer-{n:06d}@{'Oslo' if n % 3 else 'Rome'}~~~") for n in range(40_000))
        connection.executemany(SQL["put_grams"], texts)
        connection.execute("INSERT INTO grams (grams) VALUES ('optimize')")
        grams = Grams(connection, 40_000)
        assert grams.pages("mer") > grams.pages("777") == 1
        assert grams.pages("MER") == grams.pages("mer")
        assert grams.choose([]) == []
        assert len(grams.choose(grams_of(Op.CONTAINS, "customer"))) < 4
        chosen = grams.choose(grams_of(Op.CONTAINS, "customer-012345@Rome"))
        assert 0 < len(chosen) <= 6
        assert not {"cus", "ust", "sto", "tom", "ome", "mer"} & set(chosen[:4])
        assert connection.execute(SQL["texts"], (match_of(chosen),)).fetchall() == [(12_345,)]
        assert len(grams.choose(["".join(map(chr, range(at, at + 3))) for at in range(200, 900)])) <= 24


def test_rollups_of_ten_minutes_follow_late_events_and_are_made_for_a_segment_that_was_begun_without_them(
    store: Store,
) -> None:
    half = len(BATCHES) // 2
    for number, batch in enumerate(BATCHES[:half]):
        store.writer.write(commit_of(number, batch))
    store.writer.close()
    first = store.path.with_name("umbel.db.segments") / "000001.db"
    with closing(sqlite3.connect(first)) as older, older:
        assert older.execute("DELETE FROM tens").rowcount == 1
        assert older.execute("DELETE FROM rollup WHERE step = 600").rowcount > 1
    check(store.reader, [event for batch in BATCHES[:half] for event in batch], SPAN)
    store.writer.open()
    store.settle(all_but_newest(store))
    for number, batch in enumerate(BATCHES[half:], half):
        store.writer.write(commit_of(number, batch))
    store.settle(all_but_newest(store))
    ends = [event for event in EVENTS if isinstance(event, TaskSucceeded)][::7]
    late: list[AnyEvent] = [msgspec.structs.replace(end, timestamp=end.timestamp + 900, result="late") for end in ends]
    store.writer.write(commit(late, at=NOW))
    check(store.reader, [*EVENTS, *late], SPAN)
    store.writer.close()
    files = sorted(first.parent.glob("*.db"))
    assert len(files) > 2
    for file in files:
        tens, minutes = tens_and_minutes(file)
        assert tens == minutes
        assert tens


def test_bounds_of_durations_find_the_same_in_segments_that_were_sealed_with_bits_of_each_bucket(store: Store) -> None:
    store.fill()
    store.settle(all_but_newest(store))
    bounds = sorted({task.run_seconds for task in all_tasks(store.reader) if task.run_seconds is not None})[::9]
    questions = [Compare(Field.RUN, op, bound) for op in (Op.LT, Op.LE, Op.EQ, Op.GE, Op.GT) for bound in bounds]

    def found() -> list[list[str]]:
        return [[task.id for task in store.reader.tasks(question, Page(1_000)).items] for question in questions]

    now = found()
    runs = {task.id: task.run_seconds for task in all_tasks(store.reader)}
    tests = {Op.LT: operator.lt, Op.LE: operator.le, Op.EQ: operator.eq, Op.GE: operator.ge, Op.GT: operator.gt}
    for question, ids in zip(questions, now, strict=True):
        matching = {id_ for id_, run in runs.items() if run is not None and tests[question.op](run, question.value)}
        assert set(ids) == matching
    assert any(now)
    store.reader.close()
    for file in store.path.with_name("umbel.db.segments").glob("*-1.db"):
        with closing(sqlite3.connect(file)) as older, older:
            bitmaps = Bitmaps(older)
            for kind, single in ((Kind.RUN_FROM, Kind.RUN), (Kind.WAIT_FROM, Kind.WAIT)):
                values = list(bitmaps.sizes(kind))
                beyond = [*(bitmaps.bits(kind, value) for value in values[1:]), 0]
                for value, others in zip(values, beyond, strict=True):
                    bits = bitmaps.bits(kind, value) & ~others
                    data = zlib.compress(bits.to_bytes(-(-bits.bit_length() // 8), "little"))
                    older.execute("INSERT INTO bitmap VALUES (?, ?)", (key_of(single, value), data))
                    older.execute("DELETE FROM bitmap WHERE key = ?", (key_of(kind, value),))
    store.reader = SqliteReader(store.path, budget=60.0)
    assert found() == now


def test_rollups_of_a_sealed_segment_are_packed_and_late_events_correct_them(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "FEWEST", 1)
    store.fill()
    store.settle(all_but_newest(store))
    check(store.reader, EVENTS, SPAN)
    file = store.path.with_name("umbel.db.segments") / "000001-1.db"
    with closing(sqlite3.connect(file)) as sealed:
        assert {row[0][0] for row in sealed.execute("SELECT cells FROM rollup")} == {MARK}
    # Another time and another end: what the tasks added before is taken back from packed rows.
    late: list[AnyEvent] = [
        TaskFailed(hostname="new@w", pid=9, timestamp=NOW, uuid=id_, exception="ValueError('late')")
        for id_ in sorted(fold([event for batch in BATCHES[:5] for event in batch]))
    ]
    store.writer.write(commit(late, START))
    check(store.reader, EVENTS + late, (SPAN[0], NOW + 5_000))
    assert tens_and_minutes(file)[0] == tens_and_minutes(file)[1]
