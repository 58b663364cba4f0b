"""`umbel db`: a store looked over, brought up to date, made smaller; moved by a process that is killed."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.conformance.store_process import START, history
from umbel.errors import StoreBusy, StoreError
from umbel.model.merge import fold
from umbel.runtime.checks import consistent
from umbel.stores.base import Commit, Finding
from umbel.stores.sqlite import SqliteKeeper, SqliteReader, SqliteWriter
from umbel.stores.sqlite.catalog import MIGRATIONS
from umbel.stores.sqlite.connect import APPLICATION_ID

SEGMENTS = "umbel.db.segments"


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 1,500 tasks in eight segments."""
    path = tmp_path_factory.mktemp("kept") / "umbel.db"
    writer = SqliteWriter(path, segment_tasks=200)
    writer.open()
    for number, events in enumerate(history()):
        writer.write(Commit(at=START + number, tasks=fold(events), stored=len(events)))
    writer.close()
    return path


@pytest.fixture
def path(kept: Path, tmp_path: Path) -> Path:
    """A copy of it, to be harmed."""
    shutil.copytree(kept.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / kept.name


def problems(path: Path) -> dict[str, str]:
    return {finding.what: finding.problem for finding in SqliteKeeper(path).check() if finding.problem}


def inconsistent(path: Path) -> list[Finding]:
    with closing(SqliteReader(path)) as reader:
        return [finding for finding in consistent(reader, lambda _: None) if finding.problem]


def segment(path: Path, number: int = 3) -> Path:
    return path.parent / SEGMENTS / f"{number:06d}.db"


def execute(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(statement)
        connection.commit()


def test_nothing_is_wrong_with_a_store_as_it_is_written(path: Path) -> None:
    assert problems(path) == {}
    assert inconsistent(path) == []
    assert SqliteKeeper(path).migrate() == []


def flip(file: Path) -> None:
    """Damage two whole pages in the middle of a file."""
    data = bytearray(file.read_bytes())
    middle = len(data) // 8192 * 4096
    data[middle : middle + 8192] = b"\xa5" * 8192
    file.write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "file", "says"),
    [
        (lambda path: flip(segment(path)), "000003.db", "damaged"),
        (lambda path: segment(path).write_bytes(b"no database"), "000003.db", "does not begin"),
        (lambda path: segment(path).unlink(), "umbel.db", "1 segments are gone (000003.db)"),
        (lambda path: segment(path).rename(segment(path, 33)), "000033.db", "says that it is segment 3"),
        (lambda path: execute(segment(path), "DELETE FROM task WHERE n % 50 = 0"), "000003.db", "holds"),
        (lambda path: execute(segment(path), "DELETE FROM record WHERE n % 50 = 0"), "000003.db", "records"),
        (lambda path: segment(path).with_name("notes.txt").write_text("x"), "notes.txt", "belongs to nothing"),
        (lambda path: segment(path).with_name("filter-0009.bits").write_bytes(b"x"), "filter-0009.bits", "no segment"),
        (lambda path: segment(path).with_name("000002.db.damaged-2").write_bytes(b"x"), "000002.db.damaged-2", "aside"),
        (lambda path: segment(path).with_name("000002.sealing").write_bytes(b"x"), "000002.sealing", "being sealed"),
        (lambda path: segment(path, 90).with_suffix(".db-wal").write_bytes(b"x"), "000090.db-wal", "is gone"),
    ],
)
def test_what_is_wrong_with_files_is_told_in_plain_words(
    path: Path, harm: Callable[[Path], None], file: str, says: str
) -> None:
    harm(path)
    assert says in problems(path)[file]


@pytest.mark.parametrize(
    ("file", "statement", "says"),
    [
        (
            "segment",
            "DELETE FROM rollup WHERE step = 60 AND at IN (SELECT at FROM rollup LIMIT 1)",
            "the hours are not",
        ),
        ("segment", "DELETE FROM rollup WHERE step = 3600", "hours"),
        ("segment", "UPDATE rollup SET cells = x'8101ce00000009' WHERE step = 86400 AND name = 0", "rollups of day"),
        ("segment", "UPDATE exception SET count = count + 1", "failures by exception"),
        ("segment", "UPDATE task SET started_at = started_at + 61 WHERE started_at IS NOT NULL", "rollups of day"),
        ("catalog", "UPDATE book SET stored = 10", "cannot come from"),
        ("catalog", "UPDATE segment SET tasks = tasks - 1 WHERE number = 2", "they say"),
    ],
)
def test_sums_that_do_not_add_up_are_told(path: Path, file: str, statement: str, says: str) -> None:
    execute(segment(path) if file == "segment" else path, statement)
    assert says in " / ".join(f"{finding.what}: {finding.problem}" for finding in inconsistent(path))


def test_the_keeper_keeps_off_while_a_collector_has_the_store(path: Path) -> None:
    writer = SqliteWriter(path)
    writer.open()
    keeper = SqliteKeeper(path)
    for work in (lambda: list(keeper.check()), keeper.migrate, lambda: list(keeper.vacuum())):
        with pytest.raises(StoreBusy, match="another collector"):
            work()
    writer.close()


def test_a_store_that_there_is_not_is_told_so_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store yet"):
        list(SqliteKeeper(tmp_path / "umbel.db").check())
    assert not list(tmp_path.iterdir())


def test_vacuum_gives_back_space_and_changes_nothing_else(path: Path) -> None:
    row = "(at, reason, error, content_type, raw) VALUES (1, 'x', '', '', zeroblob(900000))"
    execute(path, f"INSERT INTO quarantine {row}")
    execute(path, "DELETE FROM quarantine")
    before = path.stat().st_size
    assert all("bytes, now" in finding.what for finding in SqliteKeeper(path).vacuum())
    assert path.stat().st_size < before - 800_000
    assert problems(path) == {}
    assert inconsistent(path) == []


def test_migrate_takes_the_steps_that_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "umbel.db"
    with closing(sqlite3.connect(path)) as first:
        first.executescript(MIGRATIONS[0].script)
        first.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        first.execute("PRAGMA user_version = 1")
    assert SqliteKeeper(path).migrate() == [f"umbel.db: {step.version:03d} {step.name}" for step in MIGRATIONS[1:]]
    assert SqliteKeeper(path).migrate() == []
    writer = SqliteWriter(path)
    writer.open()
    writer.close()


# The command, killed


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "umbel.db"
    writer = SqliteWriter(path, segment_tasks=10_000)
    writer.open()
    events = [event for batch in history() for event in batch]
    for copy in range(20):
        tasks = {f"{copy}-{id_}": task for id_, task in fold(events).items()}
        for id_, task in tasks.items():
            task.id = id_
        writer.write(Commit(at=START + copy, tasks=tasks, stored=len(events)))
    writer.close()
    return path


def db(directory: Path, *args: str) -> list[str]:
    return [sys.executable, "-m", "umbel", "db", *args, "--store", f"sqlite:///{directory / 'umbel.db'}"]


def moved(target: Path) -> int:
    """How many tasks the target says have come."""
    try:
        with closing(SqliteReader(target)) as reader:
            values = [json.loads(v) for name, v in reader.positions().items() if name.startswith("move:")]
    except StoreError:
        return 0
    return values[0]["tasks"] if values and not values[0]["done"] else 0


@pytest.mark.slow
def test_a_move_that_is_killed_again_and_again_ends_with_the_same_store(large: Path, tmp_path: Path) -> None:
    target = tmp_path / "two.db"
    move = db(tmp_path, "move", "--from", f"sqlite:///{large}", "--to", f"sqlite:///{target}")
    came: list[int] = []
    for _ in range(3):
        before = moved(target)
        started = subprocess.Popen(move, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 100
        while moved(target) <= before and started.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        started.send_signal(signal.SIGKILL)
        started.communicate(timeout=60)
        came.append(moved(target))
    assert 0 < came[0] < 30_000, "it was killed in the middle"
    assert came == sorted(came)
    done = subprocess.run(move, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "moved 30,000 tasks, books, ledger, workers, the journal and alerts; checksums agree" in done.stdout
    check = db(tmp_path, "check", "--store", f"sqlite:///{target}")
    checked = subprocess.run(check, capture_output=True, text=True, timeout=110, check=False)
    assert (checked.returncode, checked.stdout.splitlines()[-1]) == (0, "all is well")


def test_check_says_what_is_wrong_and_exits_with_1(path: Path) -> None:
    execute(segment(path), "UPDATE exception SET count = count + 1")
    done = subprocess.run(db(path.parent, "check"), capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "1 problems"
    assert "WRONG  rollups of day 2025-06-15: the failures by exception are not those of the records" in done.stdout
