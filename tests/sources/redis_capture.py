"""A receiver that runs in a thread, the spool that it fills, and a real Celery dispatcher that publishes to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from celery import Celery

from umbel.buffer.writer import SpoolWriter
from umbel.clock import SystemClock
from umbel.model.decode import Decoder
from umbel.model.event import AnyEvent
from umbel.model.ledger import LedgerEntry
from umbel.settings import Settings
from umbel.sources.base import Limits
from umbel.sources.redis import RedisReceiver
from umbel.sources.spool import SpoolSource
from umbel.status import CAPTURED, CONNECTED, PartStatus

LIMIT = 256 << 20


class Capture:
    """Entered, it runs; `read` gives what reached the spool since the last `read`."""

    def __init__(
        self,
        settings: Settings,
        directory: Path,
        writer: Callable[..., SpoolWriter] = SpoolWriter,
        position: str | None = None,
    ) -> None:
        self.clock = SystemClock()
        self.spool = writer(directory, LIMIT, self.clock)
        self.receiver = RedisReceiver(settings, self.spool, self.clock)
        self.source = SpoolSource(directory, LIMIT, self.clock)
        #: Up to where the spool was read and committed.
        self.position = position
        self.stop = threading.Event()
        self.statuses: list[PartStatus] = []
        self.ledger: list[LedgerEntry] = []
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self.receiver.run(self.stop, self.statuses.append)
        except BaseException as error:  # noqa: BLE001 (handed to the test)
            self.failure = error

    def __enter__(self) -> Self:
        self._thread.start()
        self.source.open(self.position)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        self.source.close()
        self.spool.close()
        assert self.failure is None, self.failure

    def end(self, within: float = 30.0) -> None:
        """Stop the receiver."""
        self.stop.set()
        self._thread.join(timeout=within)
        assert not self._thread.is_alive(), "the receiver did not stop"

    @property
    def status(self) -> PartStatus:
        return self.receiver.status()

    @property
    def connected(self) -> bool:
        return self.status.values[CONNECTED] == 1.0

    @property
    def captured(self) -> int:
        return int(self.status.values[CAPTURED])

    def until(self, check: Callable[[], object], what: str, timeout: float = 60.0) -> float:
        """Wait until `check()` is true; gives the seconds it took."""
        began = time.monotonic()
        while not check():
            assert self.failure is None, self.failure
            took = time.monotonic() - began
            assert took < timeout, f"{what} took more than {timeout} s; status: {self.status}"
            time.sleep(0.02)
        return time.monotonic() - began

    def until_connected(self, timeout: float = 60.0) -> float:
        return self.until(lambda: self.connected, "connecting", timeout)

    def messages(self) -> list[bytes]:
        """Whole messages from the spool, committed at once; entries for the ledger are gathered in `ledger`."""
        found: list[bytes] = []
        while (batch := self.source.poll(Limits(wait=0.0))).position is not None:
            found += batch.envelopes
            self.ledger += batch.ledger
            self.source.commit(batch.position)
            self.position = batch.position
        return found

    def read(self, count: int, timeout: float = 60.0) -> list[AnyEvent]:
        """Exactly `count` events; waits for them, and a little longer to see whether there are more."""
        events: list[AnyEvent] = []
        deadline = time.monotonic() + timeout
        while len(events) < count and time.monotonic() < deadline:
            events += Decoder().envelopes(self.messages()).events
            time.sleep(0.02)
        time.sleep(0.1)
        events += Decoder().envelopes(self.messages()).events
        assert len(events) == count, f"{len(events)} events instead of {count}; status: {self.status}"
        return events


def publish(
    broker: str,
    *,
    transport: Mapping[str, Any] | None = None,
    ssl: Mapping[str, Any] | None = None,
    ids: Sequence[str] = ("a", "b", "c"),
) -> int:
    """Send worker-online alone, task-started of each id in one batch, task-sent alone; gives the number of events."""
    app = Celery(broker=broker, set_as_current=False)
    app.conf.broker_transport_options = dict(transport or {})
    if ssl:
        app.conf.broker_use_ssl = dict(ssl)
    with app.connection_for_write() as connection:
        with app.events.Dispatcher(connection, hostname="w@h", buffer_group={"task"}, buffer_limit=24) as dispatcher:
            dispatcher.send("worker-online", freq=2, sw_ident="py-celery", sw_ver="5.7", sw_sys="Linux")
            for uuid in ids:
                dispatcher.send("task-started", uuid=uuid)
            dispatcher.flush()
        with app.events.Dispatcher(connection, hostname="gen1@h") as plain:
            plain.send("task-sent", uuid=ids[0], name="t", queue="celery")
    app.close()
    return len(ids) + 2
