"""Several collectors on one PostgreSQL store at once: same tasks, deaths, a server that goes away."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from random import Random

import pytest

from tests.conformance.store_oracle import check
from tests.conformance.store_process import history
from tests.conformance.store_rigs import Crash, PostgresRig, all_tasks
from tests.conformance.test_stores import SPAN, commit, task_events
from tests.stores.postgres_process import batches
from tests.strategies import START
from tests.support.environment import wait_until
from tests.support.postgres import PostgresServer
from umbel.clock import ManualClock
from umbel.errors import StoreBusy
from umbel.model.event import TaskSucceeded
from umbel.retention import Retention
from umbel.stores.base import Commit, Position
from umbel.stores.postgres import PostgresKeeper, PostgresReader, PostgresWriter, parts, path_of
from umbel.stores.postgres.schema import MIGRATIONS
from umbel.stores.postgres.session import Session

pytestmark = pytest.mark.timeout(600)
DAY = 86_400.0


RIG = PostgresRig


class Child:
    """One writing process."""

    def __init__(self, url: str, number: int) -> None:
        command = [sys.executable, "-m", "tests.stores.postgres_process", url, str(number)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def finish(self) -> bool:
        """Wait until it has done all; whether it said so."""
        said, _ = self._process.communicate()
        return said.endswith("done\n")

    def finish_or_kill(self, commits: int, delay: float) -> bool:
        """Kill it some seconds after so many commits, in the middle of another; whether it had done all before."""
        assert self._process.stdout is not None
        for _ in range(commits + 1):
            if self._process.stdout.readline() == "done\n":
                break
        time.sleep(delay)
        self._process.kill()
        return self.finish()


@pytest.mark.drill
def test_three_collectors_on_the_same_tasks_one_of_them_killed_again_and_again_equal_the_truth(
    rig: PostgresRig,
) -> None:
    random = Random(4)
    kills = 0
    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(Child(rig.url, number).finish) for number in (1, 2)]
        while kills < 5 and not Child(rig.url, 3).finish_or_kill(random.randrange(5), random.uniform(0, 0.03)):
            kills += 1
        assert Child(rig.url, 3).finish()
        assert all(other.result() for other in others)
    assert kills >= 3
    events = [event for batch in history() for event in batch]
    reader = rig.reader()
    check(reader, events, SPAN)
    assert reader.state().books.stored == sum(len(batch) for number in (1, 2, 3) for batch in batches(number))
    assert reader.state().tasks == len({event.uuid for event in events if hasattr(event, "uuid")})


@pytest.mark.slow
def test_a_server_that_crashes_and_comes_back_delays_and_loses_nothing(
    postgres_factory: Callable[[], PostgresServer],
) -> None:
    server = postgres_factory()
    target = path_of(server.url())
    writer, reader = PostgresWriter(target, part_tasks=300), PostgresReader(target)
    writer.open()
    everything = batches(1)
    told: list[str] = []
    for number, events in enumerate(everything):
        what = commit(events, position=Position("s", str(number)))
        if number in (len(everything) // 3, 2 * len(everything) // 3):
            server.crash()
            with pytest.raises(StoreBusy) as away:
                writer.write(what)
            told.append(str(away.value))
            with pytest.raises(StoreBusy, match="cannot be reached"):
                writer.write(what)
            with pytest.raises(StoreBusy, match="is PostgreSQL running there"):
                reader.state()
            server.start()
        writer.write(what)
    assert len(told) == 2
    check(reader, [event for batch in everything for event in batch], SPAN)
    assert reader.state().books.stored == sum(map(len, everything))
    assert writer.position("s") == str(len(everything) - 1)
    writer.close()
    reader.close()


@pytest.mark.parametrize("succeeds", [True, False])
def test_a_commit_whose_end_nobody_told_is_done_once(rig: PostgresRig, *, succeeds: bool) -> None:
    """The connection breaks just after the end of the transaction, or just before it."""
    writer, reader = rig.writer(), rig.reader()
    writer.write(commit(task_events("t0")))
    whole = writer._commit

    def lose(session: Session) -> None:
        if succeeds:
            whole(session)
        session.connection.close()
        whole(session)

    what = commit(task_events("t1"))
    writer._commit = lose  # type: ignore[method-assign]
    with pytest.raises(StoreBusy):
        writer.write(what)
    writer._commit = whole  # type: ignore[method-assign]
    writer.write(what)
    check(reader, [*task_events("t0"), *task_events("t1")], SPAN)
    assert reader.state().books.stored == 4
    writer.write(what)
    assert reader.state().books.stored == 6, "asked again without doubt, it is another commit"


def test_a_store_is_begun_once_by_many_at_once(rig: PostgresRig) -> None:
    writers = [PostgresWriter(path_of(rig.url)) for _ in range(6)]
    for writer in writers:
        rig.keep(writer)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(PostgresWriter.open, writers))
        list(pool.map(lambda n: writers[n].write(commit(task_events("t"))), range(6)))
    with rig.other() as other:
        assert other.execute("SELECT version FROM migration ORDER BY 1").fetchall() == [
            (step.version,) for step in MIGRATIONS
        ]
        assert other.execute("SELECT count(*) FROM part").fetchall() == [(1,)]
    check(rig.reader(), task_events("t"), SPAN)


def test_a_task_that_two_collectors_see_at_midnight_is_there_once(rig: PostgresRig) -> None:
    """Their clocks differ: for one the day has begun."""
    midnight = START // DAY * DAY + DAY
    before, after = (PostgresWriter(path_of(rig.url)) for _ in range(2))
    late = [TaskSucceeded(hostname="w1@a", pid=1, timestamp=START + 9, uuid=f"t{n}", result="1") for n in range(20)]
    first = [event for n in range(20) for event in task_events(f"t{n}")]
    for writer in (before, after):
        rig.keep(writer).open()
    before.write(commit(task_events("early"), midnight - 5))
    with ThreadPoolExecutor(2) as pool:
        futures = [
            pool.submit(before.write, commit(first, midnight - 1)),
            pool.submit(after.write, commit([*late, *task_events("new")], midnight + 1)),
        ]
        for future in futures:
            future.result()
    before.write(commit(task_events("behind"), midnight - 0.5))
    events = [*task_events("early"), *first, *late, *task_events("new"), *task_events("behind")]
    check(rig.reader(), events, SPAN)
    with rig.other() as other:
        assert other.execute("SELECT count(*) FROM part").fetchall() == [(2,)]


def test_a_clock_that_is_a_year_ahead_begins_one_part_and_no_more(rig: PostgresRig) -> None:
    fast, right = (rig.keep(PostgresWriter(path_of(rig.url))) for _ in range(2))
    now = 1.9e9
    for writer in (fast, right):
        writer.open()
    for n in range(3):
        fast.write(commit(task_events(f"f{n}"), now + 366 * DAY))
        right.write(commit(task_events(f"r{n}"), START))
    with rig.other() as other:
        assert other.execute("SELECT count(*) FROM part").fetchall()[0][0] <= 2
        newest = other.execute("SELECT max(created_at) - extract(epoch FROM now()) FROM part").fetchall()[0][0]
    assert newest <= 3_700


def test_one_collector_leads_and_another_takes_over_when_it_is_gone(rig: PostgresRig) -> None:
    first, second = rig.writer(), rig.writer()
    for n in range(9):
        first.write(commit(task_events(f"t{n}"), START + n * 100))
    keep = Retention(age=250)
    assert first.maintain(keep, START + 100).dropped_tasks == 0
    assert second.maintain(keep, START + 900).dropped_tasks == 0
    rig.bury(first)
    # The server notices the end of a connection in its own time.
    dropped: list[int] = []

    def all_dropped() -> bool:
        dropped.append(_maintain(second, keep, START + 900))
        return sum(dropped) == 6

    wait_until(all_dropped, "the drop")
    assert [summary.id for summary in all_tasks(rig.reader())] == ["t8", "t7", "t6"]


def _maintain(writer: PostgresWriter, retention: Retention, now: float) -> int:
    try:
        return writer.maintain(retention, now).dropped_tasks
    except StoreBusy:
        return 0


def test_a_part_that_somebody_reads_is_dropped_later_and_nobody_waits_for_it(rig: PostgresRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    for n in range(6):
        writer.write(commit(task_events(f"t{n}"), START + n * 100))
    with rig.other() as other, other.transaction():
        other.execute("SELECT count(*) FROM task").fetchall()
        with pytest.raises(StoreBusy, match="locked"):
            writer.maintain(Retention(age=150), START + 500)
        late = TaskSucceeded(hostname="w1@a", pid=1, timestamp=START + 9, uuid="t5", result="1")
        writer.write(commit([late, *task_events("new")], START + 500))
        assert [summary.id for summary in all_tasks(reader)] == ["new", "t5", "t4", "t3"]
    assert writer.maintain(Retention(age=150), START + 500).dropped_tasks == 3
    with rig.other() as other:
        tables = other.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (rig.schema,)).fetchall()
        assert not [name for (name,) in tables if name.endswith("_000001")]
    writer.write(commit(task_events("t0"), START + 600))
    kept = [*(event for n in (3, 4, 5) for event in task_events(f"t{n}")), late]
    check(reader, [*kept, *task_events("new"), *task_events("t0")], SPAN)


def test_word_of_a_commit_comes_at_once_and_again_after_the_server_was_away(
    postgres_factory: Callable[[], PostgresServer],
) -> None:
    server = postgres_factory()
    target = path_of(server.url())
    with closing(PostgresWriter(target)) as writer, closing(PostgresReader(target)) as reader:
        writer.open()
        for round_ in range(2):
            # The first call begins to listen.
            reader.wait(60)
            heard = threading.Thread(target=reader.wait, args=(600,))
            heard.start()
            writer.write(commit(task_events(f"t{round_}")))
            heard.join(60)
            assert not heard.is_alive()
            server.crash()
            reader.wait(0.01)
            server.start()
            with pytest.raises(StoreBusy):
                writer.write(Commit(at=START))


def test_what_a_pool_has_kept_is_replaced_when_the_server_was_away(
    postgres_factory: Callable[[], PostgresServer],
) -> None:
    server = postgres_factory()
    target = path_of(server.url())
    with closing(PostgresWriter(target)) as writer, closing(PostgresReader(target)) as reader:
        writer.open()
        writer.write(commit(task_events("t")))
        assert reader.state().tasks == 1
        server.crash()
        server.start()
        assert reader.state().tasks == 1


def test_a_drop_that_was_cut_short_is_finished_by_whoever_leads_next(
    rig: PostgresRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying, next_ = rig.writer(), rig.writer()
    for n in range(6):
        dying.write(commit(task_events(f"t{n}"), START + n * 100))
    detach = parts._detach

    def die_at_the_second(session: Session, table: str, name: str) -> None:
        if table != "task":
            raise Crash
        detach(session, table, name)

    monkeypatch.setattr(parts, "_detach", die_at_the_second)
    with pytest.raises(Crash):
        dying.maintain(Retention(age=150), START + 500)
    rig.bury(dying)
    monkeypatch.undo()
    left = [event for n in (3, 4, 5) for event in task_events(f"t{n}")]
    check(rig.reader(), left, SPAN)
    wait_until(lambda: _maintain(next_, Retention(age=150), START + 500) == 3, "the drop's end")
    check(rig.reader(), left, SPAN)
    assert [finding for finding in PostgresKeeper(path_of(rig.url)).check() if finding.problem] == []


def test_a_connection_is_made_anew_after_a_day(rig: PostgresRig) -> None:
    assert isinstance(rig.clock, ManualClock)
    writer = rig.writer()
    writer.write(commit(task_events("t0")))
    first = writer._session
    rig.clock.advance(DAY)
    writer.write(commit(task_events("t1")))
    assert first is not None
    assert first.broken
    check(rig.reader(), [*task_events("t0"), *task_events("t1")], SPAN)
