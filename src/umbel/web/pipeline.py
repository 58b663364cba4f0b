"""How events flow from the broker to the store just now: one view from the store's books and what the parts say."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from umbel import status
from umbel.clock import Clock
from umbel.errors import StoreError
from umbel.model.event import EventClass
from umbel.model.ledger import Reason
from umbel.status import PartStatus
from umbel.stores.base import StoreReader, StoreState
from umbel.web.books import Backlog, Received, Trend

#: Seconds that a view is used again.
FRESH: Final = 0.5
#: What a part may be.
RUNNING: Final = "running"
STALE: Final = "stale"
ABSENT: Final = "absent"


@dataclass(frozen=True, slots=True)
class Part:
    """One process: running, stale (its status was not renewed), or absent."""

    name: str
    state: str
    #: What keeps it from working, "" while nothing does.
    error: str = ""
    pid: int = 0
    #: Wall times of its start and of what it last said, UTC seconds; 0 where absent.
    started_at: float = 0.0
    at: float = 0.0
    values: Mapping[str, float] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    #: The machine, where another one tells of it through the store.
    host: str = ""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The pipeline at one moment. Counts are events; `received = stored + discarded_total + in_flight` always holds."""

    #: Wall time of this view, UTC seconds.
    at: float
    parts: tuple[Part, ...]
    #: Why the store cannot be read, "" if it can; the counts are then the last that were read, if `known`.
    store_error: str = ""
    #: Whether the store was ever read.
    known: bool = False
    received: int = 0
    #: The same as a counter that never shrinks while the store stays the same.
    received_total: int = 0
    stored: int = 0
    in_flight: int = 0
    discarded: Mapping[tuple[Reason, EventClass], int] = field(default_factory=dict)
    #: Estimate of events lost before capture, by worker ("" where it cannot be told).
    missed: Mapping[str, int] = field(default_factory=dict)
    #: Whether the store's own books balance: received = stored + discarded.
    balanced: bool = True
    #: Events stored a second over the last half minute; None until two moments were seen.
    rate: float | None = None
    #: Age of the oldest captured event that is not yet stored, seconds.
    lag_seconds: float = 0.0
    #: None where no part tells.
    connected: bool | None = None
    #: Wall time since which the broker delivers or does not, 0 where no part tells.
    connected_since: float = 0.0
    #: Why it does not deliver, "" while it does or nobody says.
    broker_error: str = ""
    reconnects: int = 0
    #: Bytes captured and waiting on disk, and their bound; 0 where the broker holds them.
    spool_bytes: int = 0
    spool_limit: int = 0
    #: Wall time and duration (seconds) of the store's latest commit; 0 where there was none.
    committed_at: float = 0.0
    commit_seconds: float = 0.0
    tasks: int = 0
    store_bytes: int = 0
    #: Files or tables set aside because they could not be used: the store's, newest first, then the spool's.
    set_aside: tuple[str, ...] = ()
    quarantined: int = 0
    #: Whether events were discarded or missed within the last half minute.
    losing: bool = False

    @property
    def discarded_total(self) -> int:
        return sum(self.discarded.values())

    @property
    def missed_total(self) -> int:
        return sum(self.missed.values())

    @property
    def discarded_by_reason(self) -> dict[str, int]:
        """Events discarded by the name of the reason."""
        found: dict[str, int] = {}
        for (reason, _class), count in self.discarded.items():
            found[reason.value] = found.get(reason.value, 0) + count
        return found

    @property
    def spool_share(self) -> float:
        """How full the spool is, 0 to 1; 0 where there is none."""
        return self.spool_bytes / self.spool_limit if self.spool_limit else 0.0

    def part(self, name: str) -> Part | None:
        """A part by its name, such as `collect`."""
        return next((part for part in self.parts if part.name == name), None)


class PipelineWatch:
    """Keeps one `Pipeline` for all who ask, and reads the store again at most every `FRESH` seconds."""

    def __init__(
        self,
        reader: StoreReader,
        statuses: Callable[[], Mapping[str, PartStatus]],
        clock: Clock,
        parts: Sequence[str],
    ) -> None:
        self._reader = reader
        self._statuses = statuses
        self._clock = clock
        self._expected = tuple(parts)
        self._lock = threading.Lock()
        self._trend = Trend()
        self._received = Received()
        self._state: StoreState | None = None
        self._view: Pipeline | None = None
        self._until = 0.0

    def view(self) -> Pipeline:
        """The latest view; while one thread renews it, the others get the one before."""
        view = self._view
        if view is not None and (self._fresh() or self._lock.locked()):
            return view
        with self._lock:
            if self._view is None or not self._fresh():
                self._view = self._look()
                self._until = self._clock.monotonic() + FRESH
            return self._view

    def _fresh(self) -> bool:
        return self._clock.monotonic() < self._until

    def _look(self) -> Pipeline:
        # The statuses first: the books are then never older than the backlog that is added to them.
        statuses = self._statuses()
        error = ""
        try:
            self._state = self._reader.state()
        except StoreError as problem:
            error = str(problem)
        now = self._clock.now()
        flow = _flow(_parts(self._expected, statuses, now), now)
        view = replace(flow, store_error=error, known=self._state is not None)
        return view if self._state is None else self._with_books(view, self._state)

    def _with_books(self, view: Pipeline, state: StoreState) -> Pipeline:
        books = state.books
        discarded = sum(books.discarded.values())
        settled = books.stored + discarded
        lost = discarded + sum(books.missed_estimate.values())
        rate, losing = self._trend.add(self._clock.monotonic(), books.stored, lost)
        received = self._received.reckon(books.received, state.committed_at, _backlog(view.parts), rate or 0.0)
        return replace(
            view,
            received=received,
            received_total=self._received.highest,
            stored=books.stored,
            in_flight=received - settled,
            discarded=books.discarded,
            missed=books.missed_estimate,
            balanced=books.received == settled,
            rate=rate,
            losing=losing,
            committed_at=state.committed_at,
            commit_seconds=state.commit_seconds,
            tasks=state.tasks,
            store_bytes=state.bytes,
            set_aside=(*state.set_aside, *view.set_aside),
            quarantined=state.quarantined,
        )


def _parts(expected: Sequence[str], statuses: Mapping[str, PartStatus], now: float) -> tuple[Part, ...]:
    """The expected parts in their order, then any other that runs: a stale one is of the past."""
    others = [name for name, told in sorted(statuses.items()) if name not in expected and not told.stale(now)]
    return tuple(_part(name, statuses.get(name), now) for name in (*expected, *others))


def _part(name: str, told: PartStatus | None, now: float) -> Part:
    if told is None:
        return Part(name, ABSENT)
    state = STALE if told.stale(now) else RUNNING
    return Part(name, state, told.error, told.pid, told.started_at, told.at, told.values, told.texts, told.host)


def _link(parts: Sequence[Part]) -> Part | None:
    """Who speaks with the broker: the receiver where there is one, else the collector; None if it does not tell."""
    receivers = [part for part in parts if part.name == "receive"]
    return _teller(receivers or parts, status.CONNECTED, "collect")


def _teller(parts: Sequence[Part], value: str, first: str) -> Part | None:
    """The part to believe about a value: a running one before a stale one, `first` before another."""
    tellers = [part for part in parts if value in part.values]
    return min(tellers, key=lambda part: (part.state != RUNNING, part.name != first, -part.at), default=None)


def _flow(parts: tuple[Part, ...], now: float) -> Pipeline:
    """What the parts alone tell."""
    link = _link(parts)
    connected = link is not None and link.state == RUNNING and bool(link.values[status.CONNECTED])
    spool = _teller(parts, status.BUFFER_LIMIT, "receive")
    return Pipeline(
        at=now,
        parts=parts,
        lag_seconds=_lag(parts, now),
        connected=connected if link else None,
        broker_error=link.texts.get("broker_error", link.error) if link and not connected else "",
        connected_since=link.values.get(status.SINCE, 0.0) if link else 0.0,
        reconnects=int(link.values.get(status.RECONNECTS, 0)) if link else 0,
        spool_bytes=int(spool.values.get(status.BUFFER, 0)) if spool else 0,
        spool_limit=int(spool.values[status.BUFFER_LIMIT]) if spool else 0,
        set_aside=tuple(name for part in parts for name in part.texts.get(status.SET_ASIDE, "").split()),
    )


def _lag(parts: Sequence[Part], now: float) -> float:
    teller = _teller(parts, status.OLDEST, "collect")
    oldest = teller.values[status.OLDEST] if teller else 0.0
    return max(0.0, now - oldest) if oldest else 0.0


def _backlog(parts: Sequence[Part]) -> Backlog | None:
    """What waits before the store, as last told."""
    teller = _teller(parts, status.BACKLOG, "collect")
    if teller is None:
        return None
    committer = _teller(parts, status.COMMITTED_AT, "collect")
    # A collector that has just started and committed nothing knows of every commit before its start.
    committed_at = max(committer.values[status.COMMITTED_AT], committer.started_at) if committer else 0.0
    return Backlog(int(teller.values[status.BACKLOG]), committed_at)
