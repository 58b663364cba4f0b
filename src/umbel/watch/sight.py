"""What rules may look at: the same ports, and the same bounded questions, as pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from umbel.alerts.records import Known
from umbel.brokers.base import QueueDepth
from umbel.control.schedules import Plan
from umbel.errors import BrokerError
from umbel.model.ledger import LedgerEntry
from umbel.model.rollup import RollupPoint
from umbel.model.worker import Worker
from umbel.stores.base import StoreReader
from umbel.web.alerting import Sight
from umbel.web.pipeline import RUNNING, Pipeline
from umbel.web.punctuality import History, Row
from umbel.web.queue_names import queue_names
from umbel.web.readiness import LAG

T = TypeVar("T")

#: Seconds after a broker's return in which workers may not have been heard of yet.
SETTLING: Final = 30.0


@dataclass(slots=True)
class Look:
    """One moment's look, shared by all rules that are judged at it: each question is asked once."""

    sight: Sight
    now: float
    #: Kinds of failure that were seen, by fingerprint.
    known: Mapping[str, Known]
    _asked: dict[object, object] = field(default_factory=dict)

    @property
    def reader(self) -> StoreReader:
        return self.sight.reader

    def pipeline(self) -> Pipeline:
        """How events flow."""
        return self._once("pipeline", self.sight.pipeline)

    def blind(self) -> str:
        """Why what was not seen need not be so: `the broker does not deliver`; "" where everything would be seen."""
        pipeline = self.pipeline()
        if pipeline.store_error:
            return "the store cannot be read"
        if any(part.name in ("receive", "collect") and part.state != RUNNING for part in pipeline.parts):
            return "capture does not run"
        if pipeline.connected is False:
            return "the broker does not deliver"
        if pipeline.connected and self.now - pipeline.connected_since < SETTLING:
            return "the broker has only just come back"
        return f"the store is {pipeline.lag_seconds:.0f} s behind" if pipeline.lag_seconds > LAG else ""

    def names(self, within: float) -> Sequence[RollupPoint]:
        """Counts and latencies of each task name in the last `within` seconds, to the minute."""
        end = int(self.now // 60 + 1) * 60
        start = int((self.now - within) // 60) * 60
        return self._once(("names", start), lambda: self.reader.rollup_names(start, end))

    def workers(self) -> Sequence[Worker]:
        """Worker processes."""
        return self._once("workers", self.reader.workers)

    def ledger(self, since: float) -> Sequence[LedgerEntry]:
        """Losses that went on at `since` or later."""
        return self._once(("ledger", since), lambda: self.reader.ledger(since=since))

    def depths(self, names: Sequence[str] = ()) -> Mapping[str, QueueDepth]:
        """Queues by name: those that tasks are sent to, and those asked for; raises `BrokerError`."""
        queues = self.sight.queues
        if queues is None:
            raise BrokerError("no broker is known to this process; start it with --broker or -A")
        wanted = tuple(sorted({*self._once("queues", lambda: queue_names(self.reader)), *names}))
        return self._once(("depths", wanted), lambda: {depth.name: depth for depth in queues.depths(wanted)})

    def schedules(self) -> Sequence[Row]:
        """The entries of beat, and how they were kept; none where no plan can be read."""
        return self._once("schedules", self._schedules)

    def _schedules(self) -> Sequence[Row]:
        plan: Plan | None = self.sight.plan(self.now) if self.sight.plan is not None else None
        return History(self.reader, self.sight.clock).rows(plan) if plan is not None else ()

    def _once(self, question: object, ask: Callable[[], T]) -> T:
        if question not in self._asked:
            self._asked[question] = ask()
        # Each question has one type of answer.
        return self._asked[question]  # type: ignore[return-value]
