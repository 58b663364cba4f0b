"""What was stored and not acknowledged comes again from RabbitMQ, and is counted once: tasks, rollups and books."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from tests.conformance.source_rigs import AmqpRig, ids, poll_events, task_events
from tests.drills.load import ROOT
from tests.services import Process, RabbitMQServer, wait_until
from tests.support.rabbitmq import unacknowledged
from umbel.clock import ManualClock
from umbel.errors import StoreBusy
from umbel.model.query import EVERYTHING
from umbel.sources.amqp import AmqpSource
from umbel.sources.amqp_inbox import Delivery
from umbel.sources.amqp_repeats import CONFIRMED, MOST, POSITIONS, Repeats
from umbel.sources.base import Batch, Limits
from umbel.stores.sqlite import SqliteReader

KINDS = ("classic", "quorum", "stream")


class Kept:
    """Positions in memory, as a shared store keeps them; `busy` makes it refuse to tell."""

    def __init__(self) -> None:
        self.all: dict[str, str] = {}
        self.busy = False

    def positions(self, prefix: str) -> Mapping[str, str]:
        if self.busy:
            raise StoreBusy("locked")
        return {name: text for name, text in self.all.items() if name.startswith(prefix)}

    def forget(self, source: str) -> None:
        self.all.pop(source, None)


def delivery(body: bytes, *, redelivered: bool = False) -> Delivery:
    return Delivery(body, "application/json", 1, 1, 0.0, redelivered=redelivered)


def sharing(rig: AmqpRig, kept: Kept) -> AmqpSource:
    """A collector's source on the rig's queue, opened and connected."""
    source = AmqpSource(rig.settings, positions=kept)
    source.open(kept.all.get(source.name))
    wait_until(lambda: source.status().connected, "the connection", explain=lambda: str(source.status()))
    return source


def poll_once(source: AmqpSource, messages: int = 1_000) -> Batch:
    """The next batch that has any messages."""
    found: list[Batch] = []

    def polled() -> bool:
        batch = source.poll(Limits(messages=messages, wait=0.2))
        if len(batch):
            found.append(batch)
        return bool(found)

    wait_until(polled, "a batch", every=0)
    return found[0]


@pytest.fixture
def mortal(tmp_path: Path) -> Callable[[AmqpRig, int], Process]:
    """Starts a collector that dies in its commit of that number, before the broker hears of it."""

    def start(rig: AmqpRig, commits: int) -> Process:
        of = rig.settings
        words = (of.broker, of.event_exchange, of.queue_name, of.queue_type, tmp_path / "umbel.db", str(commits))
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        argv = [sys.executable, "-m", "tests.sources.amqp_mortal", *map(str, words)]
        return Process(argv, log=tmp_path / "mortal.log", env={"PYTHONPATH": path}).start()

    return start


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_collectors_killed_between_commit_and_acknowledgement_count_every_event_once(
    rabbitmq_server: RabbitMQServer, mortal: Callable[[AmqpRig, int], Process], tmp_path: Path, kind: str
) -> None:
    rig = AmqpRig(rabbitmq_server.url, kind)
    rig.open().close()
    rig.publish(task_events(1_000))
    rig.publish(task_events(500, start=1_000), batch=10)
    for commits in (1, 2, 3):
        with mortal(rig, commits) as process:
            assert process.wait() == -9, process.explain()
    with mortal(rig, 0) as process, closing(SqliteReader(tmp_path / "umbel.db")) as reader:

        def seen() -> str:
            queues = rabbitmq_server.ctl(
                "list_queues", "name", "messages_ready", "messages_unacknowledged", "consumers"
            )
            return f"{reader.count(EVERYTHING).n} tasks; {queues}\n{process.explain()}"

        wait_until(lambda: reader.count(EVERYTHING).n == 1_500, "every task", explain=seen)
        if kind != "stream":
            wait_until(lambda: unacknowledged(rabbitmq_server, rig.settings.queue_name) == 0, "the last of it")
        time.sleep(0.5)
        assert process.stop() == 0
        books = reader.state().books
        assert (books.received, books.stored) == (1_500, 1_500)
        assert sum(sum(point.counts.values()) for point in reader.rollup(0, 4e9, 86_400)) == 1_500


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_what_another_collector_has_stored_is_left_out_and_acknowledged(
    rabbitmq_server: RabbitMQServer, kind: str
) -> None:
    rig, kept = AmqpRig(rabbitmq_server.url, kind), Kept()
    one = sharing(rig, kept)
    rig.publish(task_events(100))
    for _ in range(2):
        batch = poll_once(one, 20)
        assert batch.position is not None
        kept.all[one.name] = batch.position
    two = sharing(rig, kept)
    try:
        # As when it dies: 40 are in the store, the broker has heard of none.
        one.close()
        assert ids(poll_events(two, 60)) == list(range(40, 100))
        wait_until(lambda: unacknowledged(rabbitmq_server, rig.settings.queue_name) == 0, "all acknowledged", every=0.5)
    finally:
        two.close()


def test_a_message_that_comes_again_waits_until_the_store_tells_of_it(rabbitmq_server: RabbitMQServer) -> None:
    rig, kept = AmqpRig(rabbitmq_server.url, "classic"), Kept()
    one = sharing(rig, kept)
    rig.publish(task_events(10))
    batch = poll_once(one, 5)
    assert batch.position is not None
    kept.all[one.name] = batch.position
    one.close()
    two = sharing(rig, kept)
    try:
        kept.busy = True
        for _ in range(5):
            assert not len(two.poll(Limits(wait=0.1)))
        kept.busy = False
        assert ids(poll_events(two, 5)) == list(range(5, 10))
    finally:
        two.close()


def test_a_collector_leaves_out_what_it_has_stored_over_a_connection_that_was_lost(
    rabbitmq_server: RabbitMQServer,
) -> None:
    rig = AmqpRig(rabbitmq_server.vhost("cut"), "classic")
    source = sharing(rig, Kept())
    try:
        rig.publish(task_events(100))
        taken = poll_once(source, 40)
        rabbitmq_server.ctl("close_all_connections", "--vhost", "cut", "a test")
        wait_until(lambda: source.status().reconnects == 1 and source.status().connected, "the reconnection")
        assert taken.position is not None
        source.commit(taken.position)
        assert ids(poll_events(source, 60)) == list(range(40, 100))
    finally:
        source.close()


def test_a_position_stays_small_once_the_broker_has_confirmed(rabbitmq_server: RabbitMQServer) -> None:
    rig = AmqpRig(rabbitmq_server.url, "classic")
    source = sharing(rig, Kept())
    try:
        rig.publish(task_events(1_000))
        full = found = 0
        while found < 1_000:
            batch = poll_once(source, 100)
            found += len(batch)
            source.commit(batch.position or "")
            full = len(batch.position or "")

        def shrunk() -> bool:
            rig.publish(task_events(1))
            batch = poll_once(source)
            source.commit(batch.position or "")
            return len(batch.position or "") < full / 10

        wait_until(shrunk, "the confirmed ones to be forgotten", every=0.5)
    finally:
        source.close()


def test_only_what_is_sent_again_is_looked_for_and_only_what_was_committed_is_found() -> None:
    repeats = Repeats("q#", "q#1", ManualClock(), Kept())
    position = repeats.add(1, 2, [delivery(b"a"), delivery(b"b")])
    again = [delivery(b"a", redelivered=True), delivery(b"c", redelivered=True), delivery(b"b")]
    assert list(repeats.sift(again)) == again
    repeats.committed(position)
    assert [found.body for found in repeats.sift(again)] == [b"c", b"b"]


def test_fingerprints_are_kept_until_the_broker_has_confirmed_and_bounded_in_number() -> None:
    clock, kept = ManualClock(), Kept()
    repeats = Repeats("q#", "q#1", clock, kept)
    for tag in range(1, 11):
        repeats.committed(repeats.add(1, tag, [delivery(b"%d.%d" % (tag, n)) for n in range(MOST // 8)]))
    kept.all["q#1"] = repeats.add(1, 99, [delivery(b"last")])
    other = Repeats("q#", "q#2", clock, kept)

    def known(tag: int) -> bool:
        return not other.sift([delivery(b"%d.0" % tag, redelivered=True)])

    # The latest eighths and the one: the earliest had to go.
    assert [known(tag) for tag in range(1, 11)] == [False] * 2 + [True] * 8
    repeats.confirmed(1, 9)
    clock.advance(CONFIRMED + 0.1)
    kept.all["q#1"] = repeats.add(1, 100, [delivery(b"newer")])
    assert [known(tag) for tag in range(1, 11)] == [False] * 9 + [True]


def test_only_the_newest_positions_of_others_are_kept() -> None:
    clock, kept = ManualClock(), Kept()
    for number in range(POSITIONS + 5):
        clock.advance(10)
        repeats = Repeats("q#", f"q#{number}", clock, kept)
        kept.all[f"q#{number}"] = repeats.add(1, 1, [delivery(b"%d" % number)])
    kept.all["elsewhere"] = "1"
    last = Repeats("q#", "q#new", clock, kept)
    assert len(last.others()) == POSITIONS
    assert set(kept.all) == {f"q#{number}" for number in range(5, POSITIONS + 5)} | {"elsewhere"}
    assert not last.sift([delivery(b"7", redelivered=True)])


def test_positions_that_cannot_be_read_harm_nothing() -> None:
    kept = Kept()
    kept.all = {"q#a": "17", "q#b": "1.5@1 %%%", "q#c": "1.5@x AAA", "q#d": ""}
    repeats = Repeats("q#", "q#1", ManualClock(), kept)
    assert len(repeats.sift([delivery(b"a", redelivered=True)])) == 1
