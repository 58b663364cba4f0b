"""A collector on RabbitMQ that kills itself (SIGKILL) between a commit and its acknowledgement.

Run as `python -m tests.sources.amqp_mortal BROKER EXCHANGE QUEUE TYPE STORE COMMITS`: it dies in commit number COMMITS,
counted from 1, after the store has it and before the broker hears of it; with 0 it stops by SIGTERM like any other.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

from umbel.clock import SystemClock
from umbel.ingest import Collector
from umbel.settings import Settings
from umbel.sources.amqp import AmqpSource
from umbel.sources.base import Batch, Limits, Positions
from umbel.stores.sqlite import SqliteWriter

#: Messages of a batch: several batches are on their way at once.
MESSAGES = 100


class MortalSource(AmqpSource):
    """Dies in a commit instead of acknowledging."""

    def __init__(self, settings: Settings, positions: Positions, commits: int) -> None:
        super().__init__(settings, positions=positions)
        self._left = commits

    def poll(self, limits: Limits) -> Batch:
        return super().poll(replace(limits, messages=MESSAGES))

    def commit(self, position: str) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        super().commit(position)


def main(broker: str, exchange: str, queue: str, kind: str, store: str, commits: str) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    settings = Settings(broker=broker, event_exchange=exchange, queue_name=queue, queue_type=kind)
    writer = SqliteWriter(Path(store))
    Collector(MortalSource(settings, writer, int(commits)), writer, SystemClock()).run(stop)


if __name__ == "__main__":
    main(*sys.argv[1:])
