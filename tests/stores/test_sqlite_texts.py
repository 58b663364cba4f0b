"""Texts of segments that are not sealed are packed and remembered by readers; no change since is ever missed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.conformance.store_oracle import Oracle
from tests.conformance.store_process import START, commit_of, history
from tests.conformance.store_rigs import all_tasks
from tests.conformance.test_stores import commit, ended
from umbel.clock import ManualClock
from umbel.model.event import AnyEvent, TaskReceived, TaskStarted, TaskSucceeded
from umbel.model.query import And, Compare, Field, Node, Not, Op, Or, Order, Page
from umbel.retention import Retention
from umbel.stores.sqlite import SqliteReader, SqliteWriter, texts
from umbel.stores.sqlite.packs import Packed, Packs


def contains(value: str, field: Field = Field.TEXT) -> Compare:
    return Compare(field, Op.CONTAINS, value)


def spoken(event: AnyEvent, number: int) -> AnyEvent:
    """The event with arguments that no other has."""
    if not isinstance(event, TaskReceived):
        return event
    return msgspec.structs.replace(
        event, args=f"('Customer-{number % 700}', 'Ä\0ö {number}')", kwargs="{'City': 'Celle'}"
    )


SEARCHES: list[Node] = [
    contains("customer-17"),
    contains("nowhere"),
    contains("valueerror", Field.EXCEPTION),
    contains("keyerror"),
    contains("'Ä\0ö 99"),
    contains("0"),
    Compare(Field.ARGS, Op.GLOB, "*Customer-1*99)"),
    Compare(Field.RESULT, Op.EQ, "1"),
    And((contains("Customer-2", Field.ARGS), Compare(Field.STATE, Op.EQ, "FAILURE"))),
    Or((contains("customer-33"), contains("celle", Field.KWARGS))),
    Or((contains("customer-44"), Compare(Field.RUN, Op.GT, 1.0))),
    Not(contains("customer-5")),
]


def test_after_each_commit_a_search_finds_what_a_walk_through_all_tasks_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late, doubled and shuffled events among them; the reader has packed what came before."""
    monkeypatch.setattr(texts, "ROWS", 16)
    writer = SqliteWriter(tmp_path / "umbel.db", segment_tasks=700)
    writer.open()
    reader = SqliteReader(tmp_path / "umbel.db", budget=60.0)
    events: list[AnyEvent] = []
    for number, batch in enumerate(history()[:80]):
        batch = [spoken(event, len(events) + at) for at, event in enumerate(batch)]  # noqa: PLW2901 - with texts
        events += batch
        writer.write(commit_of(number, batch))
        if number % 20 != 19:
            continue
        oracle = Oracle(events)
        for at, where in enumerate(SEARCHES):
            order = Order.OLDEST if at % 2 else Order.NEWEST
            assert {task.id for task in all_tasks(reader, where, 200, order)} == oracle.matching(where), where
    assert reader._sessions._memory.packs.size
    reader.close()
    writer.close()


def test_what_came_after_a_tasks_end_or_ended_since_it_was_packed_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "ROWS", 4)
    writer = SqliteWriter(tmp_path / "umbel.db")
    writer.open()
    reader = SqliteReader(tmp_path / "umbel.db")
    running = "task-2"
    tasks = [ended(f"task-{number}", START + number) for number in range(8)]
    # The last event of a task is its end.
    writer.write(commit([event for number, task in enumerate(tasks) for event in task[: -1 if number == 2 else None]]))

    assert not reader.tasks(contains("lately"), Page()).items
    assert reader._sessions._memory.packs.size
    again = TaskReceived(
        hostname="w1@a", pid=1, timestamp=START + 20, uuid="task-5", name="shop.pay", args="('lately',)"
    )
    done = TaskSucceeded(hostname="w1@a", pid=1, timestamp=START + 9, uuid=running, result="'lately'", runtime=1.0)
    writer.write(commit([again, done]))

    assert [task.id for task in reader.tasks(contains("lately"), Page()).items] == ["task-5", "task-2"]
    assert reader.count(contains("lately")).n == 2
    reader.close()
    writer.close()


def test_a_task_begins_to_be_remembered_once_it_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every search would ask for it again."""
    monkeypatch.setattr(texts, "ROWS", 4)
    monkeypatch.setattr(texts, "UNFINISHED", 1)
    writer = SqliteWriter(tmp_path / "umbel.db")
    writer.open()
    reader = SqliteReader(tmp_path / "umbel.db")
    begun = [TaskStarted(hostname="w1@a", pid=1, timestamp=START + n, uuid=f"task-{n}") for n in range(4)]
    writer.write(commit([*begun]))
    reader.tasks(contains("done"), Page())
    assert reader._sessions._memory.packs.size == 0

    ends = [
        TaskSucceeded(hostname="w1@a", pid=1, timestamp=START + 9, uuid=f"task-{n}", result="done", runtime=1.0)
        for n in range(3)
    ]
    writer.write(commit([*ends]))
    assert len(reader.tasks(contains("done"), Page()).items) == 3
    first = reader._sessions._memory.packs.size
    assert first
    last = TaskSucceeded(hostname="w1@a", pid=1, timestamp=START + 9, uuid="task-3", result="done", runtime=1.0)
    writer.write(commit([last]))
    assert len(reader.tasks(contains("done"), Page()).items) == 4
    assert reader._sessions._memory.packs.size > first
    reader.close()
    writer.close()


def test_a_segment_that_is_sealed_while_it_is_searched_is_searched_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "ROWS", 2)
    writer = SqliteWriter(tmp_path / "umbel.db", clock=ManualClock(START), segment_tasks=8, quiet=0.0)
    writer.open()
    reader = SqliteReader(tmp_path / "umbel.db", budget=60.0)
    for first in (0, 8):
        writer.write(commit([event for n in range(8) for event in ended(f"task-{first + n}", START + n)], START))
    remembered = texts.Texts.remembered

    def sealing(self: texts.Texts, low: int) -> Packed | None:
        while low == 7 and not reader.parts()[-1].sealed:
            writer.maintain(Retention(), START + 100)
        return remembered(self, low)

    monkeypatch.setattr(texts.Texts, "remembered", sealing)
    assert len(reader.tasks(contains("1", Field.RESULT), Page()).items) == 16
    assert reader.parts()[-1].sealed
    reader.close()
    writer.close()


def test_packed_texts_are_bounded_and_the_newest_stay() -> None:
    packs = Packs(limit=100)
    for low in (5, 1, 9, 7, 3):
        packs.keep(low, Packed(("file",), b"x" * 40, ()))
        assert packs.size <= 100
    assert [low for low in range(10) if packs.get(low, ("file",))] == [7, 9]
    assert packs.get(9, ("another file",)) is None
