"""`umbel health` tells containers' probes who lives, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from umbel.clock import ManualClock
from umbel.runtime import health
from umbel.settings import Settings
from umbel.status import STALE, PartStatus, StatusFile


def running(settings: Settings, part: str, clock: ManualClock, error: str = "") -> None:
    StatusFile(settings.status_dir, part).write(
        PartStatus(part=part, pid=7, started_at=clock.now(), at=clock.now(), error=error)
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=str(tmp_path / "data"))


def test_nothing_that_runs_is_a_fault(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert health.main(settings, (), ManualClock()) == 1
    assert f"nothing runs with the data directory {settings.data_dir}" in capsys.readouterr().err


def test_parts_that_give_signs_live_whatever_they_wait_for(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = ManualClock()
    running(settings, "web", clock)
    running(settings, "collect", clock, "the store is locked")
    assert health.main(settings, (), clock) == 0
    assert capsys.readouterr().out == "umbel collect lives, pid 7: the store is locked\numbel web lives, pid 7\n"


def test_only_the_parts_named_count(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    clock = ManualClock()
    running(settings, "receive", clock)
    clock.advance(STALE + 1)
    running(settings, "collect", clock)
    assert health.main(settings, ("collect",), clock) == 0
    assert health.main(settings, ("receive",), clock) == 1
    assert health.main(settings, (), clock) == 1
    assert "umbel receive, pid 7, has given no sign for 6 s" in capsys.readouterr().err
    assert health.main(settings, ("web",), clock) == 1
    assert "umbel web does not run" in capsys.readouterr().err
