"""Dropping a segment holds nobody up: its file goes beside the writer."""

from __future__ import annotations

import threading
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from tests.conformance.test_stores import commit, ended
from tests.support.environment import wait_until
from umbel.clock import ManualClock
from umbel.retention import Retention
from umbel.stores.sqlite import SqliteReader, SqliteWriter, files, moving, removal

START = 1_750_000_000.0


class Disk:
    """A file system whose deletions wait for a word."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = threading.Event()
        self.go = threading.Event()
        self._delete = files.delete
        monkeypatch.setattr(removal, "SMALL", 0)
        monkeypatch.setattr(removal, "delete", self.delete)

    def delete(self, file: Path) -> int:
        self.asked.set()
        assert self.go.wait(60)
        return self._delete(file)


def filled(path: Path) -> SqliteWriter:
    """A writer with a segment of two tasks that is full, and a newer one."""
    writer = SqliteWriter(path, clock=ManualClock(), segment_tasks=2)
    writer.open()
    for number in range(3):
        at = START + 1_000 * number
        writer.write(commit(ended(f"task-{2 * number}", at) + ended(f"task-{2 * number + 1}", at), at=at))
    return writer


def test_a_dropped_segment_is_gone_for_readers_and_the_writer_goes_on_while_its_file_is_being_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "umbel.db"
    writer, reader = filled(path), SqliteReader(path)
    file = path.with_name("umbel.db.segments") / "000001.db"
    disk = Disk(monkeypatch)
    now = START + 2_000
    assert writer.maintain(Retention(age=1_500), now).dropped_tasks == 2

    assert disk.asked.wait(60)
    assert file.exists()
    assert reader.task("task-0") is None
    assert reader.state().tasks == 4
    writer.write(commit(ended("task-0", now), at=now))
    assert writer.maintain(Retention(age=1_500), now).dropped_tasks == 0
    # Bytes that are about to go are not made up for by others.
    assert writer.maintain(Retention(size=1), now).dropped_tasks == 0

    disk.go.set()
    wait_until(lambda: not file.exists(), "the file to be deleted")
    assert reader.task("task-0") is not None
    reader.close()
    writer.close()


def test_a_writer_that_died_before_the_file_was_deleted_deletes_it_when_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "umbel.db"
    writer = filled(path)
    file = path.with_name("umbel.db.segments") / "000001.db"
    monkeypatch.setattr(removal, "SMALL", 0)
    with monkeypatch.context() as broken:

        def refuse(_: Path) -> int:
            raise PermissionError(13, "Permission denied")

        broken.setattr(removal, "delete", refuse)
        assert writer.maintain(Retention(age=1_500), START + 2_000).dropped_tasks == 2
        writer.close()
    assert file.exists()

    writer = SqliteWriter(path, clock=ManualClock(), segment_tasks=2)
    writer.open()
    assert not file.exists()
    writer.close()
    reader = SqliteReader(path)
    assert reader.state().tasks == 4
    assert reader.task("task-0") is None
    reader.close()


def test_the_log_of_the_catalog_is_moved_into_its_file_beside_the_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "ROWS", 20)
    path = tmp_path / "umbel.db"
    writer = filled(path)
    before = path.read_bytes()
    numbers = count()

    def moved() -> bool:
        number = next(numbers)
        at = START + 10_000 + number
        writer.write(commit(ended(f"another-{number}", at), at=at))
        writer.maintain(Retention(), START)
        return path.read_bytes() != before

    wait_until(moved, "the file of the catalog to change")
    writer.close()
    with closing(SqliteReader(path)) as reader:
        assert reader.state().tasks >= 7
