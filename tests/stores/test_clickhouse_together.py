"""Several collectors on one ClickHouse store at once: same tasks, deaths, a server that goes away."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from tests.conformance.store_oracle import Oracle, check
from tests.conformance.store_process import history
from tests.conformance.test_stores import SPAN, commit, ended, task_events
from tests.stores.clickhouse_process import batches, target
from tests.strategies import START
from tests.support.clickhouse import ClickHouseServer, unique
from umbel.clock import ManualClock
from umbel.errors import StoreBusy
from umbel.model.event import TaskSucceeded
from umbel.model.query import EVERYTHING, Page
from umbel.retention import Retention, parse_retention
from umbel.stores.base import Position
from umbel.stores.clickhouse import ClickHouseReader, ClickHouseWriter
from umbel.stores.clickhouse.connection import Connection
from umbel.stores.clickhouse.schema import MIGRATIONS
from umbel.stores.clickhouse.spans import spans_of
from umbel.stores.clickhouse.target import Target

pytestmark = pytest.mark.timeout(600)


def work(server: ClickHouseServer, database: str, number: int, kill_after: float | None = None) -> bool:
    """Let a writing process run to its end, or kill it some seconds after it was ready; whether it had done all."""
    command = [sys.executable, "-m", "tests.stores.clickhouse_process", str(server.port), database, str(number)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        timer = threading.Timer(kill_after, process.kill) if kill_after is not None else None
        if timer is not None:
            timer.start()
        done = process.stdout.read() == "done\n"
        if timer is not None:
            timer.cancel()
    return done


@pytest.mark.drill
def test_three_writers_of_the_same_tasks_one_of_them_killed_again_and_again_equal_the_truth(
    clickhouse_server: ClickHouseServer,
) -> None:
    random, database, kills = Random(4), unique(), 0
    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(work, clickhouse_server, database, number) for number in (1, 2)]
        while not work(clickhouse_server, database, 3, random.uniform(0, 1.5) if kills < 5 else None):
            kills += 1
        assert all(other.result() for other in others)
    assert kills >= 2
    reader = ClickHouseReader(target(clickhouse_server.port, database))
    events = [event for batch in history() for event in batch]
    assert any(span.version for span in spans_of(reader._connection)), "some were rolled up while others wrote"
    assert reader._connection.query("SELECT count() FROM stray")[0][0] > 0, "some tasks were seen twice"
    check(reader, events, SPAN)
    assert reader.state().books.stored == sum(len(batch) for number in (1, 2, 3) for batch in batches(number))
    assert reader.state().tasks == len({event.uuid for event in events if hasattr(event, "uuid")})
    # One that comes long after, when every lease has run out, rolls up the rest.
    later = ClickHouseWriter(target(clickhouse_server.port, database))
    for _ in spans_of(reader._connection):
        later.maintain(Retention(), START + 10_000)
    assert all(span.clean for span in spans_of(reader._connection)[:-1]), "the rollups stand"
    check(reader, events, SPAN)
    later.close()
    reader.close()


@pytest.mark.slow
def test_a_server_that_is_killed_and_comes_back_delays_and_loses_nothing(
    clickhouse_factory: Callable[..., ClickHouseServer],
) -> None:
    server = clickhouse_factory(credentials=("umbel", "secret"))
    everything = batches(1)
    at = target_with(server)
    writer, reader = ClickHouseWriter(at), ClickHouseReader(at)
    writer.open()
    for number, events in enumerate(everything):
        what = commit(events, START + number, position=Position("s", str(number)))
        if number == len(everything) // 2:
            server.kill()
            for _ in range(2):
                with pytest.raises(StoreBusy, match="cannot be reached"):
                    writer.write(what)
            with pytest.raises(StoreBusy, match="is the server up"):
                reader.state()
            server.start()
        writer.write(what)
    check(reader, [event for batch in everything for event in batch], SPAN)
    assert reader.state().books.stored == sum(map(len, everything))
    assert writer.position("s") == str(len(everything) - 1)
    writer.close()
    reader.close()


def target_with(server: ClickHouseServer) -> Target:
    """A new store on a server with a password."""
    user, password = server.credentials or ("default", "")
    return replace(target(server.port, unique()), user=user, password=password)


def two(server: ClickHouseServer) -> tuple[ClickHouseWriter, ClickHouseWriter, ClickHouseReader]:
    """Two writers and a reader of a new store."""
    at = target(server.port, unique())
    first, second = (ClickHouseWriter(at, clock=ManualClock(START)) for _ in range(2))
    first.open()
    second.open()
    return first, second, ClickHouseReader(at)


def test_a_commit_whose_end_nobody_told_is_counted_once(clickhouse_server: ClickHouseServer) -> None:
    writer, other, reader = two(clickhouse_server)
    connection = writer._connection
    insert = connection.insert

    def lose(table: str, columns: object, rows: object) -> None:
        insert(table, columns, rows)  # type: ignore[arg-type]
        if table == "entry":
            connection.insert = insert  # type: ignore[method-assign]
            raise StoreBusy("the answer was lost")

    what = commit(task_events("t"))
    connection.insert = lose  # type: ignore[method-assign]
    with pytest.raises(StoreBusy):
        writer.write(what)
    writer.write(what)
    check(reader, task_events("t"), SPAN)
    assert reader.state().books.stored == 2
    writer.write(what)
    assert reader.state().books.stored == 4, "asked again without doubt, it is another commit"
    other.close()


def test_a_task_that_two_writers_see_at_once_is_one_task_and_its_rollups_follow(
    clickhouse_server: ClickHouseServer,
) -> None:
    first, second, reader = two(clickhouse_server)
    begun, later = task_events("t", START), task_events("later", START + 50)
    end = TaskSucceeded(hostname="w1@a", pid=1, timestamp=START + 9, uuid="t", result="1")
    second.write(commit([end], START + 20))
    second.write(commit(later, START + 50))
    second.maintain(Retention(), START + 50)
    assert any(span.clean for span in spans_of(reader._connection)), "the rollups of the first span stand"
    # Earlier, in another part of time, by a writer that does not know of the second.
    first.write(commit(begun, START))
    check(reader, [*begun, end, *later], SPAN)
    for _ in range(3):
        second.maintain(Retention(), START + 51)
    check(reader, [*begun, end, *later], SPAN)
    # The second goes on where it thinks that the task is.
    again = TaskSucceeded(hostname="w1@a", pid=1, timestamp=START + 70, uuid="t", result="2")
    second.write(commit([again], START + 52))
    check(reader, [*begun, end, *later, again], SPAN)
    # Where it began was long not written to, but it was seen since: both stay.
    for _ in range(3):
        second.maintain(Retention(age=40), START + 61)
    check(reader, [*begun, end, *later, again], SPAN)
    second.close()


def test_a_store_is_begun_once_by_many_at_once(clickhouse_server: ClickHouseServer) -> None:
    at = target(clickhouse_server.port, unique())
    writers = [ClickHouseWriter(at) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ClickHouseWriter.open, writers))
        list(pool.map(lambda writer: writer.write(commit(task_events("t"))), writers))
    reader = ClickHouseReader(at)
    check(reader, task_events("t"), SPAN)
    assert reader.state().books.stored == 8
    begun = Connection(at).query("SELECT DISTINCT version FROM migration ORDER BY version")
    assert begun == [(migration.version,) for migration in MIGRATIONS]


def test_rules_drop_what_two_writers_saw_after_a_crash_and_late_events_leave_the_rollups(
    clickhouse_server: ClickHouseServer,
) -> None:
    first, second, reader = two(clickhouse_server)
    good, bad = ended("good", START), ended("bad", START + 1, failed=True)
    first.write(commit([*good[:2], *bad], START))
    # In another part of time, by a writer that does not know of the first.
    second.write(commit(good[2:], START + 5))
    newest = task_events("newest", START + 900)
    second.write(commit(newest, START + 900))
    before = [*good, *bad, *newest]
    rules = parse_retention("state:SUCCESS 100s, 9000s")
    connection = first._connection
    command = connection.command

    def die(sql: str, parameters: Mapping[str, Any] | None = None, *, in_database: bool = True) -> None:
        if sql.startswith("DELETE FROM task"):
            raise StoreBusy("it is away")
        command(sql, parameters, in_database=in_database)

    connection.command = die  # type: ignore[method-assign]
    first.maintain(rules, START + 900)
    with pytest.raises(StoreBusy):
        first.maintain(rules, START + 900)
    check(reader, before, SPAN)
    connection.command = command  # type: ignore[method-assign]
    for _ in range(4):
        first.maintain(rules, START + 920)
    assert reader.task("good") is None
    assert {summary.id for summary in reader.tasks(EVERYTHING, Page(10)).items} == {"bad", "newest"}
    for table in ("task", "place", "stray"):
        assert connection.query(f"SELECT count() FROM {table} WHERE id = 'good'") == [(0,)], table
    assert reader.state().tasks == 2
    late = TaskSucceeded(hostname="w1@a", pid=1, timestamp=START + 2, uuid="bad", result="1")
    first.write(commit([late], START + 921))
    assert list(reader.rollup(*SPAN, 60)) == Oracle(before).rollup(*SPAN, 60)
    first.close()
    second.close()
    reader.close()


def test_one_writer_does_the_chores_until_it_ends_or_is_silent_for_long(clickhouse_server: ClickHouseServer) -> None:
    first, second, reader = two(clickhouse_server)
    connection = reader._connection

    def rolls(writer: ClickHouseWriter, at: float) -> bool:
        """Whether upkeep by this writer rolls up a span that is over."""
        for n in (0, 900):
            first.write(commit(task_events(f"t{at}-{n}", START + at + n), START + at + n))
        before = connection.query("SELECT count() FROM entry WHERE kind = 'rolled'")
        writer.maintain(Retention(), START + at)
        return connection.query("SELECT count() FROM entry WHERE kind = 'rolled'") != before

    assert rolls(first, 0)
    assert not rolls(second, 5)
    assert rolls(first, 20)
    assert not rolls(second, 45), "it was renewed"
    assert rolls(second, 56), "it ran out"
    assert not rolls(first, 57)
    second.close()
    assert rolls(first, 68), "it was given back"
    first.close()
    reader.close()
