"""How parts fare, told through a store that machines share: each collector tells of those beside it.

On one machine parts tell through files (`umbel.status`), also while the store is away. A web elsewhere sees no such
files; it reads in the store's journal what collectors put there, and by that alone takes a part for running.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from umbel.clock import Clock
from umbel.errors import StoreError
from umbel.logs import Limited
from umbel.settings import Settings
from umbel.status import PartStatus, StatusBoard
from umbel.stores.journal import BYTES, Entry, Journal, Kind

log = logging.getLogger(__name__)
limited = Limited(log)

#: Seconds between two beats; between two looks for them; for how much longer than a file a beat may be silent.
BEAT: Final = 5.0
LOOK: Final = 2.0
PATIENCE: Final = 15.0
#: Seconds after which what was told is of the past, and parts that are looked at.
OLD: Final = 86_400.0
PARTS: Final = 200


def place_of(settings: Settings) -> str:
    """What tells a data directory from all others, on whatever machine."""
    directory = sha256(str(Path(settings.status_dir).resolve()).encode()).hexdigest()[:8]
    return f"{socket.gethostname()[:100]} {directory}"


def shared(settings: Settings) -> bool:
    """Whether other machines may read the store."""
    return not settings.store.startswith("sqlite")


class Herald:
    """Tells of the parts beside it every few seconds, on a thread of its own."""

    def __init__(self, settings: Settings, journal: Journal, clock: Clock) -> None:
        self._board = StatusBoard(settings.status_dir)
        self._journal = journal
        self._clock = clock
        self._place = place_of(settings)
        self._told: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, patience: float = BEAT) -> None:
        """Tell no more, and take back what was told: who stops is not missed."""
        self._ended.set()
        self._thread.join(patience)

    def beat(self) -> None:
        """Tell of every part that lives; raises `StoreError`."""
        now = self._clock.now()
        living = [one for one in self._board.read().values() if one.part != "web" and not one.stale(now)]
        entries = [Entry(Kind.PART, f"{self._place} {one.part}", now, {"status": _packed(one)}) for one in living]
        gone = self._told - {entry.key for entry in entries}
        if entries:
            self._journal.put(*entries)
            self._told |= {entry.key for entry in entries}
        if gone and not self._ended.is_set():
            # It stopped, and has taken its file along; one that was killed leaves its file, and is missed.
            stopped = [key for key in gone if key.rpartition(" ")[2] not in self._board.read()]
            self._journal.drop(Kind.PART, *stopped)
            self._told -= set(stopped)

    def _run(self) -> None:
        self._safely("what was told long ago stays", self._sweep)
        while True:
            self._safely("webs elsewhere cannot be told how the parts here fare", self.beat)
            if self._ended.wait(BEAT):
                break
        self._safely("webs elsewhere take the parts here for lost", self._withdraw)

    def _sweep(self) -> None:
        old = self._clock.now() - OLD
        keys = [entry.key for entry in self._journal.read(Kind.PART) if entry.at < old]
        if keys:
            self._journal.drop(Kind.PART, *keys)

    def _withdraw(self) -> None:
        if self._told:
            self._journal.drop(Kind.PART, *self._told)

    @staticmethod
    def _safely(what: str, work: Callable[[], None]) -> None:
        try:
            work()
        except StoreError as error:
            limited.warning(what, f"{what}: {error}")


def _packed(told: PartStatus) -> str:
    raw = msgspec.json.encode(told)
    if len(raw) > BYTES // 2:
        # An entry is bounded, and its texts are escaped once more.
        raw = msgspec.json.encode(replace(told, texts={}, error=told.error[:300]))
    return raw.decode()


class Sightings:
    """What is known of all parts: files of this machine first, then what others tell through the store."""

    def __init__(self, settings: Settings, journal: Journal, clock: Clock) -> None:
        self._board = StatusBoard(settings.status_dir)
        self._journal = journal if shared(settings) else None
        self._clock = clock
        self._place = place_of(settings)
        self._lock = threading.Lock()
        self._until = float("-inf")
        #: By key: the latest status, and when it was first seen by our clock: others' clocks may differ.
        self._seen: dict[str, tuple[PartStatus, float]] = {}

    def read(self) -> Mapping[str, PartStatus]:
        """Status by part; of several elsewhere one that lives has the part's name, and the others longer ones."""
        found = dict(self._board.read())
        if self._journal is None:
            return found
        self._look(self._journal)
        now = self._clock.now()
        for key, (told, seen) in sorted(self._seen.items(), key=lambda item: (item[1][0].stale(now), item[0])):
            host = key.partition(" ")[0]
            status = replace(told, host=host, at=min(seen, now), patience=PATIENCE)
            held = found.get(told.part)
            if held is None or (held.stale(now) and not status.stale(now)):
                found[told.part] = status
            elif held.host or not held.stale(now):
                found[f"{told.part} on {host}"] = status
        return found

    def _look(self, journal: Journal) -> None:
        if self._clock.monotonic() < self._until or not self._lock.acquire(blocking=False):
            return
        try:
            entries = journal.read(Kind.PART, PARTS, self._clock.now() - OLD)
        except StoreError as error:
            # The store's own check says so; what was known grows old.
            log.debug("what parts elsewhere tell cannot be read just now: %s", error)
        else:
            self._take(entries)
        finally:
            self._until = self._clock.monotonic() + LOOK
            self._lock.release()

    def _take(self, entries: Sequence[Entry]) -> None:
        now = self._clock.now()
        seen: dict[str, tuple[PartStatus, float]] = {}
        for entry in entries:
            if entry.key.startswith(f"{self._place} "):
                continue
            try:
                told = msgspec.json.decode(entry.texts.get("status", ""), type=PartStatus)
            except msgspec.MsgspecError as error:
                log.debug("%s tells what this version cannot read: %s", entry.key, error)
                continue
            before = self._seen.get(entry.key)
            if before is None:
                # What is seen first may be old already: then its own clock has to do.
                seen[entry.key] = (told, min(now, told.at))
            else:
                seen[entry.key] = before if before[0].at == told.at else (told, now)
        self._seen = seen
