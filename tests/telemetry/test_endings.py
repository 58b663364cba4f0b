"""The queue of ended tasks: bounded, in order, the same after any restart, and never in the collector's way."""

from __future__ import annotations

import os
from pathlib import Path

from umbel.endings import EndingsReader, EndingsWriter


def drained(reader: EndingsReader) -> list[str]:
    found: list[str] = []
    while (line := reader.next()) is not None:
        found += line.ids
        reader.done(line)
    return found


def test_what_is_noted_is_read_in_order_whatever_the_ids_are(tmp_path: Path) -> None:
    writer, reader = EndingsWriter(tmp_path / "e", file=500), EndingsReader(tmp_path / "e")
    assert reader.next() is None
    ids = [f"id-{number}" for number in range(1_200)] + ["two\nlines", "\ud800", '"', ""]
    writer.note(1.5, ids)
    first = reader.next()
    assert first is not None
    assert (first.at, first.ids[0]) == (1.5, "id-0")
    assert drained(reader) == ids
    assert reader.waiting() == 0
    assert len(list((tmp_path / "e").glob("*.ids"))) == 1, "what is done with is deleted"


def test_a_reader_goes_on_behind_what_was_done_and_a_writer_in_a_new_file(tmp_path: Path) -> None:
    EndingsWriter(tmp_path).note(1.0, ["a"])
    reader = EndingsReader(tmp_path)
    line = reader.next()
    assert line is not None
    assert EndingsReader(tmp_path).next() == line, "not done: it comes again"
    reader.done(line)
    EndingsWriter(tmp_path).note(2.0, ["b"])
    assert drained(EndingsReader(tmp_path)) == ["b"]
    assert drained(EndingsReader(tmp_path)) == []


def test_files_that_somebody_removed_stop_nothing(tmp_path: Path) -> None:
    writer = EndingsWriter(tmp_path, file=30)
    for id_ in "abc":
        writer.note(1.0, [id_ * 20])
    reader = EndingsReader(tmp_path)
    assert len(drained(reader)) == 3
    for file in tmp_path.glob("*.ids"):
        file.unlink()
    EndingsWriter(tmp_path).note(2.0, ["d"])
    assert drained(reader) == ["d"]


def test_a_line_that_was_cut_by_a_crash_is_passed_over(tmp_path: Path) -> None:
    EndingsWriter(tmp_path).note(1.0, ["a"])
    (file,) = tmp_path.glob("*.ids")
    with file.open("ab") as opened:
        opened.write(b'[2.0, ["cu')
    reader = EndingsReader(tmp_path)
    line = reader.next()
    assert line is not None
    reader.done(line)
    assert reader.next() is None
    EndingsWriter(tmp_path).note(3.0, ["b"])
    assert drained(reader) == ["b"]


def test_a_damaged_line_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "000000000001.ids").write_bytes(b'nonsense\n[1, 2]\n{}\n[1.0, ["a"]]\n')
    (tmp_path / "position").write_text("what?")
    assert drained(EndingsReader(tmp_path)) == ["a"]


def test_a_full_queue_refuses_and_counts_and_takes_again_once_there_is_room(tmp_path: Path) -> None:
    writer, reader = EndingsWriter(tmp_path, limit=2_000, file=500), EndingsReader(tmp_path)
    for number in range(100):
        writer.note(1.0, [f"{number:030d}"])
    kept = drained(reader)
    assert kept == [f"{number:030d}" for number in range(len(kept))], "the head stays, the newest is refused"
    assert 0 < len(kept) < 100
    assert writer.refused == 100 - len(kept)
    assert sum(file.stat().st_size for file in tmp_path.glob("*.ids")) <= 2_000
    writer.note(1.0, ["again"])
    assert drained(reader) == ["again"]


def test_a_place_that_is_no_directory_is_counted_and_raises_nothing(tmp_path: Path) -> None:
    (tmp_path / "e").write_text("")
    writer = EndingsWriter(tmp_path / "e")
    writer.note(1.0, ["a", "b"])
    assert writer.refused == 2


def test_nobody_else_may_read_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        EndingsWriter(tmp_path / "e").note(1.0, ["a"])
        drained(EndingsReader(tmp_path / "e"))
    finally:
        os.umask(before)
    assert {oct(path.stat().st_mode & 0o777) for path in (tmp_path / "e").iterdir()} == {"0o600"}
    assert (tmp_path / "e").stat().st_mode & 0o077 == 0
