"""What metrics and pages tell beyond the store's books: counters of tasks, queue depths, pools.

Broker and workers are asked by a thread of their own, at most every `FRESH` seconds and only while somebody scrapes or
looks. Nobody waits for it, but for a scrape before there is anything to tell; scrapes that come at a steady pace have a
look made shortly before the next one.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from umbel.alerts.records import Total
from umbel.control.commands import ActiveQueues, Stats
from umbel.errors import BrokerError, ControlError, StoreError
from umbel.metrics.names import Measured
from umbel.model.meter import Meters
from umbel.model.query import Compare, Field, Op, Page
from umbel.model.task import State
from umbel.model.worker import shown
from umbel.web.deps import Deps
from umbel.web.queue_names import queue_names

log = logging.getLogger(__name__)

#: Seconds that what broker, workers and the search for prefetched tasks gave is told again.
FRESH: Final = 15.0
#: Seconds after which what could not be renewed is no longer told.
STALE: Final = 120.0
#: Seconds that a scrape waits for a look where there is none to tell.
PATIENCE: Final = 2.0
#: Seconds before the next scrape is due at which a look is made for it.
LEAD: Final = 3.0
#: Tasks that were taken and not started, looked at for each of them.
TAKEN: Final = 5_000
PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Pool:
    """What a worker says of its pool: the tasks it runs at once, and the messages it takes at most (0: any number)."""

    size: int | None
    prefetch: int | None


@dataclass(slots=True)
class Look:
    """What one round found."""

    at: float
    queues: Sequence[tuple[str, int | None, int | None, int | None]] = ()
    pools: Mapping[str, Pool] = field(default_factory=dict)
    prefetched: Mapping[tuple[str, str], int] = field(default_factory=dict)


class Surroundings:
    """The latest look at broker and workers; may be used from any thread."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._changed = threading.Condition()
        self._look: Look | None = None
        self._looking = False
        #: When a scrape came last (monotonic seconds), and what looks for the next one.
        self._scraped = -math.inf
        self._ahead: threading.Timer | None = None

    def measured(self) -> Measured:
        """Everything, the counters as the store has them now."""
        look = self._latest()
        self._plan()
        settings = self._deps.settings
        return Measured(
            meters=self._living(self._deps.reader.meters()),
            prefetched=look.prefetched,
            queues=look.queues,
            concurrency={name: pool.size for name, pool in look.pools.items() if pool.size is not None},
            buckets=settings.task_runtime_metric_buckets,
            firing=self._firing(),
            notices=self._notices(),
        )

    def pools(self) -> Mapping[str, Pool]:
        """Pools by worker as they told of them last; waits for nobody, so the first time it may be empty."""
        return self._latest(wait=False).pools

    def consumers(self) -> Mapping[str, int]:
        """Consumers by queue, of the last look, where anybody told; waits for nobody."""
        return {name: n for name, _, _, n in self._latest(wait=False).queues if n is not None}

    def _firing(self) -> Mapping[tuple[str, str], int]:
        """Of every rule, also one that is quiet; their number is bounded."""
        view = self._deps.board.view()
        counts = Counter(held.rule.name for held in view.firing)
        return {(rule.name, rule.severity.value): counts[rule.name] for rule in view.rules}

    def _notices(self) -> Mapping[str, tuple[int, int]]:
        board = self._deps.board
        totals = board.view().totals
        found = {one.name: totals.get(one.name, Total()) for one in board.config.destinations}
        return {name: (total.sent, total.failed) for name, total in found.items()}

    def _living(self, meters: Meters) -> Meters:
        """Without the workers that are gone for longer than `--purge-offline-workers` says."""
        purge = self._deps.settings.purge_offline_workers
        if purge is None:
            return meters
        workers = self._deps.reader.workers()
        stay = {worker.hostname for worker in shown(workers, self._deps.clock.now(), purge)}
        gone = {worker.hostname for worker in workers} - stay

        def stays(item: tuple[tuple[str, str], Any]) -> bool:
            return item[0][1] not in gone

        return Meters(
            events=dict(filter(stays, meters.events.items())),
            runs=dict(filter(stays, meters.runs.items())),
            waits=meters.waits,
            failures=meters.failures,
            prefetch=dict(filter(stays, meters.prefetch.items())),
        )

    def _latest(self, *, wait: bool = True) -> Look:
        now = self._deps.clock.monotonic()
        self._begin()
        with self._changed:
            if wait and not self._known(now):
                self._changed.wait_for(lambda: not self._looking, PATIENCE)
            look = self._look
            return look if look is not None and self._known(now) else Look(now)

    def _known(self, now: float) -> bool:
        return self._look is not None and now - self._look.at <= STALE

    def _begin(self) -> None:
        """Have a look made, unless one is under way or fresh."""
        now = self._deps.clock.monotonic()
        with self._changed:
            if not self._looking and (self._look is None or now - self._look.at > FRESH):
                self._looking = True
                threading.Thread(target=self._renew, name="umbel-look", daemon=True).start()

    def _plan(self) -> None:
        """Have a look made just before the next scrape, which comes as long after this one as this after the last."""
        now = self._deps.clock.monotonic()
        with self._changed:
            apart, self._scraped = now - self._scraped, now
            if FRESH < apart <= STALE and (self._ahead is None or not self._ahead.is_alive()):
                self._ahead = threading.Timer(apart - LEAD, self._begin)
                self._ahead.daemon = True
                self._ahead.start()

    def _renew(self) -> None:
        look: Look | None = None
        try:
            look = Look(self._deps.clock.monotonic(), self._queues(), self._pools(), self._prefetched())
        except Exception:
            # A page or a scrape that asked goes on without; nobody else would see it in this thread.
            log.exception("broker and workers could not be looked at")
        finally:
            with self._changed:
                self._looking = False
                self._look = self._look if look is None else look
                self._changed.notify_all()

    def _queues(self) -> list[tuple[str, int | None, int | None, int | None]]:
        if self._deps.queues is None:
            return []
        try:
            depths = self._deps.queues.depths(queue_names(self._deps.reader))
        except (BrokerError, StoreError) as error:
            log.debug("the metrics do without queues: %s", error)
            return []
        told = None if all(depth.consumers is not None for depth in depths) else self._consumers()
        return [
            (
                depth.name,
                depth.ready,
                depth.unacked,
                told[depth.name] if depth.consumers is None and told is not None else depth.consumers,
            )
            for depth in depths
        ]

    def _consumers(self) -> Counter[str] | None:
        """Workers that consume from each queue, by their own word: Redis does not know.

        None unless all that are online tell, so that no queue looks deserted because its worker is slow.
        """
        try:
            control, online = self._deps.control(), self._online()
            if control is None or not self._deps.reader.workers():
                return None
            answers = control.ask(ActiveQueues(online), self._deps.settings.inspect_timeout) if online else {}
        except (ControlError, StoreError) as error:
            log.debug("the metrics do without consumers: %s", error)
            return None
        queues = [_queues_of(answers.get(worker)) for worker in online]
        return None if None in queues else Counter(name for names in queues for name in names or ())

    def _online(self) -> tuple[str, ...]:
        now = self._deps.clock.now()
        return tuple(sorted({worker.hostname for worker in self._deps.reader.workers() if worker.online(now)}))

    def _pools(self) -> dict[str, Pool]:
        try:
            control, online = self._deps.control(), self._online()
            answers = control.ask(Stats(online), self._deps.settings.inspect_timeout) if control and online else {}
        except (ControlError, StoreError) as error:
            log.debug("the metrics do without pools: %s", error)
            return {}
        return {name: _pool(answer) for name, answer in answers.items() if isinstance(answer, Mapping)}

    def _prefetched(self) -> Counter[tuple[str, str]]:
        """Tasks in the state RECEIVED, by name and worker; those of workers that are gone are nobody's."""
        found: Counter[tuple[str, str]] = Counter()
        where = Compare(Field.STATE, Op.EQ, State.RECEIVED.value)
        try:
            online = set(self._online())
            cursor: str | None = ""
            while cursor is not None and found.total() < TAKEN:
                page = self._deps.reader.tasks(where, Page(PAGE, cursor))
                found.update((task.name, task.worker) for task in page.items if task.worker in online)
                cursor = page.next if page.complete else None
        except StoreError as error:
            log.debug("the metrics do without prefetched tasks: %s", error)
        return found


def _queues_of(answer: Any) -> set[str] | None:
    """The names in a worker's `active_queues`; None where it told nothing of the kind."""
    if not isinstance(answer, list):
        return None
    return {str(queue.get("name")) for queue in answer if isinstance(queue, Mapping)}


def _pool(stats: Mapping[str, Any]) -> Pool:
    told = stats.get("pool")
    size = told.get("max-concurrency") if isinstance(told, Mapping) else None
    prefetch = stats.get("prefetch_count")
    return Pool(size if isinstance(size, int) else None, prefetch if isinstance(prefetch, int) else None)
