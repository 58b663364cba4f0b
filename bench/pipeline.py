"""The collector's whole cost an event, beside decoding alone: read the spool, decode, merge, commit, rollups.

    python bench/pipeline.py [--events 200000] [--runs 3]

Each run makes a spool as the receiver would, then times decoding its messages and collecting it into an empty store.
Decoding is timed twice: by the standard library's json, which is the least that a monitor without a decoder of its own
must do, and by Umbel's.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from decode import with_json, with_umbel
from load import messages
from umbel.buffer.writer import SpoolWriter
from umbel.clock import SystemClock
from umbel.ingest import Collector
from umbel.model.redact import Redactor
from umbel.settings import Settings
from umbel.sources.base import Batch, Limits
from umbel.sources.spool import SpoolSource
from umbel.stores.sqlite import SqliteReader, SqliteWriter

#: Bytes of the spool; nothing is shed.
SPOOL = 1 << 30
#: Messages that the receiver gets from the socket at once.
CHUNK = 64


class Cost(NamedTuple):
    """Seconds an event."""

    cpu: float
    wall: float


def decoding(decode: Callable[[Sequence[bytes]], int], batch: Sequence[bytes], count: int) -> float:
    """CPU seconds an event of decoding alone."""
    began = time.process_time()
    decode(batch)
    return (time.process_time() - began) / count


def collecting(batch: Sequence[bytes], count: int) -> Cost:
    """Everything from the spool to the commit."""
    clock = SystemClock()
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        spool = SpoolWriter(home / "spool", SPOOL, clock)
        per_message = count // len(batch)
        for start in range(0, len(batch), CHUNK):
            chunk = batch[start : start + CHUNK]
            spool.append(chunk, len(chunk) * per_message, clock.now())
        source = _UntilEmpty(home / "spool", SPOOL, clock)
        redactor = Redactor(Settings().redact_keys)
        collector = Collector(source, SqliteWriter(home / "umbel.db"), _CpuClock(), redactor=redactor)
        cpu, wall = time.process_time(), time.perf_counter()
        collector.run(threading.Event())
        cost = Cost((time.process_time() - cpu) / count, (time.perf_counter() - wall) / count)
        spool.close()
        _check(home / "umbel.db", count)
    return cost


class _CpuClock(SystemClock):
    """Sizes batches by the CPU time of commits: other programs make them no smaller."""

    def monotonic(self) -> float:
        return time.process_time()


class _UntilEmpty(SpoolSource):
    """The spool's source, at its end once nothing waits."""

    empty = False

    def poll(self, limits: Limits) -> Batch:
        batch = super().poll(limits)
        self.empty = not len(batch)
        return batch

    def finished(self) -> bool:
        return self.empty


def _check(path: Path, count: int) -> None:
    reader = SqliteReader(path)
    stored = reader.state().books.stored
    reader.close()
    if stored != count:
        raise SystemExit(f"{stored} of {count} events were stored: the benchmark is wrong")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    head = ("events/message", "json us", "decode us", "whole us", "whole events/s", "whole/json", "whole/decode")
    print("  ".join(f"{title:>14}" for title in head), "  (CPU time, medians)")
    for size in (1, 10):
        count = options.events // size * size
        batch = messages(count, size)
        runs = [
            (decoding(with_json, batch, count), decoding(with_umbel, batch, count), collecting(batch, count))
            for _ in range(options.runs)
        ]
        costs = [statistics.median(costs) * 1e6 for costs in zip(*((j, d, w.cpu) for j, d, w in runs), strict=True)]
        rate = 1 / statistics.median(w.wall for _, _, w in runs)
        to_json = statistics.median(w.cpu / j for j, _, w in runs)
        to_decode = statistics.median(w.cpu / d for _, d, w in runs)
        row = (f"{size}", *(f"{cost:.2f}" for cost in costs), f"{rate:,.0f}", f"{to_json:.2f}", f"{to_decode:.2f}")
        print("  ".join(f"{text:>14}" for text in row))


if __name__ == "__main__":
    main()
