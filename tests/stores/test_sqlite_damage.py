"""SQLite files that were overwritten, cut, deleted, made read-only or written by a newer Umbel: capture goes on."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conformance.store_oracle import check
from tests.conformance.store_rigs import Crash, SqliteRig, all_tasks
from tests.conformance.test_stores import SPAN, commit, task_events
from tests.strategies import START
from umbel.clock import ManualClock
from umbel.errors import StoreBusy, StoreError
from umbel.model.event import AnyEvent, TaskSucceeded
from umbel.model.ledger import Reason
from umbel.retention import Retention
from umbel.stores.base import Position, StoreState
from umbel.stores.sqlite import SqliteReader, SqliteWriter, path_of
from umbel.stores.sqlite.files import Files

DATED = re.compile(r"\.damaged-\d{8}T\d{6}(\.\d+)?$")


@pytest.fixture
def rig(tmp_path: Path) -> SqliteRig:
    return SqliteRig(tmp_path, ManualClock())


def filled(rig: SqliteRig, tasks: int = 7) -> list[AnyEvent]:
    """A closed store of a few segments; what is in it."""
    writer = rig.writer()
    events: list[AnyEvent] = []
    for n in range(tasks):
        events += task_events(f"t{n}")
        writer.write(commit(task_events(f"t{n}"), position=Position("s", str(n))))
    writer.close()
    return events


def overwrite(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.write(b"\xde\xad\xbe\xef" * 64)


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def scribble(file: Path) -> None:
    """Leave the first page as it is and spoil the others."""
    with file.open("r+b") as opened:
        opened.seek(4096)
        opened.write(os.urandom(file.stat().st_size - 4096))


DAMAGE = [overwrite, cut, scribble]


def state_of(rig: SqliteRig) -> StoreState:
    reader = rig.reader()
    try:
        return reader.state()
    finally:
        reader.close()


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_catalog_is_set_aside_and_the_tasks_are_kept(
    rig: SqliteRig, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    events = filled(rig)
    damage(rig.path)
    writer, reader = rig.writer(), rig.reader()
    (aside,) = reader.state().set_aside
    assert DATED.search(aside)
    assert rig.path.with_name(aside).exists()
    assert "set aside" in caplog.text
    assert writer.position("s") is None
    assert [entry.reason for entry in reader.ledger()] == [Reason.DAMAGED]
    writer.write(commit(task_events("new")))
    check(reader, events + task_events("new"), SPAN)
    assert set(reader.names()) == {"shop.pay"}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("number", [1, 3])
def test_a_damaged_segment_is_set_aside_its_tasks_entered_and_the_others_kept(
    rig: SqliteRig, damage: Callable[[Path], None], number: int
) -> None:
    filled(rig)
    damage(Files(rig.path).segment(number))
    writer, reader = rig.writer(), rig.reader()
    # What cannot be seen in the header of a sealed segment shows when it is written to.
    for n in range(7):
        writer.write(commit(task_events(f"t{n}")))
    writer.write(commit(task_events("new")))
    (aside,) = reader.state().set_aside
    assert DATED.search(aside)
    (entry,) = reader.ledger()
    lost = 3 if number == 1 else 1
    assert (entry.reason, entry.estimated, entry.count) == (Reason.DAMAGED, True, lost * 2)
    assert {summary.id for summary in all_tasks(reader)} == {*(f"t{n}" for n in range(7)), "new"}
    assert writer.position("s") == "6"


def test_a_segment_damaged_while_it_is_written_to_is_set_aside_and_the_commit_stored(rig: SqliteRig) -> None:
    writer, reader = rig.writer(), rig.reader()
    for n in range(4):
        writer.write(commit(task_events(f"t{n}")))
    writer._shelf.close()  # type: ignore[union-attr]
    writer._cache.clear()
    overwrite(Files(rig.path).segment(1))
    late = [*task_events("t0", START + 100), *task_events("new")]
    writer.write(commit(late, position=Position("s", "1")))
    assert {summary.id for summary in all_tasks(reader)} == {"t0", "t3", "new"}
    assert len(reader.state().set_aside) == 1
    assert writer.position("s") == "1"


def test_a_deleted_segment_is_entered_and_the_rest_goes_on(rig: SqliteRig) -> None:
    filled(rig)
    Files(rig.path).segment(2).unlink()
    writer, reader = rig.writer(), rig.reader()
    (entry,) = reader.ledger()
    assert entry.count == 6
    assert "gone" in entry.detail
    writer.write(commit(task_events("t3")))
    assert {summary.id for summary in all_tasks(reader)} == {"t0", "t1", "t2", "t3", "t6"}


@pytest.mark.parametrize("which", ["catalog", "newest segment", "directory", "everything"])
def test_files_deleted_under_a_running_writer_are_made_anew(rig: SqliteRig, which: str) -> None:
    writer = rig.writer()
    for n in range(4):
        writer.write(commit(task_events(f"t{n}")))
    files = Files(rig.path)
    if which in ("catalog", "everything"):
        for name in rig.directory.glob("umbel.db*"):
            if name.is_file():
                name.unlink()
    if which == "newest segment":
        files.segment(2).unlink()
    if which in ("directory", "everything"):
        shutil.rmtree(files.directory)
    for _ in range(3):
        try:
            writer.write(commit(task_events("new"), position=Position("s", "9")))
            break
        except StoreBusy:
            continue
    reader = rig.reader()
    kept = {"catalog": {"t0", "t1", "t2", "t3"}, "newest segment": {"t0", "t1", "t2"}}.get(which, set())
    assert {summary.id for summary in all_tasks(reader)} == kept | {"new"}
    assert writer.position("s") == "9"
    writer.close()
    writer = rig.writer()
    assert {summary.id for summary in all_tasks(reader)} == kept | {"new"}
    assert writer.position("s") == "9"


@pytest.mark.parametrize("which", ["umbel.db-wal", "umbel.db.segments/000003.db-wal", "both"])
def test_a_missing_write_ahead_log_after_a_kill_is_no_end(rig: SqliteRig, which: str) -> None:
    """Killed without a checkpoint: the newest commits were in these files alone."""
    script = (
        "import os, sys; from pathlib import Path; from tests.conformance.store_rigs import SqliteRig\n"
        "from tests.conformance.test_stores import commit, task_events; from umbel.stores.base import Position\n"
        "writer = SqliteRig(Path(sys.argv[1])).writer()\n"
        "for n in range(7): writer.write(commit(task_events(f't{n}'), position=Position('s', str(n))))\n"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script, rig.directory], check=False).returncode == -9
    logs = ["umbel.db-wal", "umbel.db.segments/000003.db-wal"] if which == "both" else [which]
    for log in logs:
        assert (rig.directory / log).stat().st_size > 0
        (rig.directory / log).unlink()
    writer, reader = rig.writer(), rig.reader()
    position = writer.position("s")
    if which == "umbel.db.segments/000003.db-wal":
        assert position == "6"
        assert [(entry.reason, entry.estimated) for entry in reader.ledger()] == [(Reason.DAMAGED, True)]
    else:
        assert position is None
    events: list[AnyEvent] = []
    for n in range(8):
        events += task_events(f"t{n}")
        writer.write(commit(task_events(f"t{n}"), position=Position("s", str(n))))
    check(reader, events, SPAN)


def test_a_log_that_a_full_disk_let_be_moved_only_in_part_is_no_damage(
    rig: SqliteRig, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The first page tells of a longer file; the other pages are in the log beside it."""
    which = "umbel.db.segments/000001.db"
    writer = rig.writer(small=False)
    events = [event for n in range(150) for event in task_events(f"t{n}")]
    writer.write(commit(events, position=Position("s", "1")))
    copy = SqliteRig(tmp_path_factory.mktemp("full"), ManualClock())
    shutil.copytree(rig.directory, copy.directory, dirs_exist_ok=True)
    with closing(sqlite3.connect(rig.directory / which)) as other:
        other.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    file = copy.directory / which
    moved = (rig.directory / which).read_bytes()
    assert len(moved) > file.stat().st_size
    assert file.with_name(f"{file.name}-wal").stat().st_size > 0
    with file.open("r+b") as opened:
        opened.write(moved[:4096])
    again, reader = copy.writer(small=False), copy.reader()
    assert not reader.state().set_aside
    assert again.position("s") == "1"
    check(reader, events, SPAN)
    again.write(commit(task_events("new")))
    check(reader, events + task_events("new"), SPAN)


def make_newer(file: Path) -> bytes:
    """As a later Umbel would leave it; what is in the file then."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return file.read_bytes()


@pytest.mark.parametrize("which", [["umbel.db"], ["000001.db", "000003.db"], ["umbel.db", "000001.db", "000003.db"]])
def test_a_store_of_a_newer_umbel_is_set_aside_whole_and_capture_goes_on(
    rig: SqliteRig, which: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    filled(rig)
    places = {file.name: file for file in rig.directory.rglob("*.db")}
    kept = {name: make_newer(places[name]) for name in which}
    if "umbel.db" in which:
        with pytest.raises(StoreError, match=r"newer Umbel .*upgrade Umbel"):
            rig.reader().state()
    writer, reader = rig.writer(), rig.reader()
    # The late event opens the sealed segment, which was not looked into before.
    late = TaskSucceeded(hostname="w1@a", pid=1, timestamp=START + 9, uuid="t0", result="1")
    writer.write(commit([late, *task_events("new")], position=Position("s", "9")))
    names = reader.state().set_aside
    assert len(names) == len(which)
    for name, content in kept.items():
        (aside,) = (aside for aside in names if aside.startswith(name))
        assert re.search(r"\.newer-\d{8}T\d{6}$", aside)
        assert places[name].with_name(aside).read_bytes() == content
        assert aside in caplog.text
    assert {entry.reason for entry in reader.ledger()} == {Reason.DAMAGED}
    left = {"t3", "t4", "t5"} if "000001.db" in which else {f"t{n}" for n in range(1, 7)}
    assert {summary.id for summary in all_tasks(reader)} == left | {"t0", "new"}
    assert writer.position("s") == "9"


def test_another_programs_database_is_left_alone(rig: SqliteRig) -> None:
    connection = sqlite3.connect(rig.path)
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    attempts: list[Callable[[], object]] = [rig.writer, lambda: rig.reader().state()]
    for attempt in attempts:
        with pytest.raises(StoreError, match="another program's"):
            attempt()
    assert not list(rig.directory.glob("*damaged*"))


def as_nobody(code: str, *arguments: object) -> str:
    """What a Python process without any rights prints."""
    if os.getuid() != 0:
        pytest.skip("needs root, to become somebody who has fewer rights")
    drop = "import os; os.setgid(65534); os.setuid(65534)"
    script = code.replace("# as nobody", drop)
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


WRITE_ONE = """
import sys; from pathlib import Path
from tests.conformance.store_rigs import SqliteRig
from tests.conformance.test_stores import commit, task_events
from umbel.errors import StoreError
# as nobody
try:
    writer = SqliteRig(Path(sys.argv[1])).writer()
    writer.write(commit(task_events("new")))
    print("written")
except StoreError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def public() -> Iterator[SqliteRig]:
    """A rig where others may look: pytest's own directories are closed to them."""
    with tempfile.TemporaryDirectory(prefix="umbel-store-") as name:
        Path(name).chmod(0o755)
        yield SqliteRig(Path(name), ManualClock())


def test_read_only_files_are_set_aside_where_the_directory_may_be_written(public: SqliteRig) -> None:
    filled(public)
    public.directory.chmod(0o777)
    files = Files(public.path)
    files.directory.chmod(0o777)
    files.lock.chmod(0o666)
    for file in (public.path, *files.directory.glob("*.db")):
        file.chmod(0o444)
    assert "written" in as_nobody(WRITE_ONE, public.directory)
    state = state_of(public)
    assert any(name.startswith("umbel.db.damaged-") for name in state.set_aside)
    assert state.tasks >= 1


def test_a_directory_that_may_not_be_written_is_an_error_that_names_the_remedy_and_readers_still_read(
    public: SqliteRig,
) -> None:
    filled(public)
    # Its owner lets others look: Umbel by itself keeps them out.
    for place in (public.path, *Files(public.path).directory.iterdir()):
        place.chmod(0o644)
    Files(public.path).directory.chmod(0o755)
    said = as_nobody(WRITE_ONE, public.directory)
    assert said.startswith("StoreError")
    assert "Traceback" not in said
    assert str(public.path) in said
    read = "import sys; from pathlib import Path; from umbel.stores.sqlite import SqliteReader\n# as nobody\n"
    read += "print(SqliteReader(Path(sys.argv[1])).state().tasks)"
    assert as_nobody(read, public.path).strip() == "7"


def test_a_second_writer_is_told_who_the_first_is(rig: SqliteRig) -> None:
    writer = rig.writer()
    writer.write(commit(task_events("t")))
    with pytest.raises(StoreBusy, match=f"process {os.getpid()}"):
        SqliteWriter(rig.path).open()
    writer.close()
    rig.writer().close()


def test_a_damaged_or_dropped_segment_does_not_disturb_readers(rig: SqliteRig) -> None:
    filled(rig)
    reader = rig.reader()
    assert len(all_tasks(reader)) == 7
    overwrite(Files(rig.path).segment(2))
    assert len(all_tasks(rig.reader())) == 4
    shutil.copy(Files(rig.path).segment(1), rig.directory / "copy")
    Files(rig.path).segment(1).unlink()
    assert {summary.id for summary in all_tasks(rig.reader())} == {"t6"}
    assert reader.task("t0") is None
    assert reader.rollup(*SPAN, 60)


def test_a_segment_whose_drop_was_cut_short_is_dropped_at_the_next_start(
    rig: SqliteRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = rig.writer()
    for n in range(7):
        writer.write(commit(task_events(f"t{n}")))

    def die(_file: Path) -> int:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr("umbel.stores.sqlite.removal.delete", die)
        with pytest.raises(Crash):
            writer.maintain(Retention(size=1), START)
    rig.bury(writer)
    reader = rig.reader()
    assert len(all_tasks(reader)) == 4
    writer = rig.writer()
    assert not Files(rig.path).segment(1).exists()
    assert len(all_tasks(reader)) == 4


def test_half_made_segments_are_no_damage(rig: SqliteRig) -> None:
    events = filled(rig)
    Files(rig.path).segment(9).touch()
    writer, reader = rig.writer(), rig.reader()
    assert not reader.state().set_aside
    writer.write(commit(task_events("new")))
    check(reader, events + task_events("new"), SPAN)


def test_the_filters_file_may_be_lost_or_of_another_size(rig: SqliteRig) -> None:
    events = filled(rig, 12)
    writer = rig.writer()
    for _ in range(5):
        writer.maintain(Retention(), START)
    writer.close()
    file = Files(rig.path).filter(0)
    assert file.exists()
    for spoil in (file.unlink, lambda: file.write_bytes(b"short"), lambda: None):
        spoil()
        writer, reader = rig.writer(), rig.reader()
        writer.write(commit(events))
        check(reader, events, SPAN)
        for _ in range(5):
            writer.maintain(Retention(), START)
        check(reader, events, SPAN)
        reader.close()
        writer.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite://host/x.db", "mysql:///x.db"])
def test_a_url_without_a_file_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match="sqlite:///PATH"):
        path_of(url)


def test_urls_name_relative_and_absolute_files() -> None:
    assert path_of("sqlite:///umbel.db") == Path("umbel.db")
    assert path_of("sqlite:////var/lib/a%20b.db") == Path("/var/lib/a b.db")


def test_sessions_are_bounded_and_end_with_the_reader(rig: SqliteRig) -> None:
    filled(rig)
    reader = SqliteReader(rig.path)
    assert reader.state().tasks == 7
    reader.close()
    with pytest.raises(StoreError, match="closed"):
        reader.state()


def test_several_damaged_segments_in_one_batch_are_all_set_aside(rig: SqliteRig) -> None:
    filled(rig, 12)
    writer, reader = rig.writer(), rig.reader()
    writer._shelf.close()  # type: ignore[union-attr]
    for number in (1, 2, 3):
        scribble(Files(rig.path).segment(number))
    writer.write(commit([event for n in range(12) for event in task_events(f"t{n}", START + 50)]))
    assert len(all_tasks(reader)) == 12
    assert len(reader.state().set_aside) == 3
