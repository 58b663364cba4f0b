"""What every engine's journal promises the parts' heartbeat: a web elsewhere knows who lives, stopped, or is gone."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

import pytest

from tests.conformance.store_rigs import StoreRig
from umbel.clock import ManualClock
from umbel.runtime.heartbeat import BEAT, LOOK, OLD, PATIENCE, Herald, Sightings
from umbel.settings import Settings
from umbel.status import STALE, PartStatus, StatusFile
from umbel.stores.base import Commit
from umbel.stores.journal import BYTES, Kind


class Shared:
    """A store that two machines share: one with parts, one with a web; each has a connection of its own."""

    def __init__(self, rig: StoreRig, patch: pytest.MonkeyPatch) -> None:
        self.rig = rig
        self.clock = ManualClock()
        with closing(rig.writer()) as writer:
            writer.write(Commit(at=self.clock.now()))
        patch.setattr(socket, "gethostname", lambda: "pod-0")
        self.pod = Settings(store="postgresql://shared", data_dir=str(rig.directory / "pod"))
        self.herald = Herald(self.pod, rig.journal(), self.clock)
        patch.setattr(socket, "gethostname", lambda: "web-0")
        web = Settings(store="postgresql://shared", data_dir=str(rig.directory / "web"))
        self.web = Sightings(web, rig.journal(), self.clock)

    def says(self, part: str, error: str = "", texts: dict[str, str] | None = None) -> None:
        now = self.clock.now()
        file = StatusFile(Path(self.pod.status_dir), part)
        file.write(PartStatus(part=part, pid=7, started_at=now - 60, at=now, error=error, texts=texts or {}))
        file.close(remove=False)

    def seen(self, after: float = LOOK) -> dict[str, PartStatus]:
        """What the web sees when it looks again."""
        self.clock.advance(after)
        return dict(self.web.read())


@pytest.fixture
def shared(rig: StoreRig, monkeypatch: pytest.MonkeyPatch) -> Shared:
    return Shared(rig, monkeypatch)


def test_each_beat_is_seen_elsewhere_and_what_is_killed_grows_old(shared: Shared) -> None:
    assert shared.seen() == {}
    for error in ("", "the disk is full"):
        shared.says("receive")
        shared.says("collect", error)
        shared.herald.beat()
        seen = shared.seen()
        assert {name: (one.host, one.pid, one.error) for name, one in seen.items()} == {
            "receive": ("pod-0", 7, ""),
            "collect": ("pod-0", 7, error),
        }
        assert not any(one.stale(shared.clock.now()) for one in seen.values())
        shared.clock.advance(BEAT)
    late = shared.seen(STALE + PATIENCE + BEAT)
    assert all(one.stale(shared.clock.now()) for one in late.values())
    assert shared.seen(OLD) == {}


def test_what_stops_is_taken_back_and_what_was_told_long_ago_is_swept(shared: Shared) -> None:
    shared.says("collect")
    shared.herald.beat()
    shared.clock.advance(OLD + 1)
    journal = shared.rig.journal()
    assert len(journal.read(Kind.PART)) == 1
    Herald._sweep(Herald(shared.pod, journal, shared.clock))
    assert journal.read(Kind.PART) == []
    shared.says("collect")
    shared.herald.start()
    shared.herald.stop(60.0)
    assert journal.read(Kind.PART) == []
    assert shared.seen() == {}


def test_a_status_that_is_longer_than_an_entry_is_told_without_its_texts(shared: Shared) -> None:
    shared.says("collect", "\U0001f490" * BYTES, {"note": '"' * BYTES})
    shared.herald.beat()
    told = shared.seen()["collect"]
    assert (told.texts, told.error) == ({}, "\U0001f490" * 300)
