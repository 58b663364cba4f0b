"""Texts in parts that are over are found by an index; it changes no answer."""

from __future__ import annotations

from contextlib import closing

import msgspec
import pytest

from tests.conformance.store_oracle import Oracle
from tests.conformance.store_process import commit_of, history
from tests.conformance.store_rigs import PostgresRig, all_tasks
from tests.conformance.test_stores import commit, ended
from tests.stores.test_sqlite_texts import SEARCHES, contains, spoken
from tests.support.environment import wait_until
from umbel.model.event import AnyEvent, TaskReceived
from umbel.model.query import Page
from umbel.retention import Retention
from umbel.stores.postgres import PostgresWriter, grams, path_of
from umbel.stores.postgres.compile import compile_node
from umbel.stores.postgres.connect import connect

START = 1_750_000_000.0
LATER = START + 10_000.0
pytestmark = pytest.mark.timeout(300)


RIG = PostgresRig


INDEXED = (
    "SELECT relname FROM pg_class JOIN pg_index ON indexrelid = oid WHERE relname ~ '^task_[0-9]+_texts$' "
    "AND indisvalid AND relnamespace = current_schema()::regnamespace"
)


def index_all(rig: PostgresRig, writer: PostgresWriter) -> None:
    """Upkeep until all parts but the newest have their index."""

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
    monkeypatch.setattr(grams, "EXTENSION", "no_such_extension")
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
