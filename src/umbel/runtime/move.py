"""A store moved into another, of any engine, through the ports: again from where it stopped, and proven at the end.

How far it has come stands in the target as the position of a source of its own, so it is committed with the records.
Records join, so a page that comes twice changes nothing; books, ledger, quarantine and workers come in the one commit
that also says that they have come, after what people entered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import Final

import msgspec

from umbel.clock import Clock
from umbel.errors import StoreBusy, StoreError
from umbel.model import checksum
from umbel.model.event import EventClass
from umbel.model.ledger import Books, LedgerEntry, Reason
from umbel.runtime.move_entries import Entries, Memory
from umbel.stores.base import Commit, Position, StoreReader, StoreWriter

#: Records of one commit; rows of the ledger and the quarantine that are asked for: more than any store keeps.
PAGE: Final = 2_000
ROWS: Final = 1_000_000
#: Seconds for which a target that is busy is tried again, and between two tries.
PATIENCE: Final = 60.0
PAUSE: Final = 0.2
#: Begins the names of our own positions.
PREFIX: Final = "move:"

#: Told the number of records that were moved, or compared, since the last call.
Told = Callable[[int], None]


class Progress(msgspec.Struct):
    """How far a move has come."""

    #: The source's version when it began.
    version: str
    cursor: str | None = ""
    tasks: int = 0
    #: Sum of the records so far, see `checksum.of_task`; hexadecimal.
    sum: str = "0"
    #: Everything has been moved.
    done: bool = False


class Move:
    """One move; `name`, the source's, tells it from others among the target's positions."""

    def __init__(
        self,
        source: StoreReader,
        target: StoreWriter,
        seen: StoreReader,
        name: str,
        clock: Clock,
        *,
        entries: Entries | None = None,
        memory: Memory | None = None,
    ) -> None:
        self._source = source
        self._target = target
        #: The target as a reader sees it.
        self._seen = seen
        self._clock = clock
        #: Journal and book of alerts; without them they stay behind (in tests).
        self._besides = [one for one in (entries, memory) if one is not None]
        self._name = f"{PREFIX}{blake2b(name.encode(), digest_size=8).hexdigest()}"
        self.progress = self._begun()

    def _begun(self) -> Progress:
        value = self._target.position(self._name)
        version = self._source.version()
        if value is None:
            state = self._seen.state()
            if state.tasks or state.books.received:
                raise StoreError(
                    f"the target holds {state.tasks:,} tasks that this move has not brought: give an empty --to"
                )
            return Progress(version)
        found = msgspec.json.decode(value, type=Progress)
        if found.done or found.version == version:
            return found
        # What is there stays: the same records, or newer ones, are joined to it.
        return Progress(version)

    def run(self, told: Told) -> None:
        """Move what is not moved yet."""
        while not self.progress.done and self.progress.cursor is not None:
            told(self._page())
        if not self.progress.done:
            self._finish()

    def _page(self) -> int:
        progress = self.progress
        page = self._source.scan(progress.cursor or "", PAGE)
        total = (int(progress.sum, 16) + sum(map(checksum.of_task, page.tasks))) % checksum.MODULUS
        after = msgspec.structs.replace(
            progress, cursor=page.next, tasks=progress.tasks + len(page.tasks), sum=f"{total:x}"
        )
        tasks = {task.id: task for task in page.tasks}
        self._write(Commit(at=page.seen_at or self._clock.now(), tasks=tasks, position=self._position(after)))
        self.progress = after
        return len(page.tasks)

    def _finish(self) -> None:
        """What is no task, at once; only from a source that has not changed since the first page."""
        source, version = self._source, self._source.version()
        if version != self.progress.version:
            self._write(Commit(at=self._clock.now(), position=self._position(Progress(version))))
            raise StoreError(
                "the store was written to while it was moved: stop its collector (umbel up, umbel collect) and give "
                "the same command again; what has been moved is joined, not moved twice"
            )
        for one in self._besides:
            one.move()
        state = source.state()
        at = state.committed_at or self._clock.now()
        for name, value in source.positions().items():
            if not name.startswith(PREFIX):
                self._write(Commit(at=at, position=Position(name, value)))
        ledger = [*reversed(source.ledger(ROWS))]
        done = msgspec.structs.replace(self.progress, done=True)
        self._write(
            Commit(
                at=at,
                workers={(worker.hostname, worker.pid): worker for worker in source.workers()},
                stored=state.books.stored,
                discarded=state.books.discarded,
                ledger=[*_forgotten(state.books, ledger), *ledger],
                quarantine=[*reversed(source.quarantine(ROWS))],
                position=self._position(done),
                captured_at=state.captured_at,
            )
        )
        self.progress = done

    def _position(self, progress: Progress) -> Position:
        return Position(self._name, msgspec.json.encode(progress).decode())

    def _write(self, commit: Commit) -> None:
        deadline = self._clock.monotonic() + PATIENCE
        while True:
            try:
                self._target.write(commit)
            except StoreBusy:
                if self._clock.monotonic() >= deadline:
                    raise
                self._clock.sleep(PAUSE)
            else:
                return

    def differences(self, told: Told) -> Iterator[str]:
        """What the target does not hold as the source does, in words; nothing if it is all the same."""
        tasks, total = self._held(told)
        if tasks != self.progress.tasks:
            yield f"{self.progress.tasks:,} records were read and {tasks:,} are in the target"
        elif total != int(self.progress.sum, 16):
            yield "the records have another checksum in the target"
        theirs, ours = self._source.state(), self._seen.state()
        if ours.tasks != tasks:
            yield f"the target counts {ours.tasks:,} tasks and holds {tasks:,}"
        yield from _books(theirs.books, ours.books)
        ledger = self._source.ledger(ROWS)
        forgotten = _forgotten(theirs.books, ledger)
        if checksum.of_ledger([*ledger, *forgotten]) != checksum.of_ledger(self._seen.ledger(ROWS)):
            yield "the ledger differs"
        if checksum.of_workers(self._source.workers()) != checksum.of_workers(self._seen.workers()):
            yield "the workers differ"
        for one in self._besides:
            yield from one.differences()

    def _held(self, told: Told) -> tuple[int, int]:
        """How many records the target holds, and their sum."""
        tasks = total = 0
        cursor: str | None = ""
        while cursor is not None:
            page = self._seen.scan(cursor, PAGE)
            total = (total + sum(map(checksum.of_task, page.tasks))) % checksum.MODULUS
            tasks += len(page.tasks)
            told(len(page.tasks))
            cursor = page.next
        return tasks, total


def _books(theirs: Books, ours: Books) -> Iterator[str]:
    for name, before, after in (
        ("received", theirs.received, ours.received),
        ("stored", theirs.stored, ours.stored),
        ("missed_estimate", sum(theirs.missed_estimate.values()), sum(ours.missed_estimate.values())),
    ):
        if before != after:
            yield f"the books say {name} {before:,} in the source and {after:,} in the target"
    if {key: n for key, n in theirs.discarded.items() if n} != {key: n for key, n in ours.discarded.items() if n}:
        yield "the books differ in what was discarded"


def _forgotten(books: Books, ledger: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    """Entries for the estimates that the books hold and that the ledger, which is bounded, no longer does."""
    left = dict(books.missed_estimate)
    for entry in ledger:
        if entry.estimated:
            left[entry.worker] = left.get(entry.worker, 0) - entry.count
    # Books have room for so many workers, and sum the others: those are too many there and too few here.
    room = sum(left.values())
    first = min((entry.first_at for entry in ledger), default=0.0)
    detail = "entries that the ledger no longer held when the store was moved, summed"
    found = []
    for worker, n in left.items():
        count = min(n, room)
        if count > 0:
            room -= count
            kind = (Reason.NOT_SENT, EventClass.UNKNOWN)
            found.append(LedgerEntry(*kind, first, first, count, estimated=True, worker=worker, detail=detail))
    return found
