"""A collector's store in a process of its own: commits the whole of a seeded history, shuffled its own way.

Run as `python -m tests.stores.postgres_process URL NUMBER`; several with different numbers write the same tasks at
once. Goes on from its own position; while the store is busy it tries again, as the collector does.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random
from typing import TypeVar

from tests.conformance.store_process import commit_of, history
from umbel.errors import StoreBusy
from umbel.model.event import AnyEvent
from umbel.stores.base import Position
from umbel.stores.postgres import PostgresWriter, path_of

T = TypeVar("T")

#: Tasks in a part: the history fills several.
PART_TASKS = 400
BATCH = 150


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


def tell(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main(url: str, number: str) -> None:
    writer = PostgresWriter(path_of(url), part_tasks=PART_TASKS)
    patiently(writer.open)
    position = patiently(lambda: writer.position(f"history-{number}"))
    tell("ready")
    for index, events in enumerate(batches(int(number))):
        if position is None or index > int(position):
            commit = commit_of(index, events)
            commit = replace(commit, discarded={}, position=Position(f"history-{number}", str(index)))
            patiently(partial(writer.write, commit))
            tell("committed")
    writer.close()
    tell("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
