"""What a writer remembers of segments that take no new tasks any more."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

from tests.conformance.store_process import START
from tests.conformance.test_stores import commit
from umbel.model.event import AnyEvent, TaskReceived, TaskStarted, TaskSucceeded
from umbel.stores.sqlite import SqliteWriter, plain, words

#: Tasks of a segment, each with a name and a worker of its own.
TASKS = 4_000


def remembered() -> int:
    """Bytes that names, workers and routes take."""
    here = [tracemalloc.Filter(inclusive=True, filename_pattern=str(module.__file__)) for module in (words, plain)]
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(here).traces)


def test_of_a_segment_that_is_full_few_names_and_workers_are_remembered(tmp_path: Path) -> None:
    writer = SqliteWriter(tmp_path / "umbel.db", segment_tasks=TASKS)
    writer.open()
    tracemalloc.start()
    try:
        sizes = []
        for segment in range(3):
            events: list[AnyEvent] = []
            for n in range(TASKS):
                worker, id_ = f"w{n}@{segment}", f"{segment}-{n}"
                name = f"shop.{segment}.{n}"
                events += (
                    TaskReceived(hostname=worker, pid=n, timestamp=START, uuid=id_, name=name),
                    TaskStarted(hostname=worker, pid=n, timestamp=START + 1, uuid=id_),
                    TaskSucceeded(hostname=worker, pid=n, timestamp=START + 2, uuid=id_),
                )
            writer.write(commit(events, START))
            sizes.append(remembered())
    finally:
        tracemalloc.stop()
    writer.close()
    assert sizes[0] > 400_000
    assert sizes[2] < 1.2 * sizes[0]
