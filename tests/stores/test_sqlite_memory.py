"""What a writer remembers of segments that take no new tasks any more, and readers of segments that they look into."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import msgspec

from tests.conformance.store_process import START
from tests.conformance.test_stores import commit, ended
from umbel.model.event import AnyEvent, TaskReceived, TaskStarted, TaskSucceeded
from umbel.stores.sqlite import SqliteReader, SqliteWriter, plain, series, vocabulary, words
from umbel.stores.sqlite.sessions import Session
from umbel.stores.sqlite.vocabulary import Vocabulary

#: Tasks of a segment, each with a name and a worker of its own.
TASKS = 4_000


def remembered() -> int:
    """Bytes that names, workers and routes take."""
    modules = (words, plain, vocabulary)
    here = [tracemalloc.Filter(inclusive=True, filename_pattern=str(module.__file__)) for module in modules]
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(here).traces)


def test_of_a_segment_that_is_full_few_names_and_workers_are_remembered(tmp_path: Path) -> None:
    writer = SqliteWriter(tmp_path / "umbel.db", segment_tasks=TASKS)
    writer.open()
    tracemalloc.start()
    try:
        sizes = []
        for segment in range(3):
            events: list[AnyEvent] = []
            for n in range(TASKS):
                worker, id_ = f"w{n}@{segment}", f"{segment}-{n}"
                name = f"shop.{segment}.{n}"
                events += (
                    TaskReceived(hostname=worker, pid=n, timestamp=START, uuid=id_, name=name),
                    TaskStarted(hostname=worker, pid=n, timestamp=START + 1, uuid=id_),
                    TaskSucceeded(hostname=worker, pid=n, timestamp=START + 2, uuid=id_),
                )
            writer.write(commit(events, START))
            sizes.append(remembered())
    finally:
        tracemalloc.stop()
    writer.close()
    assert sizes[0] > 400_000
    assert sizes[2] < 1.2 * sizes[0]


def test_names_that_many_segments_have_are_remembered_once_by_all_sessions_of_a_reader(tmp_path: Path) -> None:
    writer = SqliteWriter(tmp_path / "umbel.db", segment_tasks=TASKS)
    writer.open()
    for segment in range(4):
        tasks = [ended(f"{segment}-{n}", START + segment, name=f"shop.of-a-long-name.{n}") for n in range(TASKS)]
        writer.write(commit([event for task in tasks for event in task], START))
    writer.close()
    reader = SqliteReader(tmp_path / "umbel.db")
    sizes = []

    def look(session: Session, *numbers: int) -> None:
        for number in numbers:
            opened = session.segment(number)
            assert opened is not None
            assert all(opened.word(n) for n in range(1, TASKS))
        sizes.append(remembered())

    with reader._sessions.use() as one, reader._sessions.use() as other:
        first, *others = [listed.number for listed in one.segments()]
        assert len(others) == 3
        tracemalloc.start()
        try:
            look(one, first)
            look(one, *others)
            look(other, first, *others)
        finally:
            tracemalloc.stop()
        names = series.by_name(other, START - 60, START + 600)
    reader.close()
    assert len(names) == TASKS
    assert sizes[0] > 300_000
    assert sizes[1] < 1.6 * sizes[0]
    assert sizes[2] < 1.05 * sizes[1]


def test_words_are_remembered_within_a_bound_and_forgotten_ones_are_found_again() -> None:
    known = Vocabulary(words=1_000)
    for file in range(50):
        numbered = known.of(file)
        assert [numbered.keep(n, f"{file}-{n}") for n in (1, 250)] == [f"{file}-1", f"{file}-250"]
        assert known.of(file) is numbered
        assert known.size <= 1_000 + 251
    assert known.of(0).words == []
    # What stands beyond is read each time, not remembered.
    numbered = known.of(99)
    assert numbered.keep(words.REMEMBERED, "far") == "far"
    assert numbered.words == []


def test_words_of_several_parts_are_the_same_in_all_segments() -> None:
    known = Vocabulary()
    stored = msgspec.msgpack.encode(("w1@a", 7))
    assert known.of(1).keep(3, stored) == ["w1@a", 7]
    assert known.of(2).keep(5, bytes(stored)) is known.of(1).words[3]


def test_of_a_store_that_another_has_replaced_nothing_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "umbel.db"
    reader = SqliteReader(path)
    memories = []
    for name in ("shop.before", "shop.after"):
        for file in tmp_path.rglob("*"):
            if file.is_file():
                file.unlink()
        writer = SqliteWriter(path)
        writer.open()
        writer.write(commit(ended("t", START, name=name), START))
        writer.close()
        assert [point.name for point in reader.rollup_names(START - 60, START + 60)] == [name]
        memories.append(reader._sessions._memory)
    reader.close()
    assert memories[0] is not memories[1]
