"""The spool as the collector's source: batches, positions and entries for the ledger come through whole."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sources.test_redis_count import EVENT, envelope
from umbel.buffer.writer import SpoolWriter
from umbel.clock import SystemClock
from umbel.errors import SourceError
from umbel.model.decode import Decoder
from umbel.model.event import EventClass
from umbel.model.ledger import LedgerEntry, Reason
from umbel.sources.base import Limits
from umbel.sources.spool import SpoolSource

LIMIT = 16 << 20
CLOCK = SystemClock()
SOON = Limits(wait=0.0)
GAP = LedgerEntry(
    Reason.DISCONNECTED, EventClass.UNKNOWN, 5.0, 9.0, 0, estimated=True, detail="the server was restarted"
)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def writer(spool: Path) -> Iterator[SpoolWriter]:
    made = SpoolWriter(spool, LIMIT, CLOCK)
    yield made
    made.close()


@pytest.fixture
def source(spool: Path) -> Iterator[SpoolSource]:
    made = SpoolSource(spool, LIMIT, CLOCK)
    made.open(None)
    yield made
    made.close()


def numbered(n: int) -> bytes:
    return envelope(json.dumps(EVENT | {"uuid": str(n)}).encode())


def uuids(messages: object) -> list[str]:
    return [event.uuid for event in Decoder().envelopes(messages).events]  # type: ignore[arg-type, union-attr, misc]


def test_messages_come_in_order_with_the_time_of_their_capture(writer: SpoolWriter, source: SpoolSource) -> None:
    writer.append([numbered(1), numbered(2)], 2, 100.0)
    writer.append([numbered(3)], 1, 200.0)
    batch = source.poll(SOON)
    assert uuids(batch.envelopes) == ["1", "2", "3"]
    assert batch.captured_at == 100.0
    assert batch.position is not None
    assert not batch.bodies
    assert not batch.ledger


def test_limits_of_messages_and_bytes_hold_and_nothing_is_left_out(writer: SpoolWriter, source: SpoolSource) -> None:
    messages = [numbered(n) for n in range(50)]
    writer.append(messages, 50, 1.0)
    seen: list[bytes] = []
    size = len(messages[0])
    while (batch := source.poll(Limits(messages=7, bytes=4 * size + 10, wait=0.0))).position is not None:
        assert 0 < len(batch) <= 4
        seen += batch.envelopes
    assert seen == messages


def test_gaps_come_in_their_place(writer: SpoolWriter, source: SpoolSource) -> None:
    writer.append([numbered(1)], 1, 1.0)
    writer.note(GAP)
    batch = source.poll(SOON)
    assert list(batch.ledger) == [GAP]
    assert batch.discarded == {}


def test_a_gap_alone_has_a_position_to_commit(writer: SpoolWriter, source: SpoolSource) -> None:
    writer.note(GAP)
    batch = source.poll(SOON)
    assert (len(batch), list(batch.ledger)) == (0, [GAP])
    assert batch.position is not None
    source.commit(batch.position)
    assert source.poll(SOON).position is None


def test_what_was_committed_does_not_come_again_and_what_was_not_does(
    spool: Path, writer: SpoolWriter, source: SpoolSource
) -> None:
    writer.append([numbered(1)], 1, 1.0)
    first = source.poll(SOON)
    assert first.position is not None
    source.commit(first.position)
    writer.append([numbered(2)], 1, 2.0)
    assert uuids(source.poll(SOON).envelopes) == ["2"]
    source.close()
    again = SpoolSource(spool, LIMIT, CLOCK)
    again.open(first.position)
    try:
        assert uuids(again.poll(SOON).envelopes) == ["2"]
    finally:
        again.close()


def test_an_empty_poll_waits_as_long_as_told(writer: SpoolWriter, source: SpoolSource) -> None:
    began = time.monotonic()
    batch = source.poll(Limits(wait=0.3))
    assert 0.25 < time.monotonic() - began < 30
    assert batch.position is None
    assert not source.finished()


def test_a_message_ends_the_wait(writer: SpoolWriter, source: SpoolSource) -> None:
    writer.append([numbered(1)], 1, 1.0)
    began = time.monotonic()
    assert len(source.poll(Limits(wait=60))) == 1
    assert time.monotonic() - began < 30


def test_the_status_counts_what_waits(writer: SpoolWriter, source: SpoolSource) -> None:
    assert source.status().backlog_events == 0
    writer.append([numbered(1), numbered(2)], 2, 123.0)
    batch = source.poll(SOON)
    status = source.status()
    assert status.connected
    assert status.error == ""
    assert (status.backlog_events, status.buffer_limit) == (2, LIMIT)
    assert status.buffer_bytes > 0
    assert status.oldest_at == 123.0
    assert batch.position is not None
    source.commit(batch.position)
    assert source.status().backlog_events == 0


def test_a_spool_that_is_read_already_is_refused_in_plain_words(spool: Path, source: SpoolSource) -> None:
    second = SpoolSource(spool, LIMIT, CLOCK)
    with pytest.raises(SourceError, match="another collector"):
        second.open(None)
    assert not second.status().connected


def test_a_position_of_another_kind_is_refused(spool: Path) -> None:
    source = SpoolSource(spool, LIMIT, CLOCK)
    with pytest.raises(SourceError, match="not a position"):
        source.open("rabbit")


def test_closing_is_idempotent_and_then_nothing_is_read(source: SpoolSource) -> None:
    source.close()
    source.close()
    assert not source.status().connected
    with pytest.raises(SourceError, match="open"):
        source.poll(SOON)


def test_it_may_be_opened_before_the_receiver_has_ever_run(spool: Path) -> None:
    source = SpoolSource(spool, LIMIT, CLOCK)
    source.open(None)
    try:
        assert source.poll(SOON).position is None
        writer = SpoolWriter(spool, LIMIT, CLOCK)
        writer.append([numbered(1)], 1, 1.0)
        writer.close()
        assert len(source.poll(Limits(wait=2.0))) == 1
    finally:
        source.close()
