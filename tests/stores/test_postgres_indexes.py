"""What is built of parts that are over changes no answer: indexes of texts and filters, and the filter of ids."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.store_oracle import Oracle, check
from tests.conformance.store_process import commit_of, history
from tests.conformance.store_rigs import PostgresRig, all_tasks
from tests.conformance.test_stores import SPAN, commit, ended, task_events
from tests.stores.test_sqlite_texts import SEARCHES, contains, spoken
from tests.support.environment import wait_until
from umbel.model.event import AnyEvent, TaskReceived
from umbel.model.query import Compare, Field, Op, Page
from umbel.retention import Retention
from umbel.stores.postgres import PostgresWriter, indexes, path_of, places
from umbel.stores.postgres.compile import compile_node
from umbel.stores.postgres.connect import connect
from umbel.stores.postgres.indexes import build_facets

START = 1_750_000_000.0
LATER = START + 10_000.0
pytestmark = pytest.mark.timeout(300)


RIG = PostgresRig


INDEXED = (
    "SELECT relname FROM pg_class JOIN pg_index ON indexrelid = oid WHERE relname ~ '^task_[0-9]+_texts$' "
    "AND indisvalid AND relnamespace = current_schema()::regnamespace"
)


def index_all(rig: PostgresRig, writer: PostgresWriter) -> None:
    """Upkeep until all parts but the newest have everything, the index of texts last."""

    def step() -> bool:
        writer.maintain(Retention(), LATER)
        with closing(connect(path_of(rig.url), "test", {})) as connection:
            (parts,) = connection.execute("SELECT count(*) FROM part").fetchone() or (0,)
            return len(connection.execute(INDEXED).fetchall()) == int(parts) - 1

    wait_until(step, "an index of texts for each part")


def test_a_search_finds_the_same_where_texts_are_indexed_and_what_came_later(rig: PostgresRig) -> None:
    writer, reader = rig.writer(small=False), rig.reader()
    events: list[AnyEvent] = []
    for number, batch in enumerate(history()[:60]):
        told = [spoken(event, len(events) + at) for at, event in enumerate(batch)]
        events += told
        writer.write(commit_of(number, told))
    index_all(rig, writer)
    first = next(event for event in events if isinstance(event, TaskReceived))
    late = msgspec.structs.replace(first, timestamp=first.timestamp + 9, args="('customer-17 \\ 100%_',)")
    writer.write(commit_of(99, [late]))
    oracle = Oracle([*events, late])
    # NUL is written with a digit here, which a search for that digit alone finds.
    searches = [where for where in SEARCHES if where != contains("0")]
    for where in [*searches, contains("\\ 100%_"), contains("0%0"), contains(first.uuid[:13].upper())]:
        assert {task.id for task in all_tasks(reader, where, 200)} == oracle.matching(where), where
        assert reader.count(where).n == len(oracle.matching(where))


def test_the_index_can_answer_what_searches_ask(rig: PostgresRig) -> None:
    """The planner takes it for large parts; here it is left no other way."""
    writer = rig.writer()
    for number in range(2):
        at = START + number
        writer.write(commit([event for n in range(3) for event in ended(f"task-{number}-{n}", at)], at=at))
    index_all(rig, writer)
    condition = compile_node(contains("valueerror"))
    with closing(connect(path_of(rig.url), "test", {"enable_seqscan": "off", "enable_indexscan": "off"})) as connection:
        sql = f"EXPLAIN SELECT 1 FROM task_000001 WHERE {condition.hint} AND ({condition.sql})"
        plan = connection.execute(sql.encode(), (*condition.hint_parameters, *condition.parameters)).fetchall()
    assert "Bitmap Index Scan on task_000001_texts" in str(plan)


@pytest.mark.parametrize(
    ("field", "op", "value", "index"),
    [
        (Field.STATE, Op.EQ, "FAILURE", "state"),
        (Field.WORKER, Op.EQ, "w1@a", "worker"),
        (Field.QUEUE, Op.EQ, "mail", "queue"),
        (Field.RUN, Op.GT, 2.5, "run"),
        (Field.WAIT, Op.LE, 0.1, "wait"),
    ],
)
def test_the_indexes_of_facets_can_answer_what_filters_ask(
    rig: PostgresRig, field: Field, op: Op, value: str | float, index: str
) -> None:
    writer = rig.writer()
    with closing(connect(path_of(rig.url), "test", {"enable_seqscan": "off"})) as connection:
        writer.write(commit(ended("task-1", START), at=START))
        assert build_facets(connection, path_of(rig.url), 1)
        condition = compile_node(Compare(field, op, value))
        sql = f"EXPLAIN SELECT 1 FROM task_000001 WHERE {condition.sql}"
        assert f"task_000001_{index}" in str(connection.execute(sql.encode(), condition.parameters).fetchall())


def test_with_filters_of_ids_every_task_stays_in_its_part_and_others_are_told_new(rig: PostgresRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    events: list[AnyEvent] = []
    for number in range(4):
        told = [event for n in range(3) for event in task_events(f"task-{number}-{n}", START + number)]
        writer.write(commit(told, at=START + number))
        events += told
    index_all(rig, writer)
    second = rig.writer()
    late = [event for number in range(6) for n in range(3) for event in ended(f"task-{number}-{n}", START + number)]
    second.write(commit(late, at=START + 9))
    writer.write(commit(late, at=START + 9))
    events += late
    check(reader, events, SPAN)
    assert second._places is not None
    assert len(second._places._filters) == 3
    with closing(connect(path_of(rig.url), "test", {})) as connection:
        found = connection.execute("SELECT part, count(*) FROM task GROUP BY part ORDER BY part").fetchall()
    assert [count for _, count in found[:3]] == [3, 3, 3]
    assert sum(count for _, count in found) == 18


@given(st.sets(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=50))
def test_a_filter_holds_every_id_that_it_was_made_of_and_few_others(ids: set[str]) -> None:
    assert sorted(within(ids, ids)) == sorted(ids)
    others = [f"{number:032x}" for number in range(1_000)]
    assert len(within(ids, others)) <= 40


def within(ids: set[str], asked: Iterable[str]) -> list[str]:
    return places.may_hold(places.make(ids, len(ids)), [(id_, places.hashes_of(id_)) for id_ in asked])


def test_a_half_built_index_is_built_anew(rig: PostgresRig) -> None:
    writer = rig.writer()
    for number in range(2):
        at = START + number
        writer.write(commit([event for n in range(3) for event in ended(f"task-{number}-{n}", at)], at=at))
    with closing(connect(path_of(rig.url), "test", {})) as connection:
        connection.execute("CREATE INDEX task_000001_texts ON task_000001 (n)")
        # As one that was interrupted is left behind.
        connection.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'task_000001_texts'::regclass")
    index_all(rig, writer)
    with closing(connect(path_of(rig.url), "test", {})) as connection:
        made = connection.execute("SELECT pg_get_indexdef('task_000001_texts'::regclass)").fetchone()
    assert made
    assert "gin_trgm_ops" in made[0]


def test_without_the_extension_texts_are_read_and_it_is_said_once(
    rig: PostgresRig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that has none, and one that does not let us make it, both refuse the statement."""
    monkeypatch.setattr(indexes, "EXTENSION", "no_such_extension")
    writer, reader = rig.writer(), rig.reader()
    for number in range(3):
        at = START + number
        writer.write(commit([event for n in range(3) for event in ended(f"task-{number}-{n}", at, failed=True)], at=at))
    writer.maintain(Retention(), LATER)
    wait_until(lambda: "CREATE EXTENSION no_such_extension" in caplog.text, "the refusal to be said")
    for hours in range(5):
        writer.maintain(Retention(), LATER + 3_600 * hours)
    assert caplog.text.count("have a superuser run CREATE EXTENSION") == 1
    assert len(reader.tasks(contains("valueerror"), Page()).items) == 9
