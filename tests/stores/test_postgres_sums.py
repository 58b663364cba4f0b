"""Sums of days answer long spans; they are trusted only while nothing has changed their days."""

from __future__ import annotations

from contextlib import closing

import msgspec
import pytest

from tests.conformance.store_oracle import check
from tests.conformance.store_rigs import PostgresRig
from tests.conformance.test_stores import commit, task_events
from tests.strategies import START
from umbel.model.event import AnyEvent, TaskFailed
from umbel.retention import Retention
from umbel.stores.base import StoreReader
from umbel.stores.postgres import PostgresWriter, path_of, sums
from umbel.stores.postgres.connect import Connection, connect

RIG = PostgresRig
DAY = 86_400.0
BEGIN = START // DAY * DAY
#: When all of the history's days are over.
LATER = BEGIN + 30 * DAY
SPAN = (BEGIN - 1_000, BEGIN + 12 * DAY)
pytestmark = pytest.mark.timeout(300)


def store_days(writer: PostgresWriter, days: int) -> list[AnyEvent]:
    events: list[AnyEvent] = []
    for n in range(2 * days):
        at = BEGIN + n * DAY / 2
        told = [event for name in "abc" for event in task_events(f"t{n}{name}", at, name=name)]
        writer.write(commit(told, at=at))
        events += told
    return events


def sum_all(writer: PostgresWriter, connection: Connection, now: float = LATER) -> set[sums.Unit]:
    """The sums that hold once no more are missing."""
    summing = sums.Summing()
    while summing._seen is None:
        summing.step(connection, now)
    stamps = sums._Stamps(connection, 0, 10**6)
    rows = connection.execute("SELECT first, days, stamp FROM day_sum").fetchall()
    return {(first, days) for first, days, stamp in rows if stamp == stamps.of((first, days))}


def told(reader: StoreReader) -> dict[str, int]:
    """The events counted by name."""
    return {point.name: sum(point.counts.values()) for point in reader.rollup_names(*SPAN)}


def test_days_that_are_over_are_summed_and_each_change_of_a_day_makes_its_sums_anew(rig: PostgresRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    events = store_days(writer, 9)
    with closing(connect(path_of(rig.url), "test", {})) as connection:
        held = sum_all(writer, connection)
        assert {days for _, days in held} >= {1, 2, 4}
        check(reader, events, SPAN)
        late = TaskFailed(hostname="w1@a", pid=1, timestamp=BEGIN + 3 * DAY, uuid="t6a", exception="ValueError('x')")
        events.append(late)
        writer.write(commit([late], at=LATER))
        check(reader, events, SPAN)
        assert sum_all(writer, connection, LATER + 2 * sums.QUIET) == held
        check(reader, events, SPAN)


def test_sums_are_what_answers_until_a_collector_commits_that_does_not_say_which_days_it_changes(
    rig: PostgresRig,
) -> None:
    """One of an older version, while others serve."""
    writer, reader = rig.writer(), rig.reader()
    store_days(writer, 3)
    truth = told(reader)
    with closing(connect(path_of(rig.url), "test", {})) as connection:
        held = sum_all(writer, connection)
        connection.execute("UPDATE day_sum SET names = %s", (msgspec.msgpack.encode({"a": {0: 1_000_000}}),))
        assert told(reader)["a"] > 1_000_000
        connection.execute("UPDATE book SET commits = commits + 1")
        assert told(reader) == truth
        assert sum_all(writer, connection) == held
        assert told(reader) == truth


def test_a_part_that_is_dropped_is_counted_by_no_sum(rig: PostgresRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    store_days(writer, 4)
    with closing(connect(path_of(rig.url), "test", {})) as connection:
        sum_all(writer, connection)
        retention = Retention(age=2 * DAY)
        while writer.maintain(retention, BEGIN + 4 * DAY).dropped_tasks:
            pass
        (kept,) = connection.execute("SELECT count(*) FROM task").fetchone() or (0,)
        assert 0 < kept < 24
        assert sum(told(reader).values()) == 2 * kept
        sum_all(writer, connection)
        assert sum(told(reader).values()) == 2 * kept
        days = connection.execute("SELECT min(day) FROM touched").fetchone()
        assert days
        assert days[0] > BEGIN // DAY
