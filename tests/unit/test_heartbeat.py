"""How parts fare, as a web on another machine sees it: by what collectors tell through the store."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.stage import Stage
from umbel import status
from umbel.runtime import heartbeat
from umbel.runtime.heartbeat import BEAT, PATIENCE, Herald, Sightings
from umbel.settings import Settings
from umbel.status import STALE, PartStatus, StatusFile
from umbel.stores.journal import Entry, Kind
from umbel.web.pipeline import PipelineWatch
from umbel.web.readiness import Check, Level, judge


class Machine:
    """A machine with a data directory of its own, whose parts say what the test wants."""

    def __init__(self, stage: Stage, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stage = stage
        directory = stage.directory / name
        settings = Settings(store="postgresql://shared", data_dir=str(directory))
        monkeypatch.setattr(socket, "gethostname", lambda: name)
        self.directory = Path(settings.status_dir)
        self.herald = Herald(settings, stage.journal, stage.clock)
        self.sightings = Sightings(settings, stage.journal, stage.clock)

    def says(self, part: str, error: str = "", skew: float = 0.0) -> None:
        values = {status.CONNECTED: 1.0, status.BUFFER_LIMIT: 1e6} if part == "receive" else {}
        now = self.stage.clock.now() + skew
        file = StatusFile(self.directory, part)
        file.write(PartStatus(part=part, pid=7, started_at=now - 60, at=now, error=error, values=values))
        file.close(remove=False)

    def ready(self) -> dict[str, Check]:
        self.stage.clock.advance(heartbeat.LOOK)
        watch = PipelineWatch(
            self.stage.deps().reader, self.sightings.read, self.stage.clock, ["receive", "collect", "alert"]
        )
        return dict(judge(watch.view(), self.stage.clock.now()).checks)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    made.commit()
    yield made
    made.close()


def test_a_web_elsewhere_knows_parts_by_their_heartbeat(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    pod, web = Machine(stage, "pod-0", monkeypatch), Machine(stage, "web-0", monkeypatch)
    assert web.ready()["collector"] == Check(Level.DOWN, "the collector does not run")
    for part in ("receive", "collect", "alert", "web"):
        pod.says(part)
    pod.herald.beat()
    seen = web.ready()
    assert seen["collector"] == Check(Level.OK, "runs as pid 7 on pod-0")
    assert {seen[name].status for name in ("receiver", "alerting", "broker", "spool")} == {Level.OK}
    assert "web" not in seen
    assert pod.ready()["collector"].detail == "runs as pid 7", "its own files tell it what happens there"
    pod.says("collect", error="the disk is full")
    pod.herald.beat()
    assert web.ready()["collector"].detail == "the collector says: the disk is full"


def test_what_is_killed_is_missed_and_what_stops_takes_its_word_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod, web = Machine(stage, "pod-0", monkeypatch), Machine(stage, "web-0", monkeypatch)
    pod.says("collect")
    pod.herald.beat()
    assert web.ready()["collector"].status is Level.OK
    stage.clock.advance(STALE + PATIENCE)
    assert web.ready()["collector"].status is Level.DEGRADED
    stage.clock.advance(60)
    late = web.ready()["collector"]
    assert late.status is Level.DOWN
    assert "(pid 7 on pod-0) has said nothing for" in late.detail
    pod.says("collect")
    pod.herald._told.clear()
    pod.herald.start()
    pod.herald.stop(60.0)
    assert web.ready()["collector"].detail == "the collector does not run"


def test_clocks_may_differ_and_of_several_collectors_one_that_lives_counts(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, web = (Machine(stage, name, monkeypatch) for name in ("pod-0", "pod-1", "web-0"))
    one.says("collect")
    one.herald.beat()
    two.says("collect", error="no right to write")
    two.herald.beat()
    seen = web.ready()
    assert (seen["collector"].status, seen["collect on pod-1"].status) == (Level.OK, Level.DEGRADED)
    for _ in range(10):
        stage.clock.advance(BEAT)
        two.says("collect", skew=-300)
        stage.journal.put(*(_skewed(two)))
        seen = web.ready()
    assert seen["collector"] == Check(Level.OK, "runs as pid 7 on pod-1"), "the first was killed, the second lives"


def _skewed(machine: Machine) -> list[Entry]:
    """A beat of a machine whose clock is five minutes slow."""
    told = machine.sightings._board.read()["collect"]
    key = f"{machine.herald._place} collect"
    at = machine.stage.clock.now() - 300
    return [Entry(Kind.PART, key, at, {"status": heartbeat._packed(told)})]
