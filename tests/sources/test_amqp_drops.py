"""What a full queue at RabbitMQ drops is counted: by arithmetic on what the broker counts, and once."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.source_rigs import AmqpRig, decoded, task_events
from tests.services import RabbitMQServer, free_port, wait_until
from tests.sources.test_amqp_crash import Kept, sharing
from umbel.errors import BrokerError
from umbel.model.event import EventClass
from umbel.model.ledger import LedgerEntry, Reason
from umbel.settings import MIB, Settings
from umbel.sources.amqp import AmqpSource
from umbel.sources.amqp_api import Counts, ManagementApi
from umbel.sources.amqp_drops import LAG, DropBook, Drops, Reckoned
from umbel.sources.amqp_url import parameters
from umbel.sources.amqp_watch import LOOK
from umbel.sources.base import Limits

#: Seconds between looks here.
STEP = 2.0


class Queue:
    """A queue that drops its oldest beyond `bound`; what the broker tells of it is late, each by its own."""

    def __init__(self, bound: int, seed: int, held: int = 0) -> None:
        self.bound = bound
        self.random = random.Random(seed)
        self.now, self.dropped, self.held = 0.0, 0, held
        self.history = [(0.0, Counts(0, 0, held))]

    def step(self, published: int, read: int) -> None:
        """Half a second in which so many come and at most so many are read."""
        self.now += 0.5
        latest = self.history[-1][1]
        read = min(read, self.held)
        held = self.held + published - read
        self.dropped += max(0, held - self.bound)
        self.held = min(held, self.bound)
        counts = Counts(latest.published + published, latest.acknowledged + read, self.held)
        self.history.append((self.now, counts))

    def told(self) -> Counts:
        late = [max(0.0, self.now - self.random.uniform(0, LAG / 2)) for _ in Counts._fields]
        seen = [[counts for at, counts in self.history if at <= when][-1] for when in late]
        # Of each of the three, what was so at a moment of its own; none goes back.
        return Counts(seen[0].published, seen[1].acknowledged, seen[2].held)


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=120),
    st.integers(0, 2**32),
    st.integers(0, 500),
)
def test_never_more_than_was_dropped_and_all_of_it_once_the_queue_is_quiet(
    flow: list[tuple[int, int]], seed: int, held: int
) -> None:
    queue, drops, entered = Queue(500, seed, held), Drops(None), 0
    last = Counts(0, 0, 0)
    for index, (published, read) in enumerate([(0, 0)] * 30 + flow + [(0, 0)] * 60):
        queue.step(published, read)
        if index % 4 == 3:
            told = queue.told()
            last = Counts(max(last.published, told.published), max(last.acknowledged, told.acknowledged), told.held)
            found = drops.see(queue.now, last)
            entered += found.count if found else 0
        assert entered <= queue.dropped
    assert entered == queue.dropped


def looks(drops: Drops, counts: Counts, start: float, count: int = 8) -> int:
    """What is entered over some looks at counts that do not change."""
    found = [drops.see(start + STEP * n, counts) for n in range(count)]
    return sum(one.count for one in found if one)


def test_a_restart_of_the_collector_goes_on_from_its_position() -> None:
    first = Drops(None)
    assert looks(first, Counts(1_500, 0, 1_000), 0) == 500
    assert first.reckoned is not None
    known = Reckoned.of(f"7@1 {first.reckoned.text()} AAAA")
    assert known == first.reckoned
    second = Drops(known)
    assert looks(second, Counts(1_500, 0, 1_000), 100) == 0
    assert looks(second, Counts(1_800, 100, 1_000), 200) == 200


def test_a_broker_that_counts_anew_makes_no_drops() -> None:
    drops = Drops(None)
    assert looks(drops, Counts(1_500, 200, 800), 0) == 500
    # A restart: a quorum queue keeps what it held, the counts begin at nothing.
    assert looks(drops, Counts(0, 0, 800), 100) == 0
    assert looks(drops, Counts(300, 100, 950), 200) == 50


def test_the_span_of_an_entry_is_from_the_latest_look_without_it() -> None:
    drops = Drops(None)
    assert looks(drops, Counts(100, 0, 100), 0) == 0
    found = [drops.see(STEP * n, Counts(150, 0, 100)) for n in range(8, 16)]
    [dropped] = [one for one in found if one]
    assert dropped.count == 50
    assert 14 - LAG <= dropped.first_at <= 16 <= dropped.last_at <= 16 + LAG + STEP


def test_only_who_counts_writes_what_is_counted() -> None:
    book = DropBook("q")
    assert book.see(None, dict) is None
    assert book.note() == ""
    entries = [book.see((STEP * n, Counts(1_500, 0, 1_000)), dict) for n in range(8)]
    [entry] = [entry for entry in entries if entry]
    assert (entry.reason, entry.event_class, entry.count) == (Reason.QUEUE_FULL, EventClass.UNKNOWN, 500)
    other = DropBook("q")
    position = f"3@1 {book.note()} AAAAAAAAAAA="
    assert not any(other.see((100 + STEP * n, Counts(1_500, 0, 1_000)), lambda: {"q#1": position}) for n in range(8))
    assert Reckoned.of(f"3@1 {other.note()}") is not None
    assert book.see(None, dict) is None
    assert book.note() == ""


def poll_for(source: AmqpSource, kept: Kept, done: int) -> tuple[int, list[LedgerEntry]]:
    """Poll and commit until events and entries are `done` together, and for two looks more."""
    events, entries = 0, list[LedgerEntry]()

    def polled() -> bool:
        nonlocal events
        batch = source.poll(Limits(wait=0.2))
        if batch.position is not None:
            events += len(decoded(batch)) if batch.bodies else 0
            entries.extend(batch.ledger)
            assert batch.discarded.get((Reason.QUEUE_FULL, EventClass.UNKNOWN), 0) == sum(
                entry.count for entry in batch.ledger
            )
            kept.all[source.name] = batch.position
            source.commit(batch.position)
        return events + sum(entry.count for entry in entries) >= done

    wait_until(polled, "events and drops", timeout=60, every=0, explain=lambda: f"{events} events, {entries}")
    until = time.monotonic() + 2 * LOOK
    while time.monotonic() < until:
        polled()
    return events, entries


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "rounds"), [("classic", 2), ("quorum", 1)])
def test_what_a_full_queue_dropped_is_counted_to_the_message_and_once(
    rabbitmq_server: RabbitMQServer, kind: str, rounds: int
) -> None:
    api = f"{rabbitmq_server.management_url}/api"
    rig, kept = AmqpRig(rabbitmq_server.url, kind, queue_bytes=MIB, broker_api=api), Kept()
    AmqpRig.open(rig).close()
    for count, start in ((200, 0), (100, 200))[:rounds]:
        began = time.time()
        rig.publish([event | {"args": "x" * 20_000} for event in task_events(count, start)])
        source = sharing(rig, kept)
        try:
            events, entries = poll_for(source, kept, count)
        finally:
            source.close()
        assert 0 < events < 60
        assert events + sum(entry.count for entry in entries) == count
        assert not any(entry.estimated for entry in entries)
        assert all(entry.first_at >= began - LAG for entry in entries[1:])


def test_a_management_api_that_cannot_be_asked_is_named_with_the_remedy(rabbitmq_server: RabbitMQServer) -> None:
    def ask(broker_api: str) -> str:
        settings = Settings(broker=rabbitmq_server.url, broker_api=broker_api)
        with pytest.raises(BrokerError, match="rabbitmq_management") as caught:
            ManagementApi(settings, parameters(settings)[0]).counts("q")
        return str(caught.value)

    assert "does not answer" in ask(f"http://127.0.0.1:{free_port()}/api")
    wrong = ask(f"http://guest:secret@127.0.0.1:{rabbitmq_server.management_port}/api")
    assert "401" in wrong
    assert "secret" not in wrong
    assert "does not answer" in ask(f"http://127.0.0.1:{rabbitmq_server.port}/api")
    settings = Settings(broker=rabbitmq_server.url, broker_api=f"{rabbitmq_server.management_url}/api/")
    assert ManagementApi(settings, parameters(settings)[0]).counts("never made") is None


def test_of_two_collectors_one_counts(rabbitmq_server: RabbitMQServer) -> None:
    rig, kept = AmqpRig(rabbitmq_server.url, "classic"), Kept()
    one, two = sharing(rig, kept), sharing(rig, kept)
    try:
        wait_until(lambda: one._watch.counting or two._watch.counting, "one that counts")
        counting, other = (one, two) if one._watch.counting else (two, one)
        assert not other._watch.counting
        counting.close()
        wait_until(lambda: other._watch.counting, "the other to take over")
    finally:
        one.close()
        two.close()
