"""Nobody but Umbel's user may read what it keeps, whatever the umask was, now or when the files were made."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.commits import collected
from tests.web import events
from umbel.buffer.writer import SpoolWriter
from umbel.clock import ManualClock
from umbel.private import private_directory
from umbel.runtime.stores import open_audit, open_journal, open_vault
from umbel.settings import Settings
from umbel.status import StatusFile
from umbel.stores.journal import Entry, Kind
from umbel.stores.sqlite import SqliteWriter


@pytest.fixture(params=[0o000, 0o022], ids=["umask 000", "umask 022"])
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def open_to_others(directory: Path) -> list[str]:
    """What others may read: files, and directories that hold nothing but files of ours."""
    return [
        f"{path.relative_to(directory)} {path.stat().st_mode & 0o777:o}"
        for path in sorted(directory.rglob("*"))
        if path.stat().st_mode & 0o077 and path.name not in ("umbel-data", "run")
    ]


def use(directory: Path) -> None:
    """Make everything that is kept, and look while it is in use."""
    clock = ManualClock()
    settings = Settings(store=f"sqlite:///{directory / 'umbel.db'}", data_dir=str(directory / "umbel-data"))
    writer = SqliteWriter(directory / "umbel.db", clock=clock, segment_tasks=50)
    with (
        closing(writer),
        closing(open_audit(settings, clock)) as audit,
        closing(open_journal(settings, clock)) as journal,
        closing(open_vault(settings, clock)) as vault,
        closing(SpoolWriter(settings.spool_dir, settings.spool_bytes, clock)),
    ):
        writer.open()
        for start in range(0, 300, 10):
            made = [event for n in range(start, start + 10) for event in events.success(f"t{n}")]
            writer.write(collected(made, clock.now()))
        for _ in range(20):
            clock.advance(4_000)
            writer.maintain(settings.retention, clock.now())
        journal.put(Entry(Kind.VIEW, "a", 1.0, {"q": "x"}))
        vault.prune(clock.now())
        audit.read(1)
        StatusFile(settings.status_dir, "web").close(remove=False)
        assert len(list(directory.rglob("*-wal"))) >= 4
        assert open_to_others(directory) == []


@pytest.mark.usefixtures("_umask")
def test_new_files_are_private(tmp_path: Path) -> None:
    use(tmp_path)
    assert open_to_others(tmp_path) == []


@pytest.mark.usefixtures("_umask")
def test_files_that_were_there_are_closed(tmp_path: Path) -> None:
    use(tmp_path)
    for path in tmp_path.rglob("*"):
        if path.suffix in (".db", ".audit", ".access", ".journal") or path.is_dir():
            path.chmod(0o777 if path.is_dir() else 0o666)
    use(tmp_path)
    left = [line for line in open_to_others(tmp_path) if "segments/" not in line]
    assert left == []
    assert (tmp_path / "umbel.db.segments").stat().st_mode & 0o077 == 0, "which closes all that is in it"


def test_what_is_not_ours_to_close_is_said_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: Path, mode: int) -> None:
        raise PermissionError(1, "not yours")

    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs").chmod(0o755)
    monkeypatch.setattr(Path, "chmod", refuse)
    private_directory(tmp_path / "theirs")
    assert "others may read" in caplog.text
