"""What only ClickHouse has: its URL, its clusters, its bounds, and how it says what is wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conformance.store_rigs import ClickHouseRig
from tests.conformance.test_stores import commit, task_events
from tests.services import UmbelProcess
from tests.strategies import START
from tests.support.clickhouse import ClickHouseServer, unique
from tests.support.environment import free_port
from umbel.errors import StoreBusy, StoreError
from umbel.model.event import EventClass
from umbel.model.ledger import LedgerEntry, Quarantined, Reason
from umbel.model.query import Compare, Field, Op, Page
from umbel.model.worker import fold_workers
from umbel.retention import Retention
from umbel.stores.base import Commit
from umbel.stores.clickhouse import ClickHouseReader, ClickHouseWriter, schema, upkeep, weed
from umbel.stores.clickhouse.anchors import Anchors
from umbel.stores.clickhouse.connection import Connection
from umbel.stores.clickhouse.spans import runs_of
from umbel.stores.clickhouse.target import Layout, Target, target_of

RIG = ClickHouseRig


def test_a_url_names_server_database_user_and_cluster() -> None:
    assert target_of("clickhouse://h") == Target("h", 8123, "umbel", "default", "")
    assert target_of("clickhouse://u:p%40w@h:1/db") == Target("h", 1, "db", "u", "p@w")
    assert target_of("clickhouse+https://h/db") == Target("h", 8443, "db", secure=True)
    secure = target_of("clickhouse://h/db?secure=1&verify=0&ca_cert=/ca.pem&cluster=main")
    assert (secure.port, secure.secure, secure.verify, secure.ca_cert, secure.cluster) == (
        8443,
        True,
        False,
        "/ca.pem",
        "main",
    )
    assert "p@w" not in target_of("clickhouse://u:p%40w@h:1/db").address


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("clickhouse://", "names no ClickHouse server"),
        ("clickhouse://h:x/db", "port is no number"),
        ("clickhouse://h/a-b", "cannot be a database"),
        ("clickhouse://h/db?cluster=a'b", "cannot be a cluster"),
        ("clickhouse://h/db?secure=maybe", "0 or 1 is expected"),
        ("clickhouse://h/db?sekure=1", "unknown option sekure"),
    ],
)
def test_a_url_that_names_nothing_is_refused_in_words(url: str, said: str) -> None:
    with pytest.raises(StoreError, match=said):
        target_of(url)


def test_a_walk_is_parted_only_by_spans_that_it_leaves_out() -> None:
    assert runs_of([1, 2, 5, 7, 9], [True, True, True, False, True], 10) == [(10, 60), (90, 100)]
    assert runs_of([1, 2], [False, False], 10) == []


def test_what_is_wrong_with_a_server_is_said_with_the_remedy(
    clickhouse_factory: Callable[..., ClickHouseServer],
) -> None:
    server = clickhouse_factory(credentials=("umbel", "secret"))
    good = Target("127.0.0.1", server.port, unique(), "umbel", "secret")
    with pytest.raises(StoreBusy, match="is the server up"):
        ClickHouseWriter(Target("127.0.0.1", free_port(), good.database)).open()
    with pytest.raises(StoreError, match="check user and password") as refused:
        ClickHouseWriter(Target("127.0.0.1", server.port, good.database, "umbel", "wrong")).open()
    assert not isinstance(refused.value, StoreBusy)
    assert "wrong" not in str(refused.value).replace("wrong password", "")
    writer = ClickHouseWriter(good)
    writer.open()
    writer.write(commit(task_events("t")))
    Connection(good).command(f"DROP DATABASE {good.database}", in_database=False)
    with pytest.raises(StoreBusy, match="new ones are being made"):
        writer.write(commit(task_events("t")))
    writer.write(commit(task_events("t")))
    assert ClickHouseReader(good).state().books.stored == 2


def test_a_store_of_a_newer_umbel_is_refused_with_the_remedy(rig: ClickHouseRig) -> None:
    rig.writer()
    connection = Connection(rig.target)
    connection.insert("migration", schema.COLUMNS, [(99, "later", START)])
    with pytest.raises(StoreError, match="upgrade Umbel"):
        rig.writer()
    connection.close()


def test_the_tables_of_a_cluster_are_what_the_engine_understands(rig: ClickHouseRig) -> None:
    """It parses them; there is no cluster to run them on."""
    rig.writer()
    target = Target("h", database="umbel", cluster="main", layout=Layout())
    connection = Connection(rig.target)
    scripts = [schema.SQL["make_migration"] + ";\n", *(step.script for step in schema.MIGRATIONS)]
    found = [sql for script in scripts for sql in schema.statements(script, target)]
    for sql in found:
        connection.query(f"EXPLAIN AST {sql}")
    made = [sql for sql in found if "Distributed(" in sql]
    assert len(made) == len(schema.SHARDING)
    assert all("ON CLUSTER 'main'" in sql for sql in found)
    assert sum("ENGINE = Replicated" in sql for sql in found) == len(schema.SHARDING)
    texts = {"kind": "", "key": ""}
    numbers = dict.fromkeys(("rows", "bytes", "at", "low", "high", "oldest", "before", "most"), 1)
    words: dict[str, str | int] = {
        "table": "task",
        "number": 1,
        "span": 1,
        "low": 1,
        "high": 2,
        "cutoff": "1",
        "told": "SELECT 1 AS n0",
    }
    for name, text in {**upkeep.SQL, **weed.SQL}.items():
        sql = schema.fill(text, target, **words)
        connection.query(f"EXPLAIN AST {sql}", {**texts, **numbers, "old": []})
        changes = sql.startswith(("ALTER", "DELETE", "TRUNCATE"))
        assert changes == ("_local" in sql), name
        # Replicas run a deletion each for itself, so what is to go is named, or written down.
        assert not sql.startswith("DELETE") or sql.count("SELECT") == sql.count("SELECT id FROM doomed_local"), name
    connection.close()


def test_what_is_remembered_of_tasks_is_bounded_in_count_and_bytes() -> None:
    anchors = Anchors(ids=10, size=1 << 30)
    anchors.of([f"t{n}" for n in range(100)], START)
    anchors.trim()
    kept = anchors.of([f"t{n}" for n in range(90, 100)], START)
    assert max(kept.values()) == int(START * 1e6) + 99
    small = Anchors(ids=1_000, size=2_000)
    small.of([f"t{n}" for n in range(100)], START)
    small.trim()
    assert len(small._known) < 10


def test_the_quarantine_and_the_ledger_in_clickhouse_are_bounded_in_count_and_bytes(
    rig: ClickHouseRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "BOUNDS", {"ledger": (3, 0), "quarantine": (5, 250), "name": (2, 0)})
    writer, reader = rig.writer(), rig.reader()
    for n in range(8):
        bad = Quarantined(START + n, Reason.MALFORMED, "no", "text/plain", b"x" * 60)
        entry = LedgerEntry(Reason.MALFORMED, EventClass.UNKNOWN, START + n * 60, START + n * 60, 1)
        writer.write(
            Commit(
                at=START + n, tasks=commit(task_events(f"t{n}", name=f"n{n}")).tasks, quarantine=[bad], ledger=[entry]
            )
        )
    writer.maintain(Retention(), START + 100)
    assert [found.at for found in reader.quarantine()] == [START + n for n in (7, 6, 5, 4)]
    assert [found.first_at for found in reader.ledger()] == [START + n * 60 for n in (7, 6, 5)]
    assert list(reader.names()) == ["n7", "n6"]
    assert reader.state().quarantined == 4


def test_workers_that_are_gone_are_forgotten_with_the_retention(rig: ClickHouseRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    writer.write(Commit(at=START, workers=fold_workers(task_events("t"), START)))
    writer.maintain(Retention(age=100), START + 50)
    assert len(reader.workers()) == 1
    writer.maintain(Retention(age=100), START + 150)
    assert not reader.workers()


def test_a_search_finds_any_text_as_it_was_written(rig: ClickHouseRig) -> None:
    """What has a meaning in SQL, in patterns or in parameters has none in a search."""
    writer, reader = rig.writer(), rig.reader()
    texts = ["a'b", "a\\b", "a%b", "a_b", "a\tb\nc", "{p0:String}", "a\\'; DROP TABLE task; --", "a*b", "ä\x01✿"]
    for text in texts:
        writer.write(commit(task_events(text, name=text)))
    for text in texts:
        for op in (Op.EQ, Op.CONTAINS, *([Op.GLOB] if "*" not in text else [])):
            found = reader.tasks(Compare(Field.NAME, op, text), Page(50)).items
            assert [summary.name for summary in found] == [text], (op, text)
    found = reader.tasks(Compare(Field.NAME, Op.GLOB, "a*b"), Page(50)).items
    assert {summary.name for summary in found} == {"a'b", "a\\b", "a%b", "a_b", "a*b"}


@pytest.mark.slow
def test_the_commands_work_on_a_clickhouse_store(
    clickhouse_factory: Callable[..., ClickHouseServer], umbel_process: Callable[..., UmbelProcess]
) -> None:
    url = clickhouse_factory(credentials=("umbel", "secret")).url()
    target = target_of(url)
    writer = ClickHouseWriter(target)
    writer.open()
    writer.write(commit(task_events("t1"), START))
    writer.close()
    listed = umbel_process("tasks", "name:shop.*", "--format", "json", "--store", url)
    assert listed.wait(60) == 0
    assert '"id":"t1"' in listed.output()
    told = umbel_process("db", "--store", url)
    assert told.wait(60) == 0
    assert "tasks        1" in told.output()
    assert ":secret@" not in told.output()
    web = umbel_process("web", "--store", url, "--broker", "memory://")
    assert [task["id"] for task in web.json("/api/v1/tasks?q=state:STARTED")["items"]] == ["t1"]
    assert web.get("/")
