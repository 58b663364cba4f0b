"""Looking tasks up by their ids in an open segment, whose index has stretches, and in one of an older Umbel."""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

import pytest

from tests.conformance.test_stores import commit
from tests.stores.test_sqlite_parts import whole
from tests.strategies import START
from umbel.model.query import Page
from umbel.model.search import parse
from umbel.stores.sqlite import SqliteKeeper, SqliteReader, SqliteWriter
from umbel.stores.sqlite.ids import WITH_ID, to_key
from umbel.stores.sqlite.segment import MIGRATIONS

#: More than two stretches of 8,192.
TASKS = 17_000
#: The first and last of each stretch, as numbers begin with 0 or 1, and one amid the last.
ASKED = (0, 1, 8_190, 8_191, 8_192, 16_382, 16_383, 16_384, 16_700, TASKS - 1)


def id_of(number: int) -> str:
    return str(uuid.UUID(int=number))


def segment_of(store: Path) -> Path:
    return store.with_name(f"{store.name}.segments") / "000001.db"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one open segment; not to be changed."""
    store = tmp_path_factory.mktemp("ids") / "umbel.db"
    writer = SqliteWriter(store)
    writer.open()
    for first in range(0, TASKS, 5_000):
        numbers = range(first, min(first + 5_000, TASKS))
        writer.write(commit([event for number in numbers for event in whole(number)]))
    writer.close()
    return store


def copy(stored: Path, target: Path) -> Path:
    target.mkdir()
    for file in (stored, segment_of(stored)):
        place = target / file.relative_to(stored.parent)
        place.parent.mkdir(exist_ok=True)
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(place)) as copied:
            source.backup(copied)
    return target / stored.name


def as_before(segment: Path) -> None:
    """Give a segment the table and the indexes that the migrations alone make."""
    with closing(sqlite3.connect(":memory:")) as older:
        for migration in MIGRATIONS:
            older.executescript(migration.script)
        made = [sql for (sql,) in older.execute("SELECT sql FROM sqlite_schema WHERE tbl_name = 'task' AND sql <> ''")]
        columns = older.execute("PRAGMA table_info (task)").fetchall()
    with closing(sqlite3.connect(segment)) as file, file:
        assert file.execute("PRAGMA table_info (task)").fetchall() == columns
        file.execute("ALTER TABLE task RENAME TO newer")
        named = file.execute("SELECT name FROM sqlite_schema WHERE tbl_name = 'newer' AND type = 'index'").fetchall()
        for (index,) in named:
            file.execute(f"DROP INDEX {index}")
        for sql in sorted(made, reverse=True):
            file.execute(sql)
        file.execute("INSERT INTO task SELECT * FROM newer")
        file.execute("DROP TABLE newer")


def check(store: Path) -> None:
    with closing(SqliteReader(store, budget=120.0)) as reader:
        found = reader.records([*map(id_of, ASKED), id_of(TASKS), "no-uuid"])
        assert sorted(found) == sorted(map(id_of, ASKED))
        assert {id_: task.id for id_, task in found.items()} == {id_: id_ for id_ in found}
        for number in ASKED:
            page = reader.tasks(parse(f"id:{id_of(number)}", START), Page(10))
            assert [task.id for task in page.items] == [id_of(number)]
        page = reader.tasks(parse(id_of(8_192)[:-2], START), Page(500))
        assert {task.id for task in page.items} == {id_of(number) for number in range(8_192, 8_192 + 256)}


@pytest.mark.parametrize("older", [False, True])
def test_tasks_are_found_by_their_ids_in_every_stretch_and_never_stored_twice(
    stored: Path, tmp_path: Path, *, older: bool
) -> None:
    store = copy(stored, tmp_path / "store")
    if older:
        as_before(segment_of(store))
    check(store)
    writer = SqliteWriter(store)
    writer.open()
    writer.write(commit([event for number in ASKED for event in whole(number)]))
    writer.close()
    check(store)
    with closing(sqlite3.connect(segment_of(store))) as file:
        assert file.execute("SELECT count(*), count(DISTINCT id) FROM task").fetchone() == (TASKS, TASKS)
    assert [finding.problem for finding in SqliteKeeper(store).check() if finding.problem] == []


def test_a_look_up_asks_each_stretch_by_its_index_and_walks_over_nothing(stored: Path) -> None:
    with closing(sqlite3.connect(segment_of(stored))) as file:
        plan = file.execute(f"EXPLAIN QUERY PLAN {WITH_ID} = ?", (to_key(id_of(1)),)).fetchall()
    steps = [step for *_, step in plan]
    assert any("task_id (<expr>=? AND id=?)" in step for step in steps)
    assert not any(step == "SCAN task" for step in steps)
