"""A commit into a long history: segments that the filter suspects in vain are asked, and not opened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.store_oracle import check
from tests.conformance.store_process import START
from tests.conformance.test_stores import SPAN, commit, task_events
from umbel.clock import ManualClock
from umbel.model.event import AnyEvent, TaskFailed
from umbel.retention import Retention
from umbel.stores.sqlite import SqliteReader, SqliteWriter, lookups, shelf
from umbel.stores.sqlite.filter import Filter
from umbel.stores.sqlite.lookups import Lookups
from umbel.stores.sqlite.segment import Segment

#: Tasks of a segment, and segments: more than the writer keeps open.
TASKS, SEGMENTS = 40, shelf.OPEN + 6


def ids(segment: int) -> list[str]:
    """Every other one is no UUID."""
    return [f"{n:08x}-0000-4000-8000-{segment:012x}" if n % 2 else f"t{n}-{segment}" for n in range(TASKS)]


@pytest.fixture
def history(tmp_path: Path) -> Iterator[tuple[SqliteWriter, SqliteReader, list[AnyEvent]]]:
    """Half of the segments are sealed."""
    writer = SqliteWriter(tmp_path / "umbel.db", clock=ManualClock(), segment_tasks=TASKS, quiet=0.0)
    writer.open()
    reader = SqliteReader(tmp_path / "umbel.db", budget=60.0)
    events: list[AnyEvent] = []
    for segment in range(SEGMENTS):
        if segment == SEGMENTS // 2:
            while not all(part.sealed for part in reader.parts()[1:]):
                writer.maintain(Retention(), START + 10_000)
        some = [event for id_ in ids(segment) for event in task_events(id_, START + segment)]
        writer.write(commit(some, START))
        events += some
    yield writer, reader, events
    reader.close()
    writer.close()


def test_tasks_of_any_segment_are_found_again_when_more_comes_about_them(
    history: tuple[SqliteWriter, SqliteReader, list[AnyEvent]], monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, reader, events = history
    monkeypatch.setattr(lookups, "SOME", 7)
    monkeypatch.setattr(lookups, "KEPT", 3)
    for at in range(0, TASKS, 8):
        late: list[AnyEvent] = [
            TaskFailed(hostname="w1@a", pid=1, timestamp=START + 50, uuid=id_, exception="ValueError('x')")
            for segment in range(SEGMENTS)
            for id_ in ids(segment)[at : at + 8]
        ]
        # New tasks among them, and after a start nothing is remembered.
        new = [event for n in range(3) for event in task_events(f"new{at}-{n}", START)]
        writer.close()
        writer.open()
        writer.write(commit(late + new, START))
        events += late + new
    check(reader, events, SPAN)


def test_segments_that_are_suspected_in_vain_are_not_opened(
    history: tuple[SqliteWriter, SqliteReader, list[AnyEvent]], monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, reader, events = history
    monkeypatch.setattr(Filter, "candidates", lambda self, _: list(range(1, SEGMENTS + 1)))
    claim, of = Filter.claim, Segment.open
    opened: list[Path] = []

    def suspicious(self: Filter, number: int, keys: list[bytearray | str]) -> object:
        found = claim(self, number, keys)
        plain = [key if isinstance(key, str) else bytes(key) for key in keys]
        return found | dict.fromkeys(range(1, SEGMENTS + 1), plain)

    monkeypatch.setattr(Filter, "claim", suspicious)

    def noted(file: Path, *, cache_kib: int) -> Segment:
        opened.append(file)
        return of(file, cache_kib=cache_kib)

    monkeypatch.setattr(Segment, "open", noted)
    for n in range(5):
        new = [event for one in range(4) for event in task_events(f"new{n}-{one}", START)]
        writer.write(commit(new, START))
        events += new
    assert opened == []
    check(reader, events, SPAN)


def test_what_cannot_be_asked_is_left_to_whoever_opens_it(tmp_path: Path) -> None:
    asked = Lookups()
    assert list(asked.there(1, tmp_path / "gone.db", ["a", "b"])) == ["a", "b"]
    assert not (tmp_path / "gone.db").exists()
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"no database" * 1_000)
    assert list(asked.there(2, broken, ["a"])) == ["a"]
    asked.close()
