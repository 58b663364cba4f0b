"""Brokers that keep nothing for us: what is refused is counted, and who cannot broadcast is told so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conformance.source_rigs import KombuRig, ids, poll_events, task_events
from tests.services import wait_until
from umbel.clock import ManualClock
from umbel.errors import SourceError
from umbel.model.event import EventClass
from umbel.model.ledger import Reason
from umbel.settings import Settings
from umbel.sources.base import Limits
from umbel.sources.kombu import KombuSource
from umbel.sources.kombu_inbox import BoundedInbox


def event(type_: str, number: int = 0) -> bytes:
    return b'{"type": "%s", "hostname": "h", "timestamp": 1, "uuid": "%d"}' % (type_.encode(), number)


def test_a_full_inbox_refuses_the_newest_and_counts_its_events_by_class() -> None:
    clock = ManualClock(1_000.0)
    inbox = BoundedInbox(clock, max_messages=2, max_bytes=1_000)
    assert inbox.put(event("task-received", 1), "application/json")
    assert inbox.put(event("task-received", 2), "application/json")
    clock.advance(5)
    both = b"[" + event("task-started") + b"," + event("task-succeeded") + b"]"
    assert not inbox.put(both, "application/json")
    clock.advance(5)
    assert not inbox.put(event("task-progress"), "application/json")
    assert not inbox.put(b"[]", "application/json")
    assert not inbox.put(b"?", "application/json")
    taken = inbox.take(Limits(wait=0))
    assert len(taken.messages) == 2
    counts = {EventClass.RUNNING: 1, EventClass.TERMINAL: 1, EventClass.QUEUED: 1, EventClass.UNKNOWN: 1}
    assert taken.refused == counts
    assert {entry.event_class: entry.count for entry in taken.ledger} == counts
    assert {(entry.reason, entry.estimated) for entry in taken.ledger} == {(Reason.SPOOL_FULL, False)}
    assert {(entry.first_at, entry.last_at) for entry in taken.ledger} == {(1_005.0, 1_010.0)}
    again = inbox.take(Limits(wait=0))
    assert (again.messages, again.refused, again.ledger) == ([], {}, [])


def test_the_inbox_is_bounded_in_bytes() -> None:
    inbox = BoundedInbox(ManualClock(), max_messages=100, max_bytes=50)
    assert inbox.put(b"x" * 40, "application/json")
    assert not inbox.put(b"x" * 11, "application/json")
    assert inbox.put(b"x" * 10, "application/json")
    assert inbox.held_bytes == 50
    inbox.take(Limits(wait=0))
    assert inbox.held_bytes == 0


def test_books_balance_when_it_overflows(tmp_path: Path) -> None:
    rig = KombuRig(tmp_path, max_messages=10)
    source = rig.open()
    try:
        rig.publish(task_events(50))
        wait_until(lambda: not list((tmp_path / "data").iterdir()), "all files being read")
        batch = source.poll(Limits(wait=1))
        assert len(batch) == 10
        assert batch.discarded == {(Reason.SPOOL_FULL, EventClass.QUEUED): 40}
        assert sum(entry.count for entry in batch.ledger) == 40
    finally:
        source.close()


def test_closing_leaves_neither_queue_nor_files_behind(tmp_path: Path) -> None:
    rig = KombuRig(tmp_path)
    with rig.started(lambda: rig.publish(task_events(3))) as source:
        poll_events(source, 3)
    rig.publish(task_events(3))
    assert list((tmp_path / "data").iterdir()) == []


def test_a_disconnection_is_a_gap_in_the_ledger(tmp_path: Path) -> None:
    rig = KombuRig(tmp_path)
    source = rig.open()
    try:
        rig.publish(task_events(2))
        poll_events(source, 2)
        shutil.rmtree(tmp_path / "data")
        wait_until(lambda: source.status().error, "the loss being noticed")
        (tmp_path / "data").mkdir()
        wait_until(lambda: source.status().connected, "the reconnection")
        assert source.status().reconnects >= 1
        entries = list(source.poll(Limits(wait=1)).ledger)
        assert entries
        assert {(entry.reason, entry.estimated, entry.count) for entry in entries} == {(Reason.DISCONNECTED, True, 0)}
        assert all(entry.first_at <= entry.last_at for entry in entries)
        rig.publish(task_events(2, start=2))
        assert sorted(ids(poll_events(source, 2))) == [2, 3]
    finally:
        source.close()


@pytest.mark.parametrize("broker", ["etcd://localhost", "zookeeper://localhost", "nonsense://localhost"])
def test_who_cannot_broadcast_is_told_so(broker: str) -> None:
    with pytest.raises(SourceError, match="://"):
        KombuSource(Settings(broker=broker)).open(None)
