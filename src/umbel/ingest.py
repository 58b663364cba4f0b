"""The collector: batches of a source, decoded, folded, committed to the store; then the source may forget them.

One batch is in memory at a time. While the store cannot take it, nothing more is polled: the spool or the broker holds.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from umbel.clock import Clock
from umbel.cycles import Cycles, without_cycles
from umbel.endings import EndingsWriter
from umbel.errors import StoreBusy, StoreError
from umbel.logs import Limited
from umbel.model.decode import JSON, RAW_LIMIT, Decoded, Decoder, Refused
from umbel.model.event import AnyEvent, EventClass
from umbel.model.gather import Gatherer, ended
from umbel.model.learned import End
from umbel.model.ledger import LedgerEntry, Quarantined, Reason
from umbel.model.loss import LossWatch
from umbel.model.merge import Task
from umbel.model.meter import Metering
from umbel.model.redact import Redactor
from umbel.model.sizing import FIRST_MESSAGES, BatchSize
from umbel.model.spans import Kind as SpanKind
from umbel.model.spans import Value
from umbel.model.worker import Worker, fold_workers, saw_tasks
from umbel.retention import Retention
from umbel.sources.base import Batch, Limits, Source
from umbel.stores.base import Commit, Position, StoreWriter
from umbel.stores.journal import Entry, Journal, Kind
from umbel.telemetry.base import Tracer

log = logging.getLogger(__name__)
limited = Limited(log)

#: Seconds between commits while batches are not full: small batches cost more each event than large ones.
LINGER: Final = 0.1
#: Seconds between rounds of upkeep, and between tries while the store is busy.
UPKEEP: Final = 2.0
BUSY_WAIT: Final = 0.1
#: Seconds between tries to open a store that is away or taken.
OPEN_WAIT: Final = 1.0
#: Seconds between looks for ends that the result backend told of, and how many are taken at once.
LEARN: Final = 5.0
ENDS: Final = 500
#: Seconds after which such an end is left: what is still open then is looked for again.
END_AGE: Final = 86_400.0
#: Bytes of messages decoded and sorted at once.
PIECE: Final = 1024 * 1024
#: Rows of the quarantine that one batch may add; the rest is counted.
QUARANTINE_PER_BATCH: Final = 200


#: Of these classes `task-started` may have been: what a worker counted then says nothing of other losses.
_MAY_START: Final = (EventClass.RUNNING, EventClass.UNKNOWN)


class Sightings(Protocol):
    """Told which workers were seen, to make those without task events send them; must not block."""

    def saw(self, hostname: str) -> None:
        """A worker sent an event."""
        ...

    def came_online(self, hostname: str) -> None:
        """A worker started, or its dispatcher did again."""
        ...


@dataclass(slots=True)
class Progress:
    """What the collector is doing, read by another thread for its status."""

    #: Wall time since which a commit is being tried, 0 while none is.
    writing_since: float = 0.0
    #: Wall time at which the oldest event of the batch in hand was captured, 0 without one.
    oldest_at: float = 0.0
    #: Events in the batch in hand.
    in_hand: int = 0
    #: Messages that the next batch may have.
    batch_limit: int = FIRST_MESSAGES
    committed_at: float = 0.0
    commit_seconds: float = 0.0
    commit_events: int = 0
    events: int = 0
    #: Why the store does not take the batch in hand, "" while it does.
    error: str = ""


@dataclass(slots=True)
class _Read:
    """What a batch holds, sorted by who looks at it."""

    #: Wall time at which its first message was captured.
    captured_at: float
    tasks: Gatherer = field(default_factory=Gatherer)
    missed: list[LedgerEntry] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    #: Events, refused ones included.
    received: int = 0

    def poison(self, event: AnyEvent, error: Exception) -> None:
        """An event that cannot be merged: quarantined with the error."""
        limited.warning("fold", f"an event could not be merged and goes to the quarantine: {error!r}")
        self.refused.append(_poison(event, error))


class Collector:
    """Moves one source into one store until told to stop or until the source is at its end."""

    def __init__(
        self,
        source: Source,
        store: StoreWriter,
        clock: Clock,
        *,
        decoder: Decoder | None = None,
        retention: Retention | None = None,
        sightings: Sightings | None = None,
        redactor: Redactor | None = None,
        journal: Journal | None = None,
        endings: EndingsWriter | None = None,
        tracer: Tracer | None = None,
        grace: float = 10.0,
    ) -> None:
        self._source = source
        self._store = store
        self._clock = clock
        self._decoder = decoder or Decoder()
        self._retention = retention or Retention()
        self._sightings = sightings
        self.redactor = redactor
        self._journal = journal
        self._learn_at = 0.0
        self.endings = endings
        self._tracer = tracer
        self._grace = grace
        self._size = BatchSize()
        self._limits = Limits(self._size.messages)
        self._upkeep_at = 0.0
        self._cycles = Cycles(clock.monotonic())
        self._gave_up = False
        self._losses = LossWatch()
        self._metering = Metering()
        self.progress = Progress()

    def run(self, stop: threading.Event) -> None:
        """Collect until `stop` is set and what waits is drained (for half the grace period), then close both ends."""
        try:
            if not self._open(stop):
                return
            while not stop.is_set() and not self._source.finished():
                self._turn(stop)
            self._drain(stop)
        finally:
            self._close()

    def _open(self, stop: threading.Event) -> bool:
        """Open both ends, waiting for a store that is away; False if it was time to stop before it came."""
        while True:
            try:
                self._store.open()
                self._losses.restore(self._store.workers())
                position = self._store.position(self._source.name)
            except StoreBusy as error:
                self.progress.error = str(error)
                limited.warning("store-away", f"the store cannot be opened yet: {error}")
            else:
                self.progress.error = ""
                self._source.open(position)
                return True
            if stop.wait(OPEN_WAIT):
                return False

    def _turn(self, stop: threading.Event) -> None:
        began = self._clock.monotonic()
        batch = self._source.poll(self._limits)
        if _worth_a_commit(batch):
            self._take(batch, stop)
        self._upkeep()
        if not self._is_full(batch) and not self._source.finished():
            stop.wait(max(0.0, LINGER - (self._clock.monotonic() - began)))

    def _is_full(self, batch: Batch) -> bool:
        return batch.more or len(batch) >= self._limits.messages

    def _drain(self, stop: threading.Event) -> None:
        """Commit what is at hand; the rest stays in the spool or with the broker."""
        end = self._clock.monotonic() + self._grace / 2
        limits = replace(self._limits, wait=0.0)
        # A commit stands for all before it too, so nothing may follow a batch that was given up.
        while not self._gave_up and self._clock.monotonic() < end and not self._source.finished():
            batch = self._source.poll(limits)
            if not _worth_a_commit(batch) or not self._take(batch, stop):
                return

    def _close(self) -> None:
        for part in (self._source, self._store):
            try:
                part.close()
            except Exception:
                # One part that fails to stop never keeps another from saving.
                log.exception("closing %s failed", type(part).__name__)

    def _take(self, batch: Batch, stop: threading.Event) -> bool:
        """Decode, fold and commit one batch; False if it had to be given up because time to stop ran out."""
        with without_cycles():
            read = self._read(batch)
            self.progress.oldest_at = batch.captured_at
            self.progress.in_hand = read.received
            commit = self._commit_of(batch, read)
        self._note(commit.at, commit.tasks)
        began, worked = self._clock.monotonic(), self._clock.work()
        if not self._write(commit, stop):
            self._gave_up = True
            return False
        if batch.position is not None:
            self._source.commit(batch.position)
        _say(commit.ledger)
        self._tell(commit.workers.values())
        seconds = self._clock.monotonic() - began
        self._size.note(seconds, self._clock.work() - worked, full=self._is_full(batch))
        self._measure(seconds, read.received)
        if self._tracer is not None and self._tracer.wanted():
            told: dict[str, Value] = {
                "umbel.source": self._source.name,
                "umbel.events": read.received,
                "umbel.tasks": len(commit.tasks),
            }
            self._tracer.record("commit", SpanKind.INTERNAL, commit.at, commit.at + seconds, told)
        return True

    def _note(self, at: float, tasks: Mapping[str, Task]) -> None:
        """Say which tasks end in a commit, before it: an end that is stored and was not noted would never be traced."""
        if self.endings is not None:
            self.endings.note(at, ended(tasks))

    def _read(self, batch: Batch) -> _Read:
        """Decode the batch and sort it, piece by piece, while the events of a piece are in the processor's cache."""
        if batch.shared or any(event_class in _MAY_START for _, event_class in batch.discarded):
            self._losses.forget()
        read = _Read(captured_at=batch.captured_at or self._clock.now())
        size = batch.bytes or sum(map(len, batch.envelopes)) + sum(len(body) for body, _ in batch.bodies)
        step = max(1, len(batch) * PIECE // max(1, size))
        for start in range(0, len(batch.envelopes), step):
            self._sort(self._decoder.envelopes(batch.envelopes[start : start + step]), read)
        for start in range(0, len(batch.bodies), step):
            self._sort(self._decoder.bodies(batch.bodies[start : start + step]), read)
        return read

    def _sort(self, decoded: Decoded, read: _Read) -> None:
        """Give the events of a piece to those who look at them."""
        events = decoded.events if self.redactor is None else self.redactor.see(decoded.events)
        read.received += decoded.received
        read.refused += decoded.refused
        read.tasks.take(events)
        read.missed += self._losses.see(events)

    def _commit_of(self, batch: Batch, read: _Read) -> Commit:
        tasks = read.tasks.done(read.poison)
        discarded: Counter[tuple[Reason, EventClass]] = Counter(batch.discarded)
        for refused in read.refused:
            discarded[refused.reason, refused.event_class] += 1
        now = self._clock.now()
        workers = fold_workers(read.tasks.others, read.captured_at)
        saw_tasks(read.tasks.processes(tasks), read.captured_at, workers)
        for key, worker in workers.items():
            worker.tally = self._losses.tally(key)
        return Commit(
            at=now,
            tasks=tasks,
            workers=workers,
            stored=read.received - len(read.refused),
            discarded=discarded,
            ledger=[*batch.ledger, *_entries(read.refused, now), *read.missed],
            quarantine=[_quarantined(refused, now) for refused in read.refused[:QUARANTINE_PER_BATCH]],
            position=Position(self._source.name, batch.position) if batch.position is not None else None,
            captured_at=batch.captured_at,
            meters=self._metering.count(tasks),
        )

    def _write(self, commit: Commit, stop: threading.Event) -> bool:
        """Commit, waiting as long as the store is busy; False when stopping and out of time."""
        progress = self.progress
        progress.writing_since = self._clock.now()
        deadline: float | None = None
        while True:
            try:
                commit = self._try(commit)
            except StoreBusy as error:
                progress.error = str(error)
                limited.warning("store-busy", f"the store takes no commit just now: {error}")
            except StoreError as error:
                progress.error = str(error)
                limited.warning("store-broken", f"the store takes nothing, trying again: {error}")
            else:
                progress.writing_since, progress.error = 0.0, ""
                return True
            if not stop.wait(BUSY_WAIT):
                continue
            deadline = deadline or self._clock.monotonic() + self._grace / 2
            if self._clock.monotonic() >= deadline:
                log.error("gave up a batch that the store did not take; it comes again at the next start")
                return False
            self._clock.sleep(BUSY_WAIT)

    def _try(self, commit: Commit) -> Commit:
        """Write the commit, in parts if the store refuses it whole."""
        try:
            with without_cycles():
                self._store.write(commit)
        except StoreBusy:
            raise
        except StoreError as error:
            if not commit.tasks:
                raise
            limited.warning("store-refused", f"the store refused a batch, trying it in parts: {error}")
            commit = self._in_parts(commit)
            self._store.write(commit)
        return commit

    def _in_parts(self, commit: Commit) -> Commit:
        """Write the tasks in ever smaller parts; a task that the store refuses alone goes to the quarantine."""
        refused: list[tuple[Task, StoreError]] = []
        self._write_tasks(commit, list(commit.tasks.values()), refused)
        if not refused:
            return replace(commit, tasks={})
        entries = [Refused(Reason.MALFORMED, EventClass.UNKNOWN, str(e), JSON, _raw(task)) for task, e in refused]
        discarded = Counter(commit.discarded)
        discarded[Reason.MALFORMED, EventClass.UNKNOWN] += len(refused)
        return replace(
            commit,
            tasks={},
            stored=commit.stored - len(refused),
            discarded=discarded,
            ledger=[*commit.ledger, *_entries(entries, commit.at)],
            quarantine=[*commit.quarantine, *(_quarantined(entry, commit.at) for entry in entries)],
        )

    def _write_tasks(self, commit: Commit, tasks: list[Task], refused: list[tuple[Task, StoreError]]) -> None:
        if not tasks:
            return
        try:
            self._store.write(Commit(at=commit.at, tasks={task.id: task for task in tasks}))
        except StoreBusy:
            raise
        except StoreError as error:
            if len(tasks) == 1:
                refused.append((tasks[0], error))
                return
            half = len(tasks) // 2
            self._write_tasks(commit, tasks[:half], refused)
            self._write_tasks(commit, tasks[half:], refused)

    def _tell(self, workers: Iterable[Worker]) -> None:
        if self._sightings is None:
            return
        for worker in workers:
            if worker.online_at:
                self._sightings.came_online(worker.hostname)
            else:
                self._sightings.saw(worker.hostname)

    def _measure(self, seconds: float, events: int) -> None:
        """Note the commit, and the size of the next batch."""
        progress = self.progress
        progress.committed_at, progress.commit_seconds, progress.commit_events = self._clock.now(), seconds, events
        progress.events += events
        progress.oldest_at, progress.in_hand = 0.0, 0
        self._limits = replace(self._limits, messages=self._size.messages)
        progress.batch_limit = self._size.messages

    def _learn(self, now: float) -> None:
        """Join ends that webs learned from the result backend into their records; then the journal may forget them.

        They may come again, as whatever is joined may: after a crash in between, or by another collector.
        """
        if self._journal is None or now < self._learn_at:
            return
        self._learn_at = now + LEARN
        try:
            entries = self._journal.read(Kind.END, ENDS)
            if not entries:
                return
            wall = self._clock.now()
            tasks = _learned(entries, wall - END_AGE)
            self._note(wall, tasks)
            self._store.write(Commit(at=wall, tasks=tasks))
            self._journal.drop(Kind.END, *(entry.key for entry in entries))
        except StoreError as error:
            limited.warning("learn", f"ends that the result backend told of wait to be stored: {error}")

    def _upkeep(self) -> None:
        now = self._clock.monotonic()
        if now - self._upkeep_at < UPKEEP:
            return
        self._upkeep_at = now
        self._cycles.look(now)
        self._learn(now)
        try:
            done = self._store.maintain(self._retention, self._clock.now())
        except StoreError as error:
            limited.warning("upkeep", f"the store could not be tidied: {error}")
            return
        if done.dropped_tasks:
            log.info("retention dropped %d tasks, %d bytes", done.dropped_tasks, done.freed_bytes)


def _worth_a_commit(batch: Batch) -> bool:
    return bool(len(batch) or batch.ledger or batch.discarded)


def _learned(entries: Sequence[Entry], since: float) -> dict[str, Task]:
    """Records to be joined, by task, of the entries from `since` (UTC seconds) on."""
    found: dict[str, Task] = {}
    for entry in entries:
        try:
            record = End.of(entry.texts).record()
        except ValueError as error:
            limited.warning("learn", f"the journal holds what is left out: {error}")
            continue
        if entry.at > since:
            found[record.id] = record
    return found


def _entries(refused: Sequence[Refused], now: float) -> list[LedgerEntry]:
    counts = Counter((item.reason, item.event_class) for item in refused)
    details = {(item.reason, item.event_class): item.error for item in refused}
    return [
        LedgerEntry(reason, event_class, now, now, count, detail=details[reason, event_class])
        for (reason, event_class), count in counts.items()
    ]


def _say(ledger: Sequence[LedgerEntry]) -> None:
    """Losses in the log, each kind of them at most one line in five seconds, with their number."""
    for entry in ledger:
        detail = f": {entry.detail}" if entry.detail else ""
        limited.warning(f"lost {entry.reason.value}", f"events not kept, {entry.reason.value}{detail}", entry.count)


def _quarantined(refused: Refused, now: float) -> Quarantined:
    return Quarantined(now, refused.reason, refused.error, refused.content_type, refused.raw)


def _poison(event: AnyEvent, error: Exception) -> Refused:
    return Refused(Reason.MALFORMED, EventClass.UNKNOWN, repr(error), JSON, repr(event).encode()[:RAW_LIMIT])


def _raw(task: Task) -> bytes:
    return repr(task).encode(errors="backslashreplace")[:RAW_LIMIT]
