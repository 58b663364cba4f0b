"""A collector's store in a process of its own: commits the whole of a seeded history, shuffled its own way.

Run as `python -m tests.stores.clickhouse_process PORT DATABASE NUMBER`; several with different numbers write the same
tasks at once. Goes on from its own position; while the store is busy it tries again, as the collector does.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random
from typing import TypeVar

from tests.conformance.store_process import START, commit_of, history
from umbel.errors import StoreBusy
from umbel.model.event import AnyEvent
from umbel.retention import Retention
from umbel.stores.base import Position
from umbel.stores.clickhouse import ClickHouseWriter
from umbel.stores.clickhouse.anchors import Anchors
from umbel.stores.clickhouse.lease import SECONDS
from umbel.stores.clickhouse.target import Layout, Target

T = TypeVar("T")

#: The history fills several parts, and each of them several spans.
LAYOUT = Layout(part=4_000_000, span=1_000_000)
BATCH = 400


def target(port: int, database: str) -> Target:
    return Target("127.0.0.1", port, database, layout=LAYOUT)


def batches(number: int) -> list[list[AnyEvent]]:
    """The history, in neighbourhoods that the processes share, in orders that they do not."""
    random = Random(number)
    events = [event for batch in history() for event in batch]
    order = sorted(range(len(events)), key=lambda index: index + random.gauss(0, 200))
    return [[events[index] for index in order[at : at + BATCH]] for at in range(0, len(order), BATCH)]


def patiently(do: Callable[[], T]) -> T:
    """What it gives, as soon as the store is not busy."""
    while True:
        try:
            return do()
        except StoreBusy:
            time.sleep(0.05)


def main(port: str, database: str, number: str) -> None:
    writer = ClickHouseWriter(target(int(port), database), anchors=Anchors(100))
    patiently(writer.open)
    source = f"history-{number}"
    position = patiently(lambda: writer.position(source))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for index, events in enumerate(batches(int(number))):
        if position is None or index > int(position):
            commit = replace(commit_of(index, events), discarded={}, position=Position(source, str(index)))
            patiently(partial(writer.write, commit))
            # Rollups are brought up to date while others write to them. From one commit to the next a lease runs out,
            # that of a killed one too: whoever is at another commit than its owner takes it.
            patiently(partial(writer.maintain, Retention(), START + index * (SECONDS + 1)))
    writer.close()
    sys.stdout.write("done\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
