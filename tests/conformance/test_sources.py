"""One suite for every source: what the collector relies on, whatever the broker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.source_rigs import (
    AmqpRig,
    KombuRig,
    RecordingRig,
    Rig,
    SpoolRig,
    ids,
    poll_events,
    task_events,
)
from umbel.model.decode import Decoder
from umbel.model.ledger import Reason
from umbel.sources.base import Limits, Source

KINDS = ("spool", "classic", "quorum", "stream", "kombu", "recording")


@pytest.fixture(params=KINDS)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    kind = request.param
    if kind == "spool":
        made = SpoolRig(request.getfixturevalue("redis_server").url, tmp_path)
        made.receive()
        yield made
        made.stop()
    elif kind == "kombu":
        yield KombuRig(tmp_path)
    elif kind == "recording":
        yield RecordingRig(tmp_path / "events.jsonl")
    else:
        yield AmqpRig(request.getfixturevalue("rabbitmq_server").url, kind)


def test_events_of_a_celery_dispatcher_arrive_once_and_decode(rig: Rig) -> None:
    with rig.started(lambda: rig.publish(task_events(200), batch=10)) as source:
        events = poll_events(source, 200)
        assert sorted(ids(events)) == list(range(200))
        assert {event.hostname for event in events} == {"w1@rig"}
        assert not len(source.poll(Limits(wait=0.3)))


def test_order_of_one_publisher_is_kept(rig: Rig) -> None:
    if not rig.ordered:
        pytest.skip("this transport keeps no order; merging needs none")
    with rig.started(lambda: rig.publish(task_events(300))) as source:
        assert ids(poll_events(source, 300, limits=Limits(messages=7, wait=0.2))) == list(range(300))


def test_a_poll_gives_no_more_messages_than_asked_for(rig: Rig) -> None:
    with rig.started(lambda: rig.publish(task_events(50))) as source:
        found = 0
        while found < 50:
            batch = source.poll(Limits(messages=8, wait=60))
            assert 1 <= len(batch) <= 8
            assert batch.position is not None
            assert bool(batch.envelopes) != bool(batch.bodies)
            found += len(batch)


def test_a_poll_gives_no_more_bytes_than_asked_for_but_one_message(rig: Rig) -> None:
    def send() -> None:
        rig.publish([event | {"args": "x" * 4_000} for event in task_events(10)])

    with rig.started(send) as source:
        found, deadline = 0, time.monotonic() + 90
        while found < 10:
            assert time.monotonic() < deadline, f"{found} of 10 events came; {source.status()}"
            batch = source.poll(Limits(bytes=9_000, wait=60))
            assert len(batch) <= 2
            found += len(batch)
            one = source.poll(Limits(bytes=1, wait=0.5))
            assert len(one) <= 1
            found += len(one)


def test_an_empty_poll_returns_in_time(rig: Rig) -> None:
    with rig.started(lambda: rig.publish(task_events(1))) as source:
        poll_events(source, 1)
        began = time.monotonic()
        batch = source.poll(Limits(wait=0.3))
        assert time.monotonic() - began < 20
        assert not len(batch)
        assert batch.position is None
        assert list(batch.ledger) == []


def test_what_was_not_committed_comes_again_and_what_was_does_not(rig: Rig) -> None:
    if not rig.durable:
        pytest.skip("declared not durable")
    stored: str | None = None
    first = 0
    with rig.started(lambda: rig.publish(task_events(30))) as source:
        taken: list[int] = []
        while len(taken) < 30:
            batch = source.poll(Limits(messages=10, wait=60))
            if not taken:
                assert batch.position is not None
                source.commit(batch.position)
                stored = batch.position
                first = len(batch)
            taken += range(len(batch))
        if rig.live:
            time.sleep(0.3)
    again = rig.open(stored)
    try:
        assert sorted(ids(poll_events(again, 30 - first))) == list(range(first, 30))
        assert not len(again.poll(Limits(wait=0.5)))
    finally:
        again.close()


def test_poison_passes_through_unharmed_beside_good_events(rig: Rig) -> None:
    poison = [b"\xff\x00\xfe", b"{", b'{"no": "type"}', b"[1, 2]", "not json ü".encode()]

    def send() -> None:
        rig.publish(task_events(1))
        for body in poison:
            rig.publish_raw(body)
        rig.publish_raw(b"\x80\x04K\x01.", "application/x-python-serialize")
        rig.publish(task_events(1, start=1))

    with rig.started(send) as source:
        decoder = Decoder()
        good: list[int] = []
        raw: list[bytes] = []
        reasons: list[Reason] = []
        deadline = time.monotonic() + 90
        while len(good) < 2 or len(raw) < 7:
            assert time.monotonic() < deadline, (good, raw)
            batch = source.poll(Limits(wait=0.2))
            out = decoder.envelopes(batch.envelopes) if batch.envelopes else decoder.bodies(batch.bodies)
            good += ids(out.events)
            raw += [refused.raw for refused in out.refused]
            reasons += [refused.reason for refused in out.refused]
        assert sorted(good) == [0, 1]
        # A list of two wrong items is refused item by item.
        assert sorted(raw) == sorted([*poison[:3], b"1", b"2", poison[4], b"\x80\x04K\x01."])
        assert sorted(reasons) == [Reason.CONTENT_TYPE] + 6 * [Reason.MALFORMED]


def test_batches_say_when_they_were_captured(rig: Rig) -> None:
    before = time.time()
    with rig.started(lambda: rig.publish(task_events(1))) as source:
        batch = source.poll(Limits(wait=60))
        assert before - 1 <= batch.captured_at <= time.time()


def test_status_tells_of_connection_and_of_what_waits(rig: Rig) -> None:
    with rig.started(lambda: rig.publish(task_events(20))) as source:
        status = source.status()
        assert status.connected
        assert status.error == ""
        assert status.reconnects == 0
        assert status.since <= time.time()
        if rig.live:
            deadline = time.monotonic() + 90
            while source.status().backlog_events < 20:
                assert time.monotonic() < deadline, source.status()
                time.sleep(0.05)
        poll_events(source, 20)
        if rig.live:
            deadline = time.monotonic() + 90
            while source.status().backlog_events:
                assert time.monotonic() < deadline, source.status()
                time.sleep(0.05)
    assert not source.status().connected


def test_only_a_recording_is_ever_finished(rig: Rig) -> None:
    with rig.started(lambda: rig.publish(task_events(3))) as source:
        assert not source.finished()
        poll_events(source, 3)
        source.poll(Limits(wait=0.1))
        assert source.finished() is isinstance(rig, RecordingRig)


def test_closing_is_quick_and_may_be_repeated(rig: Rig) -> None:
    with rig.started(lambda: rig.publish(task_events(5))) as source:
        source.poll(Limits(wait=1))
        began = time.monotonic()
        source.close()
        source.close()
        assert time.monotonic() - began < 20


def test_the_name_is_the_same_after_a_restart_or_begins_alike(rig: Rig) -> None:
    first: Source = rig.source()
    second: Source = rig.source()
    assert first.name.partition("#")[0] == second.name.partition("#")[0]
    # Collectors that share a queue keep a position each; what begins with one's name is never another source's.
    assert (first.name == second.name) != ("#" in first.name)
