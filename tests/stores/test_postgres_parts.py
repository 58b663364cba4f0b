"""The PostgreSQL store's parts: URLs, what is said of a server that does not do, texts, upkeep, bounds."""

from __future__ import annotations

import functools
from contextlib import closing
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.store_oracle import check
from tests.conformance.store_rigs import PostgresRig, all_tasks
from tests.conformance.test_stores import SPAN, commit, ended, maintain, task_events
from tests.strategies import START
from tests.support.environment import free_port
from tests.support.postgres import PASSWORD, USER, PostgresServer
from umbel.errors import StoreBusy, StoreError
from umbel.model.event import AnyEvent, EventClass, TaskFailed, TaskReceived
from umbel.model.ledger import LedgerEntry, Quarantined, Reason
from umbel.model.query import NUMBERS, And, Compare, Field, Not, Op, Order, Page
from umbel.model.worker import Worker
from umbel.retention import parse_retention
from umbel.runtime.stores import shown
from umbel.stores.base import Commit, Position
from umbel.stores.postgres import PostgresKeeper, PostgresReader, PostgresWriter, books, path_of, zones
from umbel.stores.postgres.compile import compile_node
from umbel.stores.postgres.connect import Connection, connect
from umbel.stores.postgres.scan import Scan
from umbel.stores.postgres.target import Target
from umbel.stores.postgres.text import key_of, sought, stored, told

pytestmark = pytest.mark.timeout(300)


RIG = PostgresRig


# URLs


def test_a_url_names_database_and_schema_and_is_shown_without_its_password() -> None:
    target = path_of("postgresql://ann:s%23cret@db.internal:6432/team?sslmode=require&schema=second")
    assert (target.schema, str(target)) == ("second", "postgresql://ann@db.internal:6432/team?schema=second")
    assert "sslmode=require" in target.conninfo
    assert "schema" not in target.conninfo
    assert "cret" not in repr(target)
    assert path_of("postgresql:///umbel").schema == "umbel"


def test_no_password_is_shown_of_any_stores_url() -> None:
    assert shown("postgresql://ann:s%23cret@db/team?sslmode=require") == "postgresql://ann:***@db/team?sslmode=require"
    assert shown("postgresql://ann@db:5432/team") == "postgresql://ann@db:5432/team"
    assert shown("sqlite:////var/lib/umbel/a:b@c.db") == "sqlite:////var/lib/umbel/a:b@c.db"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db/umbel?schema=Second",
        "postgresql://db/umbel?schema=x;y",
        "postgresql://db/umbel?schema=pg_catalog",
        "postgresql://db/umbel?no_such=1",
        "postgresql://db:port/umbel",
    ],
)
def test_a_url_that_cannot_be_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(StoreError, match=r"as in postgresql://umbel@db\.internal/umbel"):
        path_of(url)


# What is said of a server that does not do


def _open(url: str) -> None:
    with closing(PostgresWriter(path_of(url))) as writer:
        writer.open()


def test_what_is_wrong_with_a_server_is_said_with_its_remedy(postgres_server: PostgresServer) -> None:
    port, secret = postgres_server.port, quote(PASSWORD, safe="")
    with pytest.raises(StoreBusy, match="cannot be reached; is PostgreSQL running there"):
        _open(f"postgresql://umbel@127.0.0.1:{free_port()}/umbel")
    with pytest.raises(StoreError, match="does not let us in; set the user and password") as wrong:
        _open(f"postgresql://{USER}:wrong@127.0.0.1:{port}/postgres")
    assert not isinstance(wrong.value, StoreBusy)
    with pytest.raises(StoreError, match="does not let us in"):
        _open(f"postgresql://nobody:{secret}@127.0.0.1:{port}/postgres")
    with pytest.raises(StoreError, match="a database that is not there; create it: createdb") as missing:
        _open(f"postgresql://{USER}:{secret}@127.0.0.1:{port}/no_such")
    assert secret not in str(missing.value)
    _open(f"postgresql://{USER}:{secret}@127.0.0.1:{port}/postgres?schema=right_password")


def test_a_right_that_is_missing_is_named(postgres_server: PostgresServer) -> None:
    with postgres_server.connect() as admin:
        admin.execute("CREATE ROLE powerless LOGIN")
        admin.execute("CREATE DATABASE guarded")
    with pytest.raises(StoreError, match="GRANT CREATE, TEMPORARY ON DATABASE"):
        _open(postgres_server.url("guarded").replace(USER, "powerless", 1))


def test_a_database_that_cannot_hold_every_text_is_refused(postgres_server: PostgresServer) -> None:
    with postgres_server.connect() as admin:
        admin.execute("CREATE DATABASE narrow ENCODING 'LATIN1' TEMPLATE template0")
    with pytest.raises(StoreError, match="ENCODING 'UTF8'"):
        _open(postgres_server.url("narrow"))


class _Pooled:
    """A connection through a pooler: it tells a number of its own, and may be served by a process that others share."""

    def __init__(self, served: Any) -> None:
        self._served = served
        self.info = SimpleNamespace(
            backend_pid=-1, server_version=served.info.server_version, parameter_status=served.info.parameter_status
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._served, name)


def test_a_pooler_that_keeps_no_sessions_is_refused_and_one_that_does_is_not(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = path_of(postgres_server.url())
    genuine = psycopg.connect
    monkeypatch.setattr(psycopg, "connect", lambda *given, **options: _Pooled(genuine(*given, **options)))
    connect(target, "test", {}).close()
    with closing(postgres_server.connect()) as shared:
        monkeypatch.setattr(psycopg, "connect", lambda *_, **__: _Pooled(shared))
        with pytest.raises(StoreError, match="pool_mode = session"):
            connect(target, "test", {})


def test_another_programs_schema_is_left_alone(rig: PostgresRig) -> None:
    with rig.other() as other:
        other.execute(f"CREATE SCHEMA {rig.schema}")
        other.execute("CREATE TABLE invoice (id integer)")
    with pytest.raises(StoreError, match="another program's tables"):
        rig.writer()
    with pytest.raises(StoreError, match="no store yet"):
        rig.reader().state()


def test_a_store_of_a_newer_umbel_is_left_alone(rig: PostgresRig) -> None:
    """Others may use it: it is theirs to keep."""
    rig.writer()
    with rig.other() as other:
        other.execute("INSERT INTO migration (version, name) VALUES (99, 'later')")
    for use in (rig.writer, rig.reader().state):
        with pytest.raises(StoreError, match="newer Umbel"):
            use()


def test_a_right_that_is_lost_meanwhile_keeps_the_commit_waiting(
    rig: PostgresRig, postgres_server: PostgresServer
) -> None:
    """It is no fault of the tasks in it: none of them may end in the quarantine."""
    with postgres_server.connect() as admin:
        admin.execute(f"CREATE ROLE {rig.schema} LOGIN")
        admin.execute(f"GRANT CREATE ON DATABASE postgres TO {rig.schema}")
        writer = rig.keep(PostgresWriter(path_of(rig.url.replace(USER, rig.schema, 1))))
        writer.open()
        writer.write(commit(task_events("t0")))
        admin.execute(f"REVOKE INSERT ON ALL TABLES IN SCHEMA {rig.schema} FROM {rig.schema}")
        with pytest.raises(StoreBusy, match="does not allow it"):
            writer.write(commit(task_events("t1")))
        admin.execute(f"GRANT INSERT ON ALL TABLES IN SCHEMA {rig.schema} TO {rig.schema}")
        writer.write(commit(task_events("t1")))
    check(rig.reader(), [*task_events("t0"), *task_events("t1")], SPAN)


# Texts

texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\x00\ue00001"), max_size=20)


@given(texts, texts)
def test_a_text_comes_back_as_it_was_and_no_two_are_stored_alike(one: str, other: str) -> None:
    assert told(stored(one)) == one
    assert "\x00" not in stored(one)
    assert (stored(one) == stored(other)) == (one == other)
    assert (stored(one) in stored(other)) or one not in other


def test_any_text_is_kept_and_found_however_odd_or_long(rig: PostgresRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    odd = "a\x00b\ue000c"
    long = "n" * 1_024
    events: list[AnyEvent] = []
    for id_, name in (("x\x00", odd), ("y" * 512, "✿" * 1_024), ("z", long), ("q", "n" * 1_023)):
        worker = {"hostname": f"w{odd}@a", "pid": 2**63 - 1, "uuid": id_}
        what = {"name": name, "args": odd, "kwargs": "%s {} '' \\", "root_id": "r" * 60_000, "parent_id": "✿" * 5_000}
        events.append(TaskReceived(timestamp=START, retries=2**63 - 1, **worker, **what))  # type: ignore[arg-type]
        events.append(TaskFailed(timestamp=START + 1, exception=odd, traceback="%" * 9_000, **worker))  # type: ignore[arg-type]
    bad = Quarantined(START, Reason.MALFORMED, odd, odd, b"\x00")
    gap = LedgerEntry(Reason.DISCONNECTED, EventClass.UNKNOWN, START, START, 1, estimated=True, worker=odd, detail=odd)
    writer.write(commit(events, quarantine=[bad], ledger=[gap], position=Position(odd, odd)))
    check(reader, events, SPAN)
    assert (list(reader.quarantine()), list(reader.ledger()), writer.position(odd)) == ([bad], [gap], odd)
    assert odd in reader.names()
    for where, expected in (
        (Compare(Field.NAME, Op.EQ, odd), ["x\x00"]),
        (Compare(Field.ID, Op.CONTAINS, "\x00"), ["x\x00"]),
        (Compare(Field.NAME, Op.EQ, long), ["z"]),
        (Compare(Field.NAME, Op.GLOB, "n*n"), ["q", "z"]),
        (Compare(Field.KWARGS, Op.GLOB, "%s {} * \\"), ["q", "x\x00", "y" * 512, "z"]),
        (Compare(Field.NAME, Op.CONTAINS, "_"), []),
        (Compare(Field.NAME, Op.CONTAINS, "\ud800"), []),
        (Not(Compare(Field.ID, Op.EQ, "\udfff")), ["q", "x\x00", "y" * 512, "z"]),
    ):
        assert sorted(summary.id for summary in all_tasks(reader, where)) == expected, where
    assert sorted(summary.id for summary in reader.related("✿" * 5_000)) == ["q", "x\x00", "y" * 512, "z"]


def test_what_is_sought_stays_a_parameter(rig: PostgresRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    writer.write(commit(task_events("t")))
    for field in set(Field) - NUMBERS - {Field.STATE}:
        for text in ("'; DROP TABLE task; --", "%s", "%(x)s", "\\", "$1", "{}"):
            for op in (Op.EQ, Op.CONTAINS, Op.GLOB):
                assert reader.tasks(Compare(field, op, text), Page()).items == []
    assert reader.count(And()).n == 1


def test_keys_of_names_differ() -> None:
    assert len({key_of(name) for name in ("", "a", "a\x00", "\ue000", sought("\ud800"))}) == 5


# Pages, time, walks


@pytest.mark.slow
def test_a_statement_that_takes_too_long_ends_by_itself_and_the_page_says_how_far_it_came(
    rig: PostgresRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's own time limit, for what no look at the clock can interrupt."""
    writer = rig.writer()
    for n in range(6):
        args = "slow" if n < 3 else "quick"
        writer.write(commit([TaskReceived(hostname="w@h", timestamp=START + n, uuid=f"t{n}", name="n", args=args)]))
    with rig.other() as other:
        other.execute(
            "CREATE FUNCTION strpos(text, text) RETURNS integer LANGUAGE plpgsql AS "
            "$$ BEGIN IF $1 = 'slow' THEN PERFORM pg_sleep(600); END IF; RETURN 1; END $$"
        )
    monkeypatch.setattr("umbel.stores.postgres.sessions.connect", functools.partial(_with_own_functions, rig.schema))
    reader = rig.reader(budget=3.0)
    where = Compare(Field.ARGS, Op.CONTAINS, "x")
    page = reader.tasks(where, Page())
    assert [summary.id for summary in page.items] == ["t5", "t4", "t3"]
    assert not page.complete
    assert page.covered_since == START + 3
    assert reader.count(where).capped
    with pytest.raises(StoreBusy, match="took too long"):
        reader.tasks(where, Page(cursor=page.next or ""))


def _with_own_functions(schema: str, target: Target, purpose: str, settings: dict[str, str]) -> Connection:
    return connect(target, purpose, settings | {"search_path": f"{schema}, pg_catalog"})


def test_long_records_make_short_pages_of_a_scan(rig: PostgresRig) -> None:
    writer, reader = rig.writer(small=False), rig.reader()
    text = "x" * (1 << 20)
    for n in range(20):
        writer.write(commit([TaskReceived(hostname="w@h", timestamp=START, uuid=f"t{n}", name="n", args=text)]))
    cursor: str | None = ""
    sizes = []
    while cursor is not None:
        page = reader.scan(cursor)
        sizes.append(len(page.tasks))
        cursor = page.next
    assert sum(sizes) == 20
    assert max(sizes) <= 8


# Upkeep and bounds


def test_tasks_that_a_rule_keeps_shorter_go_before_their_part(rig: PostgresRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    events = []
    for n in range(3):
        events += ended(f"good{n}", START) + ended(f"bad{n}", START, failed=True) + ended(f"r%_{n}", START, name="r%_x")
    writer.write(commit(events, START))
    writer.write(commit(ended("new", START + 1_000), START + 1_000))
    retention = parse_retention("name:r%_* 5000s, state:FAILURE 9000s, 100s")
    assert maintain(rig, writer, retention, START + 1_000) == 3
    left = {summary.id for summary in all_tasks(reader)}
    assert left == {"new", *(f"bad{n}" for n in range(3)), *(f"r%_{n}" for n in range(3))}
    assert reader.state().tasks == 7
    assert maintain(rig, writer, retention, START + 6_000) == 4
    assert {summary.id for summary in all_tasks(reader)} == {f"bad{n}" for n in range(3)}
    late = ended("good1", START)
    writer.write(commit(late, START + 6_000))
    assert reader.task("good1") is not None


def test_ledger_quarantine_names_workers_and_estimates_are_bounded(
    rig: PostgresRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bound in ("LEDGER_ROWS", "QUARANTINE_ROWS", "MISSED_ROWS"):
        monkeypatch.setattr(books, bound, 5)
    monkeypatch.setattr("umbel.stores.postgres.upkeep.WORKER_ROWS", 5)
    monkeypatch.setattr("umbel.stores.postgres.upkeep.NAME_ROWS", 5)
    writer, reader = rig.writer(small=False), rig.reader()
    for n in range(12):
        at = START + n * 100
        gap = LedgerEntry(Reason.DISCONNECTED, EventClass.UNKNOWN, at, at, 1, estimated=True, worker=f"w{n}")
        bad = Quarantined(at, Reason.MALFORMED, f"{n}", "x", b"x")
        workers = {(f"w{n}", 1): Worker(f"w{n}", 1, seen_at=at)}
        what = commit(task_events(f"t{n}", name=f"n{n}"), at, ledger=[gap], quarantine=[bad], workers=workers)
        writer.write(what)
    writer.maintain(parse_retention("100d"), START + 1_200)
    assert [entry.worker for entry in reader.ledger()] == [f"w{n}" for n in (11, 10, 9, 8, 7)]
    assert [event.error for event in reader.quarantine()] == ["11", "10", "9", "8", "7"]
    assert [worker.hostname for worker in reader.workers()] == [f"w{n}" for n in (11, 10, 9, 8, 7)]
    assert list(reader.names()) == [f"n{n}" for n in (11, 10, 9, 8, 7)]
    missed = reader.state().books.missed_estimate
    assert sum(missed.values()) == 12
    assert len(missed) <= 6
    writer.write(Commit(at=START, quarantine=[Quarantined(START, Reason.MALFORMED, "big", "x", b"x" * 20_000_000)]))
    assert reader.quarantine() == []


def test_connections_are_kept_few_and_given_back(rig: PostgresRig) -> None:
    rig.writer().write(commit(task_events("t")))
    reader = PostgresReader(path_of(rig.url))
    for _ in range(30):
        reader.version()
        with pytest.raises(StoreError):
            reader._sessions.ask(lambda session: session.query("names", "no number"))
    with rig.other() as other:
        kept = other.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'umbel web' AND state = 'idle'"
        ).fetchall()
        assert kept[0][0] <= 6
    reader.close()
    with pytest.raises(StoreError, match="closed"):
        reader.version()


# The operator's side


def test_a_sound_store_is_found_sound_and_what_is_wrong_is_named(rig: PostgresRig) -> None:
    keeper = PostgresKeeper(path_of(rig.url))
    with pytest.raises(StoreError, match="no store yet"):
        list(keeper.check())
    writer = rig.writer()
    for n in range(7):
        writer.write(commit(task_events(f"t{n}")))
    writer.maintain(parse_retention("14d"), START)
    assert keeper.migrate() == []
    assert [finding for finding in keeper.check() if finding.problem] == []
    assert len(list(keeper.check())) == 4
    with rig.other() as other:
        other.execute("DELETE FROM task WHERE id = 't1'")
        other.execute("CREATE TABLE task_000009 (LIKE task)")
    wrong = {finding.what: finding.problem for finding in keeper.check() if finding.problem}
    assert wrong.keys() == {"task_000001", "task_000009"}
    assert wrong["task_000001"] == "it holds 2 tasks and should hold 3"


def test_space_is_given_back_while_collectors_are_connected(rig: PostgresRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    for n in range(4):
        writer.write(commit(task_events(f"t{n}")))
    for round_ in range(30):
        writer.write(commit([task_events(f"t{n}", START + round_)[0] for n in range(4)]))
    told = list(PostgresKeeper(path_of(rig.url)).vacuum())
    assert any(finding.what.startswith("task_000001: ") for finding in told)
    writer.write(commit(task_events("new")))
    assert reader.state().tasks == 5


# Zones


@given(st.integers(0, 20_000), st.integers(0, 20_000), st.sets(st.integers(0, 9)))
def test_ranges_leave_out_the_zones_that_are_passed_over_and_nothing_else(
    low: int, high: int, passed: set[int]
) -> None:
    found = [n for first, end in zones.ranges(low, high, passed) for n in range(first, end)]
    assert found == [n for n in range(low, high) if n // zones.SIZE not in passed]


def test_searches_for_times_pass_over_zones_and_find_what_came_late(
    rig: PostgresRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zones, "SIZE", 4)
    writer, reader = rig.writer(small=False), rig.reader()
    for n in range(60):
        writer.write(commit(ended(f"t{n}", START + 100 * n), at=START))
    late = TaskFailed(hostname="w1@a", pid=1, timestamp=START + 3_010, uuid="t2", exception="ValueError('x')")
    writer.write(commit([late], at=START))
    finished = And((Compare(Field.FINISHED, Op.GT, START + 3_000), Compare(Field.FINISHED, Op.LT, START + 3_050)))
    assert [task.id for task in all_tasks(reader, finished)] == ["t30", "t2"]
    scan = reader._sessions.ask(lambda session: Scan(session, compile_node(finished), Order.NEWEST, None))
    assert sum(high - low for _, low, high in scan._ranges()) <= 3 * zones.SIZE
    with closing(connect(path_of(rig.url), "test", {})) as connection:
        # An older Umbel's collector commits: it says nothing of zones.
        connection.execute("UPDATE task SET finished_at = %s WHERE id = 't50'", (START + 3_020,))
        connection.execute("UPDATE book SET commits = commits + 1")
    assert [task.id for task in all_tasks(reader, finished)] == ["t50", "t30", "t2"]
