"""Everything of a commit but its tasks: books, position, ledger, quarantine, workers, names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from umbel.model.ledger import LedgerEntry, Quarantined
from umbel.model.meter import Counters, Pair
from umbel.model.worker import Worker, WorkerKey, join_workers
from umbel.stores.postgres.meters import MeterRows
from umbel.stores.postgres.schema import TRIM
from umbel.stores.postgres.session import Session
from umbel.stores.postgres.text import key_of, stored

#: Rows kept of each kind; the oldest go first.
LEDGER_ROWS: Final = 50_000
QUARANTINE_ROWS: Final = 1_000
QUARANTINE_BYTES: Final = 16 * 1024 * 1024
WORKER_ROWS: Final = 10_000
NAME_ROWS: Final = 10_000
MISSED_ROWS: Final = 10_000
#: Seconds between two losses of one kind that are still one entry.
JOINED: Final = 5.0
#: Seconds for which a name need not be noted again.
NAME_SECONDS: Final = 60.0

_pack: Final = msgspec.msgpack.Encoder().encode
decode_worker: Final = msgspec.msgpack.Decoder(Worker).decode


class Books:
    """Writes them through one session, inside the caller's transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._names: dict[str, float] = {}
        self._meters = MeterRows(session)

    def forget(self) -> None:
        """The transaction was rolled back: names may not be noted."""
        self._names.clear()
        self._meters.forget()

    def add_meters(self, meters: Mapping[Pair, Counters], at: float) -> None:
        """Add to the counters that only grow."""
        if meters:
            self._meters.write(meters, at)

    def enter(self, entries: Iterable[LedgerEntry]) -> None:
        """Add to the ledger, to the entry before if it is of the same kind and touches; and to the estimates."""
        entered = False
        for entry in entries:
            entered = self._enter(entry) or entered
            if entry.estimated:
                self._miss(entry)
        if entered and self._may_trim():
            self._session.execute("trim_ledger", LEDGER_ROWS)

    def _enter(self, entry: LedgerEntry) -> bool:
        """Whether it made a row."""
        session = self._session
        worker, detail = stored(entry.worker), stored(entry.detail[:1_000])
        kind = (session.slot, entry.reason, entry.event_class, worker, entry.estimated, detail)
        last = session.execute("last_entry", *kind).fetchone()
        if last and entry.first_at <= last[2] + JOINED and last[1] <= entry.last_at + JOINED:
            session.execute("extend_entry", entry.first_at, entry.last_at, entry.count, last[0])
            return False
        times = entry.first_at, entry.last_at, entry.count
        session.execute("put_entry", *kind[:3], *times, entry.estimated, worker, detail)
        return True

    def _miss(self, entry: LedgerEntry) -> None:
        """Add to the estimates, by worker as far as there is room for them."""
        worker = stored(entry.worker)
        if worker and not self._session.one("room_to_miss", self._session.slot, worker, MISSED_ROWS):
            worker = ""
        self._session.execute("miss", self._session.slot, worker, entry.count)

    def _may_trim(self) -> bool:
        """Whether no other collector trims just now: two that delete the same rows would wait for each other."""
        return bool(self._session.one("try_lock", self._session.target.lock_space, TRIM))

    def quarantine(self, events: Iterable[Quarantined]) -> int:
        """Keep events that were not understood; how many older ones went for them."""
        rows = [(e.at, e.reason, stored(e.error), stored(e.content_type), e.raw) for e in events]
        if not rows:
            return 0
        self._session.execute_many("put_quarantine", rows)
        if not self._may_trim():
            return 0
        return self._session.execute("trim_quarantine", QUARANTINE_ROWS, QUARANTINE_BYTES).rowcount

    def join_workers(self, workers: Mapping[WorkerKey, Worker]) -> None:
        """Join workers into what this collector has seen of them."""
        if not workers:
            return
        slot = self._session.slot
        by_key = {(stored(hostname), pid): worker for (hostname, pid), worker in workers.items()}
        columns = [list(column) for column in zip(*by_key, strict=True)]
        known = {(row[0], row[1]): row[2] for row in self._session.execute("worker", slot, *columns)}
        rows = []
        for key, worker in by_key.items():
            joined = worker
            if key in known:
                joined = decode_worker(known[key])
                join_workers(joined, worker)
            rows.append((*key, slot, joined.seen_at, _pack(joined)))
        self._session.execute_many("put_worker", rows)

    def note_names(self, names: Iterable[str], at: float) -> None:
        """Note that tasks of these names were seen."""
        fresh = sorted(name for name in names if name and abs(at - self._names.get(name, -1e18)) > NAME_SECONDS)
        if fresh:
            # In one order everywhere: the rows are shared with other collectors.
            self._session.execute_many("put_name", sorted((key_of(name), stored(name), at) for name in fresh))
        if len(self._names) > NAME_ROWS:
            self._names.clear()
        self._names.update(dict.fromkeys(fresh, at))


def together(records: Iterable[bytes]) -> list[Worker]:
    """Workers from what each collector saw of them, the most recently seen first."""
    found: dict[WorkerKey, Worker] = {}
    for record in records:
        worker = decode_worker(record)
        known = found.setdefault((worker.hostname, worker.pid), worker)
        if known is not worker:
            join_workers(known, worker)
    return sorted(found.values(), key=lambda worker: (-worker.seen_at, worker.hostname, worker.pid))
