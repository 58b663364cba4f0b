"""A writing process to be killed: commits a seeded history in batches after the store's position.

Run as `python -m tests.conformance.store_process ENGINE DIRECTORY`. It commits a batch for each line of its input, and
tells of each commit in a line of its output.
"""

from __future__ import annotations

import subprocess
import sys
import uuid
from contextlib import suppress
from pathlib import Path
from random import Random

from tests.conformance.store_rigs import RIGS, StoreRig
from umbel.model.event import (
    AnyEvent,
    EventClass,
    TaskFailed,
    TaskReceived,
    TaskRetried,
    TaskSent,
    TaskStarted,
    TaskSucceeded,
)
from umbel.model.gather import gather
from umbel.model.ledger import Reason
from umbel.model.worker import fold_workers
from umbel.retention import Retention
from umbel.stores.base import Commit, Position

START = 1_750_000_000.0
SOURCE = "history"


def history(seed: int = 5, batches: int = StoreRig.batches) -> list[list[AnyEvent]]:
    """The batches: late, doubled and shuffled events among them."""
    random = Random(seed)
    events: list[AnyEvent] = []
    for number in range(1_500):
        id_, at = str(uuid.UUID(int=random.getrandbits(128))), START + number / 10
        name = f"shop.{random.choice('abc')}"
        events.append(TaskSent(hostname="gen@h", timestamp=at, uuid=id_, name=name, root_id=id_, queue="celery"))
        events.append(TaskReceived(hostname="w@h", pid=1, timestamp=at + 1, uuid=id_, name=name, root_id=id_))
        events.append(TaskStarted(hostname="w@h", pid=1, timestamp=at + 2, uuid=id_))
        if random.random() < 0.2:
            events.append(TaskRetried(hostname="w@h", pid=1, timestamp=at + 3, uuid=id_, exception="KeyError('x')"))
        end = TaskFailed(hostname="w@h", pid=1, timestamp=at + 4, uuid=id_, exception="ValueError('x')")
        done = TaskSucceeded(hostname="w@h", pid=1, timestamp=at + 4, uuid=id_, result="1", runtime=2.0)
        events.append(end if random.random() < 0.3 else done)
    events += random.sample(events, 300)
    # Neighbours mostly, as in life, and some that come much later.
    order = sorted(range(len(events)), key=lambda i: i + random.gauss(0, 30) + (random.random() < 0.01) * 3_000)
    size = len(events) // batches + 1
    return [[events[i] for i in order[at : at + size]] for at in range(0, len(order), size)]


def commit_of(number: int, events: list[AnyEvent]) -> Commit:
    """A batch as the collector commits it."""
    now = START + number
    return Commit(
        at=now,
        tasks=gather(events),
        workers=fold_workers(events, now),
        stored=len(events),
        discarded={(Reason.MALFORMED, EventClass.UNKNOWN): 1},
        position=Position(SOURCE, str(number)),
    )


class Writer:
    """The process, seen from the test."""

    def __init__(self, engine: str, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.conformance.store_process", engine, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.read("ready")

    def allow(self, commits: int) -> None:
        """Let it make so many commits more; it may have ended."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write("\n" * commits)
            self._process.stdin.flush()

    def read(self, word: str) -> None:
        """Wait for its next line."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line == f"{word}\n", line

    def running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def finish(self) -> None:
        """Wait until it has committed all that it was allowed, and ended well."""
        said, _ = self._process.communicate()
        assert said.endswith("done\n"), said
        assert self._process.returncode == 0


def tell(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main(engine: str, directory: str) -> None:
    writer = RIGS[engine](Path(directory)).writer(small=False)
    position = writer.position(SOURCE)
    tell("ready")
    for number, events in enumerate(history(batches=RIGS[engine].batches)):
        if position is None or number > int(position):
            sys.stdin.readline()
            writer.write(commit_of(number, events))
            writer.maintain(Retention(), START + number)
            tell("committed")
    writer.close()
    tell("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
