"""What every store promises, on generated histories and under faults."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conformance.store_oracle import Oracle, check
from tests.conformance.store_process import Writer, history
from tests.conformance.store_rigs import RIGS, Crash, StoreRig, all_tasks
from tests.strategies import IDS, NAMES, START, WORKERS, deliveries, histories
from umbel.clock import ManualClock
from umbel.errors import QueryError, StoreBusy, StoreError
from umbel.model.event import AnyEvent, EventClass, TaskFailed, TaskReceived, TaskStarted, TaskSucceeded
from umbel.model.gather import gather
from umbel.model.ledger import LedgerEntry, Quarantined, Reason
from umbel.model.meter import Meter, Metering
from umbel.model.query import EVERYTHING, NUMBERS, And, Compare, Field, Node, Not, Op, Or, Order, Page
from umbel.model.tally import tally
from umbel.model.task import State
from umbel.model.worker import fold_workers, join_workers
from umbel.retention import Retention, parse_retention
from umbel.stores.base import Commit, Position, StoreReader, Surveying, seen_of
from umbel.stores.pairs import FIRSTS, PAIRS

SPAN = (START - 3600, START + 90_000)
#: Generated examples each begin a store, which a server on a busy machine takes its time for.
pytestmark = pytest.mark.timeout(1_200)


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="umbel-store-") as name:
        yield Path(name)


def fresh(engine: str) -> tuple[StoreRig, tempfile.TemporaryDirectory[str]]:
    """A rig for one generated example."""
    directory = tempfile.TemporaryDirectory(prefix="umbel-store-")
    return RIGS[engine](Path(directory.name)), directory


def commit(events: list[AnyEvent], at: float = START, **more: object) -> Commit:
    """As the collector makes it."""
    return Commit(at=at, tasks=gather(events), stored=len(events), **more)  # type: ignore[arg-type]


def task_events(id_: str, at: float = START, name: str = "shop.pay", parent: str | None = None) -> list[AnyEvent]:
    return [
        TaskReceived(hostname="w1@a", pid=1, timestamp=at, uuid=id_, name=name, root_id=id_, parent_id=parent),
        TaskStarted(hostname="w1@a", pid=1, timestamp=at + 1, uuid=id_),
    ]


def ended(id_: str, at: float, *, name: str = "shop.pay", failed: bool = False) -> list[AnyEvent]:
    """A task that was received at `at`, started a second later, and ended another second later."""
    end: dict[str, Any] = {"hostname": "w1@a", "pid": 1, "timestamp": at + 2, "uuid": id_}
    last = TaskFailed(**end, exception="ValueError('x')") if failed else TaskSucceeded(**end, result="1", runtime=1.0)
    return [*task_events(id_, at, name), last]


def prove(engine: str, examples: int, holds: Callable[..., None], **generated: st.SearchStrategy[Any]) -> None:
    """Try `holds` on generated examples, fewer of them on an engine that takes its time for each."""
    most = max(4, round(examples * RIGS[engine].share))

    @settings(max_examples=most)
    @given(**generated)
    def tried(**example: Any) -> None:
        holds(**example)

    tried()


# Order and duplicates


def test_any_order_duplication_and_batching_of_a_history_is_stored_as_the_model_says(engine: str) -> None:
    """Whether the commits hold records (every other one does here), or plain tasks as their events."""
    prove(engine, 30, partial(any_delivery_is_stored, engine), delivery=deliveries())


def any_delivery_is_stored(engine: str, delivery: tuple[list[AnyEvent], list[list[AnyEvent]]]) -> None:
    history, batches = delivery
    rig, directory = fresh(engine)
    with directory:
        writer = rig.writer()
        for number, batch in enumerate(batches):
            what = commit(batch)
            writer.write(replace(what, tasks=dict(what.tasks)) if number % 2 else what)
            writer.maintain(Retention(), START)
        reader = rig.reader()
        check(reader, history, SPAN)
        maintain(rig, writer, Retention(), START)
        check(reader, history, SPAN)
        writer.close()
        check(reader, history, SPAN)
        reader.close()


def test_a_crash_between_tasks_and_books_then_the_same_batch_again_counts_nothing_twice(engine: str) -> None:
    crashes = st.sets(st.integers(0, 30))
    prove(engine, 12, partial(crashes_count_nothing_twice, engine), delivery=deliveries(), crashes=crashes)


def crashes_count_nothing_twice(
    engine: str, delivery: tuple[list[AnyEvent], list[list[AnyEvent]]], crashes: set[int]
) -> None:
    history, batches = delivery
    rig, directory = fresh(engine)
    with directory:
        writer = rig.writer()
        for number, batch in enumerate(batches):
            what = commit(batch, position=Position("s", str(number)))
            if number in crashes:
                rig.crash_before_books(writer)
                with pytest.raises(Crash):
                    writer.write(what)
                rig.bury(writer)
                writer = rig.writer()
                assert writer.position("s") == (str(number - 1) if number else None)
            writer.write(what)
        reader = rig.reader()
        check(reader, history, SPAN)
        assert reader.state().books.stored == sum(len(batch) for batch in batches)
        writer.close()
        reader.close()


# Questions


def nodes() -> st.SearchStrategy[Node]:
    """Conditions of every kind, over the values that histories have."""
    words = st.sampled_from(
        [
            *NAMES,
            *WORKERS,
            *IDS,
            "celery",
            "mail",
            "SHOP",
            "a1",
            "4f0e-9d57",
            "ORDER",
            "ü",
            "Ü",
            "'",
            "again",
            "KEY",
            "b",
        ]
    )
    patterns = st.sampled_from(["*", "shop.*", "*@a", "w?@a", "*[*", "6f1d1f60*", "order-*7", "*", "", "*ä*", "*'*"])
    texts = st.sampled_from([f for f in Field if f not in NUMBERS and f is not Field.STATE])
    numbers = st.sampled_from([0.0, 1.0, 1.5, 2.0, 3.7, START, START + 7.5, START + 22.5, START + 50])
    leaf = st.one_of(
        st.builds(Compare, texts, st.sampled_from([Op.EQ, Op.CONTAINS]), words),
        st.builds(Compare, texts, st.just(Op.GLOB), patterns),
        st.builds(Compare, st.just(Field.STATE), st.just(Op.EQ), st.sampled_from([s.value for s in State])),
        st.builds(
            Compare, st.sampled_from(sorted(NUMBERS)), st.sampled_from([Op.EQ, Op.LT, Op.LE, Op.GT, Op.GE]), numbers
        ),
    )
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.builds(Not, inner),
            st.builds(And, st.lists(inner, max_size=3).map(tuple)),
            st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
        ),
        max_leaves=6,
    )


def test_answers_equal_those_of_plain_python(engine: str) -> None:
    prove(
        engine,
        30,
        partial(answers_are_right, engine),
        history=histories(max_noise=15),
        wheres=st.lists(nodes(), min_size=5, max_size=25),
        order=st.sampled_from(list(Order)),
        settled=st.booleans(),
    )


def answers_are_right(engine: str, history: list[AnyEvent], wheres: list[Node], order: Order, *, settled: bool) -> None:
    oracle = Oracle(history)
    rig, directory = fresh(engine)
    with directory:
        writer, reader = rig.writer(), rig.reader()
        late = history[-len(history) // 8 :]
        writer.write(commit(history[: len(history) - len(late)]))
        if settled:
            maintain(rig, writer, Retention(), START)
        writer.write(commit(late))
        for where in wheres:
            expected = oracle.matching(where)
            assert {summary.id for summary in all_tasks(reader, where, 2, order)} == expected, where
            assert reader.count(where).n == len(expected), where
            survey_is_right(reader, where, len(expected))
        writer.close()
        reader.close()


def survey_is_right(reader: StoreReader, where: Node, matching: int) -> None:
    """It says what a page, a count and a tally say, of as many as it has looked at."""
    survey = reader.survey(where, Surveying(rows=2, soon=60.0, most=3, within=60.0, least=60.0))
    assert survey.page == reader.tasks(where, Page(2)), where
    newest = all_tasks(reader, where)[: survey.tally.looked_at]
    assert {field: dict(counts) for field, counts in survey.tally.counts.items()} == tally(newest), where
    assert survey.tally.looked_at >= min(3, matching)
    assert survey.tally.whole == (survey.tally.looked_at == matching), where
    assert survey.count is not None
    assert survey.count.n >= survey.tally.looked_at
    assert survey.count.capped == (survey.count.n < matching), where
    assert survey.seen == seen_of(newest), where
    assert survey.received == any(task.received_at is not None for task in newest), where


def test_a_survey_that_runs_out_of_time_has_a_page_and_says_at_least(rig: StoreRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    writer.write(commit([event for n in range(9) for event in task_events(f"t{n}")]))
    hurried = reader.survey(Compare(Field.NAME, Op.EQ, "shop.pay"), Surveying(3, 60.0, 9, 0.0, 0.0))
    assert len(hurried.page.items) == 3
    assert hurried.page.next is not None
    assert hurried.count is not None
    # Whoever is out of time with the last of them need not know that it was the last.
    assert hurried.count.n == 9 or (hurried.count.n < 9 and hurried.count.capped)
    assert hurried.tally.looked_at == 9 or (hurried.tally.looked_at < 9 and not hurried.tally.whole)


def test_counts_stop_at_the_cap_and_say_so(rig: StoreRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    writer.write(commit([event for n in range(7) for event in task_events(f"t{n}")]))
    for where in (EVERYTHING, Compare(Field.NAME, Op.EQ, "shop.pay")):
        assert (reader.count(where, 7).n, reader.count(where, 7).capped) == (7, False)
        assert (reader.count(where, 6).n, reader.count(where, 6).capped) == (6, True)


def test_a_count_that_runs_out_of_time_says_at_least(rig: StoreRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    writer.write(commit([event for n in range(7) for event in task_events(f"t{n}")]))
    pay = Compare(Field.NAME, Op.EQ, "shop.pay")
    hurried = reader.count(pay, within=0.0)
    assert hurried.n == 7 or (hurried.n < 7 and hurried.capped)
    patient = reader.count(pay, within=60.0)
    assert (patient.n, patient.capped) == (7, False)


def test_a_tally_tells_what_the_newest_that_match_have_and_of_how_many_it_speaks(rig: StoreRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    writer.write(commit([event for n in range(7) for event in task_events(f"t{n}", START + n)]))
    whole = reader.tally(Compare(Field.NAME, Op.EQ, "shop.pay"), within=60.0)
    assert (whole.looked_at, whole.whole, whole.since) == (7, True, None)
    shown = all_tasks(reader)
    assert {field: dict(counts) for field, counts in whole.counts.items()} == tally(shown)
    part = reader.tally(EVERYTHING, 3, within=60.0)
    assert (part.looked_at, part.whole) == (3, False)
    assert part.counts[Field.NAME] == {"shop.pay": 3}
    assert part.since is not None
    assert reader.tally(Compare(Field.NAME, Op.EQ, "nothing"), within=60.0).looked_at == 0


def test_the_newest_seen_come_first_and_an_old_task_stays_where_it_was(rig: StoreRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    for n in range(7):
        writer.write(commit(task_events(f"t{n}", START - n * 1000)))
    late = TaskSucceeded(hostname="w1@a", pid=1, timestamp=START + 5000, uuid="t1", result="late")
    writer.write(commit([late]))
    assert [s.id for s in all_tasks(reader)] == [f"t{n}" for n in (6, 5, 4, 3, 2, 1, 0)]
    assert [s.id for s in all_tasks(reader, order=Order.OLDEST)] == [f"t{n}" for n in range(7)]
    found = reader.task("t1")
    assert found is not None
    assert found.succeeded is not None
    assert found.succeeded.result == "late"


def test_pages_neither_repeat_nor_skip_while_tasks_arrive(rig: StoreRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    writer.write(commit([event for n in range(20) for event in task_events(f"t{n}")]))
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = reader.tasks(EVERYTHING, Page(3, cursor))
        seen += [summary.id for summary in page.items]
        cursor = page.next
        writer.write(commit(task_events(f"new{len(seen)}")))
        writer.write(commit([TaskSucceeded(hostname="w1@a", pid=1, timestamp=START + 9, uuid="t3", result="1")]))
    assert seen == [f"t{n}" for n in reversed(range(20))]


def test_a_scan_gives_every_record_once_in_order_of_first_sight_while_tasks_arrive(rig: StoreRig) -> None:
    writer = rig.writer()
    for number in range(12):
        writer.write(commit(task_events(f"t{number:02}", START + number), at=START + number))
    reader = rig.reader()
    page = reader.scan(limit=2)
    seen = [task.id for task in page.tasks]
    number = 12
    while page.next is not None and number < 40:
        # A new one, and a late event about an old one.
        writer.write(commit([*task_events(f"t{number:02}", START + number), *task_events("t01", START + 90)]))
        page = reader.scan(page.next, 2)
        seen += [task.id for task in page.tasks]
        number += 1
    assert seen[:12] == [f"t{n:02}" for n in range(12)]
    assert len(set(seen)) == len(seen)
    writer.close()
    reader.close()


def test_a_scan_tells_by_when_its_records_were_seen(rig: StoreRig) -> None:
    writer = rig.writer()
    for number in range(9):
        writer.write(commit(task_events(f"t{number}", START), at=START + 1_000 * number))
    reader = rig.reader()
    cursor: str | None = ""
    while cursor is not None:
        page = reader.scan(cursor, 1)
        for task in page.tasks:
            assert START + 1_000 * int(task.id[1:]) <= page.seen_at <= START + 8_000
        cursor = page.next
    writer.close()
    reader.close()


def test_the_positions_of_all_sources_can_be_read(rig: StoreRig) -> None:
    writer = rig.writer()
    for source, value in (("spool", "1"), ("recording", "x"), ("spool", "2")):
        writer.write(commit([], position=Position(source, value)))
    reader = rig.reader()
    assert dict(reader.positions()) == {"spool": "2", "recording": "x"}
    writer.close()
    reader.close()


def test_a_cursor_that_is_none_is_refused_in_words(rig: StoreRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    writer.write(commit(task_events("t")))
    for cursor in ("x", "-1", "1e3", "９", "1" * 40):
        with pytest.raises(QueryError, match="cursor"):
            reader.tasks(EVERYTHING, Page(3, cursor))


def test_a_search_out_of_time_gives_a_cursor_with_which_it_goes_on(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    class Impatient(ManualClock):
        def monotonic(self) -> float:
            self.advance(1)
            return super().monotonic()

    rig = RIGS[engine](tmp_path, Impatient())
    request.addfinalizer(rig.close)
    writer, reader = rig.writer(), rig.reader(budget=0.5)
    for n in range(12):
        writer.write(commit(task_events(f"t{n}", START + n)))
    where = Compare(Field.ID, Op.EQ, "t2")
    cursor, found, rounds, covered = "", [], 0, START + 11
    while True:
        page = reader.tasks(where, Page(5, cursor))
        found += [summary.id for summary in page.items]
        rounds += 1
        if page.next is None:
            break
        assert not page.complete
        assert page.covered_since is not None
        assert page.covered_since <= covered
        cursor, covered = page.next, page.covered_since
    assert found == ["t2"]
    assert rounds > 1
    assert reader.count(where).capped


def test_children_are_found_oldest_first_and_nobody_is_his_own(rig: StoreRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    uuid = "6f1d1f60-5c4a-4f0e-9d57-0a4f6d7a00aa"
    for parent in ("p", uuid):
        writer.write(commit(task_events(parent, parent=parent)))
        for n in range(5):
            writer.write(commit(task_events(f"{parent}{n}", parent=parent)))
        assert [s.id for s in reader.related(parent)] == [f"{parent}{n}" for n in range(5)]
        assert [s.id for s in reader.related(parent, 2)] == [f"{parent}{n}" for n in range(2)]


# Everything else that is kept


def test_books_ledger_quarantine_workers_and_names_are_kept(rig: StoreRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    shed = LedgerEntry(Reason.SPOOL_FULL, EventClass.HEARTBEAT, START, START + 1, 5)
    gap = LedgerEntry(Reason.DISCONNECTED, EventClass.UNKNOWN, START, START + 9, 70, estimated=True, worker="w1@a")
    bad = Quarantined(START, Reason.MALFORMED, "not JSON", "application/json", b"\xff\x00{")
    events = task_events("t1") + task_events("t2", name="shop.mail")
    workers = fold_workers(events, START)
    what = commit(
        events,
        workers=workers,
        discarded={(Reason.SPOOL_FULL, EventClass.HEARTBEAT): 5, (Reason.MALFORMED, EventClass.UNKNOWN): 1},
        ledger=[shed, gap],
        quarantine=[bad],
        captured_at=START - 2,
        position=Position("spool", "17"),
    )
    writer.write(what)
    state = reader.state()
    assert state.books.stored == 4
    assert state.books.received == 10
    assert state.books.discarded == what.discarded
    assert state.books.missed_estimate == {"w1@a": 70}
    assert (state.tasks, state.committed_at, state.captured_at, state.quarantined) == (2, START, START - 2, 1)
    assert state.bytes > 0
    assert not state.set_aside
    assert list(reader.ledger()) == [gap, shed]
    assert list(reader.ledger(1)) == [gap]
    assert list(reader.ledger(since=START + 5)) == [gap]
    assert list(reader.quarantine()) == [bad]
    assert list(reader.workers()) == list(workers.values())
    assert set(reader.names()) == {"shop.pay", "shop.mail"}
    assert (writer.position("spool"), writer.position("other")) == ("17", None)


def test_positions_are_found_by_how_their_names_begin_until_they_are_forgotten(rig: StoreRig) -> None:
    writer = rig.writer()
    assert writer.positions("") == {}
    for name in ("q#1", "q#2", "q", "Q#3", "q_4"):
        writer.write(Commit(at=START, position=Position(name, f"of {name}")))
    writer.write(Commit(at=START, position=Position("q#2", "newer")))
    assert writer.positions("q#") == {"q#1": "of q#1", "q#2": "newer"}
    writer.forget("q#1")
    writer.forget("never there")
    assert writer.positions("q#") == {"q#2": "newer"}
    assert (writer.position("q#1"), writer.position("q")) == (None, "of q")


def test_losses_of_one_kind_that_touch_are_one_entry(rig: StoreRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    for n in range(100):
        entry = LedgerEntry(Reason.SPOOL_FULL, EventClass.HEARTBEAT, START + n, START + n + 1, 3)
        other = LedgerEntry(Reason.SPOOL_FULL, EventClass.QUEUED, START + n * 100, START + n * 100, 1)
        writer.write(Commit(at=START, ledger=[entry, other]))
    found = reader.ledger(1_000)
    assert LedgerEntry(Reason.SPOOL_FULL, EventClass.HEARTBEAT, START, START + 100, 300) in found
    assert len(found) == 101


def test_worker_records_are_joined_whatever_the_order(rig: StoreRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    first, second = fold_workers(task_events("t"), START + 9), fold_workers(task_events("t"), START)
    writer.write(Commit(at=START, workers=first))
    writer.write(Commit(at=START, workers=second))
    (key,) = first
    join_workers(first[key], second[key])
    assert list(reader.workers()) == list(writer.workers()) == [first[key]]
    assert (first[key].first_seen_at, first[key].seen_at) == (START, START + 9)


def test_the_version_changes_with_every_commit_and_only_then(rig: StoreRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    versions = [reader.version()]
    for n in range(3):
        writer.write(commit(task_events(f"t{n}")))
        assert reader.version() == reader.version()
        versions.append(reader.version())
    writer.write(Commit(at=START, stored=1))
    assert len({*versions, reader.version()}) == 5


# Faults


def test_a_reader_before_the_first_collector_says_so_in_plain_words(rig: StoreRig) -> None:
    reader = rig.reader()
    with pytest.raises(StoreError, match="no store yet"):
        reader.tasks(EVERYTHING, Page())
    writer = rig.writer()
    writer.write(commit(task_events("t")))
    assert reader.state().tasks == 1


def test_a_locked_store_is_busy_and_the_same_commit_succeeds_later(rig: StoreRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    events = task_events("t1")
    writer.write(commit(events))
    more = [*task_events("t2"), TaskSucceeded(hostname="w1@a", pid=1, timestamp=START + 9, uuid="t1", result="1")]
    what = commit(more, position=Position("s", "1"))
    with rig.locked():
        with pytest.raises(StoreBusy, match=rig.locked_words):
            writer.write(what)
        check(reader, events, SPAN)
    writer.write(what)
    check(reader, events + more, SPAN)
    assert reader.state().books.stored == len(events) + len(more)


def test_a_full_disk_is_busy_nothing_is_half_done_and_the_same_commit_succeeds_later(rig: StoreRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    events = task_events("t1")
    writer.write(commit(events, position=Position("s", "1")))
    big = TaskSucceeded(hostname="w1@a", pid=1, timestamp=START + 9, uuid="t1", result="x" * 60_000)
    more = [big, *task_events("t2"), *task_events("t3")]
    what = commit(more, position=Position("s", "2"))
    with rig.full(writer):
        for _ in range(2):
            with pytest.raises(StoreBusy, match="full"):
                writer.write(what)
        assert writer.position("s") == "1"
        check(reader, events, SPAN)
    writer.write(what)
    check(reader, events + more, SPAN)
    assert reader.state().books.stored == len(events) + len(more)


@pytest.mark.slow
def test_killed_at_any_moment_a_writer_goes_on_from_its_position_and_counts_nothing_twice(
    engine: str, directory: Path
) -> None:
    random, longest = Random(11), 0.0
    for _ in range(max(3, round(8 * RIGS[engine].share))):
        writer = Writer(engine, directory)
        for _ in range(random.randrange(7)):
            began = time.monotonic()
            writer.allow(1)
            writer.read("committed")
            longest = max(longest, time.monotonic() - began)
        # At any moment of one more commit, or just after it.
        writer.allow(1)
        time.sleep(random.uniform(0, longest))
        writer.kill()
    last = Writer(engine, directory)
    last.allow(RIGS[engine].batches)
    last.finish()
    reader = RIGS[engine](directory).reader()
    batches = history(batches=RIGS[engine].batches)
    check(reader, [event for batch in batches for event in batch], SPAN)
    state = reader.state()
    assert state.books.stored == sum(len(batch) for batch in batches)
    assert state.books.discarded == {(Reason.MALFORMED, EventClass.UNKNOWN): len(batches)}
    reader.close()


@pytest.mark.slow
def test_a_reader_sees_the_commits_of_another_process_whole(engine: str, directory: Path) -> None:
    """What it sees at any moment follows from the batches up to the position of that moment."""
    writer = Writer(engine, directory)
    reader = RIGS[engine](directory).reader()
    sizes: list[int] = []
    # A few commits for each look, more where a look takes its time: neither side can be through before the other began.
    commits = RIGS[engine].batches // (15 if RIGS[engine].share == 1 else 8)
    while writer.running():
        writer.allow(commits)
        sizes.append(reader.state().tasks)
        listed = all_tasks(reader, limit=500)
        assert len({summary.id for summary in listed}) == len(listed)
        assert len(listed) >= sizes[-1]
    writer.finish()
    assert sizes == sorted(sizes)
    assert len(set(sizes)) > 3
    check(reader, [event for batch in history() for event in batch], SPAN)
    reader.close()


# Upkeep


def test_tasks_not_seen_for_longer_than_their_age_go_and_their_rollups_with_them(rig: StoreRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    for n in range(6):
        writer.write(commit(task_events(f"old{n}"), START))
    for n in range(4):
        writer.write(commit(task_events(f"new{n}", START + 500), START + 500))
    dropped = maintain(rig, writer, Retention(age=400), START + 500)
    assert dropped == 6
    kept = [event for n in range(4) for event in task_events(f"new{n}", START + 500)]
    check(reader, kept, SPAN)
    assert reader.state().tasks == 4
    assert reader.state().books.stored == 20
    assert reader.task("old1") is None


def test_even_the_newest_go_when_nothing_has_come_for_long(rig: StoreRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    writer.write(commit(task_events("old"), START))
    assert maintain(rig, writer, Retention(age=400), START + 401) == 1
    assert not all_tasks(reader)
    writer.write(commit(task_events("new"), START + 500))
    check(reader, task_events("new"), SPAN)


def test_a_store_that_is_too_large_drops_its_oldest_but_never_what_it_writes_to(rig: StoreRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    # Beside their contents, what an engine needs for an empty store weighs little.
    texts = ["".join(Random(n).choices("0123456789abcdef", k=50_000)) for n in range(12)]
    for n, text in enumerate(texts):
        done = TaskSucceeded(hostname="w1@a", pid=1, timestamp=START + 2, uuid=f"t{n}", result=text)
        writer.write(commit([*task_events(f"t{n}"), done]))
    size = reader.state().bytes
    assert maintain(rig, writer, Retention(size=size // 2), START) > 0
    left = [summary.id for summary in all_tasks(reader)]
    assert left == [f"t{n}" for n in reversed(range(12 - len(left), 12))]
    assert reader.state().bytes <= size // 2
    maintain(rig, writer, Retention(size=1), START)
    assert all_tasks(reader)[0].id == "t11"


def test_a_late_event_about_a_dropped_task_makes_it_anew(rig: StoreRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    for n in range(6):
        writer.write(commit(task_events(f"t{n}"), START + n * 100))
    maintain(rig, writer, Retention(age=250), START + 500)
    late = TaskSucceeded(hostname="w1@a", pid=1, timestamp=START + 9, uuid="t0", result="1")
    writer.write(commit([late], START + 500))
    found = reader.task("t0")
    assert found is not None
    assert found.succeeded is not None
    assert found.received is None


def test_rules_drop_tasks_by_state_and_name_and_leave_their_rollups(rig: StoreRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    old: list[AnyEvent] = []
    for n in range(4):
        for id_, name, failed in (
            (f"bad{n}", "shop.pay", True),
            (f"good{n}", "shop.pay", False),
            (f"r{n}", "rep", False),
        ):
            events = ended(id_, START + n, name=name, failed=failed)
            old += events
            writer.write(commit(events, START + n))
    new = [event for n in range(4) for event in ended(f"new{n}", START + 3_000)]
    writer.write(commit(new, START + 3_000))
    oracle = Oracle(old + new)
    retention = parse_retention("name:rep 100s, state:FAILURE 9000s, 1000s")
    assert maintain(rig, writer, retention, START + 3_100) == 8
    kept = {f"bad{n}" for n in range(4)} | {f"new{n}" for n in range(4)}
    assert {summary.id for summary in all_tasks(reader)} == kept
    assert reader.state().tasks == sum(part.tasks for part in reader.parts()) == reader.count(EVERYTHING).n == 8
    assert reader.count(Compare(Field.STATE, Op.EQ, "SUCCESS")).n == 4
    assert reader.count(Not(Compare(Field.NAME, Op.EQ, "rep"))).n == 8
    assert reader.task("good3") is None
    assert dict(reader.records(sorted(kept))) == {id_: oracle.tasks[id_] for id_ in kept}
    assert list(reader.rollup(*SPAN, 60)) == oracle.rollup(*SPAN, 60)
    assert reader.preview(retention, START + 3_100).total.tasks == 0
    writer.write(commit(ended("good3", START + 3_050), START + 3_050))
    assert {summary.id for summary in all_tasks(reader)} == kept | {"good3"}
    for n in range(6):
        writer.write(commit(ended(f"newer{n}", START + 5_900), START + 5_900))
    assert maintain(rig, writer, retention, START + 6_000) == 5
    assert maintain(rig, writer, retention, START + 16_000) == 10
    assert not all_tasks(reader)
    assert not reader.rollup(*SPAN, 60)


def test_the_effect_of_a_retention_is_told_before_it_is_applied(rig: StoreRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    for n in range(6):
        writer.write(commit(ended(f"bad{n}", START, failed=True), START))
        writer.write(commit(ended(f"good{n}", START), START))
        writer.write(commit(ended(f"report{n}", START, name="shop.report"), START))
    for n in range(4):
        writer.write(commit(ended(f"new{n}", START + 5_000), START + 5_000))
    retention = parse_retention("name:shop.report 10s, state:FAILURE 6000s, 1000s")
    effect = reader.preview(retention, START + 5_010)
    assert [dropped.tasks for dropped in (*effect.rules, effect.age, effect.size)] == [6, 0, 6, 0]
    assert effect.complete
    assert 0 < effect.total.bytes < reader.state().bytes
    effect = reader.preview(retention, START + 6_010)
    assert [dropped.tasks for dropped in (*effect.rules, effect.age, effect.size)] == [6, 6, 10, 0]
    assert reader.preview(Retention(), START + 10**6).total.tasks == 0
    assert reader.preview(parse_retention("state:REVOKED 1s, 0"), START + 10**6).total.tasks == 0
    assert len(all_tasks(reader)) == 22, "a preview changes nothing"


def test_the_effect_of_a_bound_of_bytes_counts_what_age_has_left(rig: StoreRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    for n in range(12):
        writer.write(commit(ended(f"t{n}", START + n), START + n))
    assert reader.preview(Retention(size=1 << 40), START + 12).total.tasks == 0
    tight = reader.preview(Retention(size=1), START + 12)
    assert 0 < tight.size.tasks <= 12
    assert tight.size.bytes > 0
    both = reader.preview(Retention(age=5.0, size=1), START + 12)
    assert both.age.tasks == 5
    assert both.total.tasks == max(tight.total.tasks, 5)


def test_storage_is_told_part_by_part(rig: StoreRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    assert not reader.parts()
    for n in range(10):
        writer.write(commit(ended(f"t{n}", START + n * 100), START + n * 100))
    parts = reader.parts()
    assert sum(part.tasks for part in parts) == 10
    assert len({part.name for part in parts}) == len(parts)
    assert 0 < sum(part.bytes for part in parts) <= reader.state().bytes
    assert min(part.first_at for part in parts if part.first_at is not None) == START
    assert max(part.last_at for part in parts if part.last_at is not None) == START + 902
    assert [part.last_at for part in parts] == sorted((part.last_at for part in parts), reverse=True)  # type: ignore[type-var]


def maintain(rig: StoreRig, writer: object, retention: Retention, now: float) -> int:
    """Rounds of upkeep until there is nothing left to drop."""
    total = idle = 0
    for _ in range(60):
        dropped = writer.maintain(retention, now).dropped_tasks  # type: ignore[attr-defined]
        total += dropped
        idle = 0 if dropped or not rig.rolled_up(writer) else idle + 1
        if idle == rig.idle_rounds:
            break
    return total


def test_counters_only_grow_and_are_there_after_a_new_start(rig: StoreRig) -> None:
    metering = Metering()
    for number in range(3):
        events = ended(f"t{number}", START + number, failed=number == 2)
        rig.writer().write(commit(events, START + number, meters=metering.count(gather(events))))
        rig.close()
    writer = rig.writer()
    meters = rig.reader().meters()
    (pair,) = meters.events
    assert pair[0] == "shop.pay"
    assert meters.events[pair]["task-succeeded"] == 2
    assert meters.events[pair]["task-failed"] == 1
    assert sum(meters.failures.values()) == 1
    for number, seconds in enumerate((7.0, 4.0)):
        latest = {(int(Meter.PREFETCH), "shop.pay", "w1@a"): {"": (0, seconds)}}
        writer.write(commit([], START + 10 + number, meters=latest))
    assert rig.reader().meters().prefetch["shop.pay", "w1@a"] == 4.0


def test_labels_of_counters_are_bounded_and_the_rest_is_counted_together(rig: StoreRig) -> None:
    """The exception goes first, so that what is told of a task stays whole; then the task as well."""
    writer, kind = rig.writer(), int(Meter.FAILURES)
    pairs, firsts = PAIRS[kind], FIRSTS[kind]
    many = {(kind, f"task{n}", "ValueError"): {"": (1, 0.0)} for n in range(pairs)}
    more = {(kind, f"more{n}", error): {"": (1, 0.0)} for n in range(firsts + 50) for error in ("KeyError", "OSError")}
    writer.write(commit([], START, meters=many | more))
    failures = rig.reader().meters().failures
    assert len(failures) == pairs + firsts + 1
    assert failures["more0", "other"] == 2
    assert failures["other", "other"] == 100
    assert sum(failures.values()) == len(many) + len(more)
    late = START + 2 * 86_400
    writer.write(commit([], late, meters={(kind, "new", "KeyError"): {"": (1, 0.0)}}))
    assert rig.reader().meters().failures == {("other", "other"): 100, ("new", "KeyError"): 1}
