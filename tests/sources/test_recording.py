"""Recordings: what is written comes back, compressed or not, and damage ends them in good order."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.source_rigs import ids, poll_events, task_events
from umbel.errors import SourceError
from umbel.model.decode import Decoder
from umbel.model.ledger import LedgerEntry, Reason
from umbel.sources import recording
from umbel.sources.base import Limits
from umbel.sources.recording import Recorder, RecordingSource, message_of


def read(path: Path, limits: Limits | None = None, position: str | None = None) -> list[tuple[bytes, str]]:
    source = RecordingSource(path)
    source.open(position)
    found: list[tuple[bytes, str]] = []
    while not source.finished():
        found += source.poll(limits or Limits()).bodies
    source.close()
    return found


@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.gz"])
def test_any_message_comes_back_as_it_was(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    messages = [
        (b'{"type": "task-received"}', "application/json"),
        (b'[\n{"a": 1}\r\n]', "application/json"),
        (b" padded ", "application/json"),
        (b'{"properties": "no envelope"}', "application/json"),
        (b"\x80\x04\x00\n", "application/x-python-serialize"),
        (b"[]", "application/json"),
    ]
    recorder = Recorder(path)
    assert all(recorder.write(body, kind) for body, kind in messages)
    recorder.close()
    recorder.close()
    assert read(path) == messages


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=20), st.integers(1, 5), st.integers(1, 100))
def test_any_bytes_come_back_in_batches_of_any_size(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[bytes], messages: int, size: int
) -> None:
    path = tmp_path_factory.mktemp("recording") / "events.jsonl"
    recorder = Recorder(path)
    for body in bodies:
        recorder.write(body)
    recorder.close()
    assert [body for body, _ in read(path, Limits(messages=messages, bytes=size))] == bodies


def test_a_kombu_envelope_is_opened(tmp_path: Path) -> None:
    envelope = {
        "body": "eyJ0eXBlIjogIngifQ==",
        "content-type": "application/json",
        "properties": {"body_encoding": "base64"},
    }
    assert message_of(json.dumps(envelope).encode()) == (b'{"type": "x"}', "application/json")


@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.gz"])
def test_it_goes_on_after_the_position_stored(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    recorder = Recorder(path)
    for event in task_events(10):
        recorder.write(json.dumps({"hostname": "w@h", "timestamp": 1.0, **event}).encode())
    recorder.close()
    source = RecordingSource(path)
    source.open(None)
    position = source.poll(Limits(messages=4)).position
    source.close()
    again = RecordingSource(path)
    again.open(position)
    assert ids(poll_events(again, 6)) == [4, 5, 6, 7, 8, 9]
    again.close()


def test_empty_lines_and_a_missing_last_newline_are_no_matter(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'\n{"a": 1}\r\n\n  \n{"b": 2}')
    assert [body for body, _ in read(path)] == [b'{"a": 1}', b'{"b": 2}']


def test_a_line_beyond_the_bound_is_cut_and_the_next_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "LINE_BYTES", 64)
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"long": "' + b"x" * 500 + b'"}\n{"b": 2}\n{"c": 3}\n')
    source = RecordingSource(path)
    source.open(None)
    first = source.poll(Limits(messages=1))
    assert Decoder().bodies(first.bodies).refused[0].reason is Reason.MALFORMED
    assert source.poll(Limits(messages=1)).bodies == [(b'{"b": 2}', "application/json")]
    source.close()
    assert [body for body, _ in read(path, position=first.position)] == [b'{"b": 2}', b'{"c": 3}']


def test_a_damaged_end_is_entered_and_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl.gz"
    whole = gzip.compress(b"".join(b'{"n": %d}\n' % number for number in range(20_000)))
    path.write_bytes(whole[: len(whole) // 2])
    source = RecordingSource(path)
    source.open(None)
    entries: list[LedgerEntry] = []
    while not source.finished():
        entries += source.poll(Limits()).ledger
    assert [(entry.reason, entry.estimated) for entry in entries] == [(Reason.DAMAGED, True)]
    assert "damaged from here on" in source.status().error
    source.close()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.jsonl cannot be read: No such file"):
        RecordingSource(tmp_path / "none.jsonl").open(None)
    with pytest.raises(SourceError, match="cannot be written"):
        Recorder(tmp_path / "no" / "directory.jsonl")


def test_the_recorder_stops_at_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    recorder = Recorder(path, limit=100)
    taken = [recorder.write(b'{"n": 1234567}') for _ in range(10)]
    recorder.close()
    assert taken == [True] * 6 + [False] * 4
    assert (recorder.written, recorder.refused) == (6, 4)
    assert path.stat().st_size == recorder.bytes == 90
