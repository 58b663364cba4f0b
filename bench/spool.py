"""What the spool costs: microseconds of CPU a message to append and to read, with 1 and 10 events a message."""

from __future__ import annotations

import base64
import json
import sys
import tempfile
import time
from pathlib import Path

from umbel.buffer.reader import SpoolReader
from umbel.buffer.writer import SpoolWriter
from umbel.clock import SystemClock

LIMIT = 1 << 30
MESSAGES = 200_000
#: What one read of a busy socket brings.
TOGETHER = 100


def envelope(events: int) -> bytes:
    kinds = ("task-received", "task-started", "task-succeeded")
    body = [
        {
            "type": kinds[number % 3],
            "uuid": f"6f1d1f60-5c4a-4f0e-9d57-{number:012}",
            "hostname": "worker@host",
            "pid": 4242,
            "clock": number,
            "utcoffset": 0,
            "timestamp": 1_750_000_000.25 + number,
            "result": "'a result of a usual length'",
            "runtime": 0.0123,
        }
        for number in range(events)
    ]
    raw = json.dumps(body if events > 1 else body[0]).encode()
    properties = {"delivery_mode": 1, "body_encoding": "base64", "delivery_tag": "6f1d1f60-5c4a-4f0e-9d57-0a4f6d7a0001"}
    fields = {"body": base64.b64encode(raw).decode(), "content-type": "application/json", "properties": properties}
    return json.dumps(fields).encode()


def append(writer: SpoolWriter, message: bytes, events: int, count: int, together: int) -> float:
    """CPU microseconds a message."""
    run = [message] * together
    begun = time.process_time()
    for _ in range(count // together):
        writer.append(run, events * together, 1.0)
    return (time.process_time() - begun) / count * 1e6


def read(reader: SpoolReader, count: int) -> float:
    """CPU microseconds a message."""
    begun, got = time.process_time(), 0
    while got < count:
        batch = reader.read(5_000, 4 << 20, 0.0)
        got += len(batch.messages)
        if batch.position is not None:
            reader.commit(batch.position)
    return (time.process_time() - begun) / count * 1e6


def normal(events: int, together: int) -> None:
    message = envelope(events)
    count = min(MESSAGES, int(0.7 * LIMIT / len(message)))
    with tempfile.TemporaryDirectory() as directory:
        writer = SpoolWriter(Path(directory), LIMIT, SystemClock())
        reader = SpoolReader(Path(directory), SystemClock())
        reader.open(None)
        appended = append(writer, message, events, count, together)
        taken = read(reader, count // together * together)
        print(
            f"{events:2} events a message of {len(message):5} bytes, {together:3} messages an append: "
            f"append {appended:5.2f} us, read {taken:5.2f} us a message"
        )
        reader.close()
        writer.close()


def shedding(events: int) -> None:
    message = envelope(events)
    with tempfile.TemporaryDirectory() as directory:
        writer = SpoolWriter(Path(directory), 64 << 20, SystemClock())
        count = int(2 * (64 << 20) / len(message))
        longest = 0.0
        begun = time.process_time()
        for _ in range(count // TOGETHER):
            start = time.perf_counter()
            writer.append([message] * TOGETHER, events * TOGETHER, 1.0)
            longest = max(longest, time.perf_counter() - start)
        cost = (time.process_time() - begun) / count * 1e6
        print(
            f"{events:2} events a message, twice what the spool holds and no reader: {cost:5.1f} us a message, "
            f"longest append {longest * 1e3:.0f} ms"
        )
        writer.close()


if __name__ == "__main__":
    print(f"Python {sys.version.split()[0]}")
    for per_message in (1, 10):
        for per_append in (1, TOGETHER):
            normal(per_message, per_append)
    for per_message in (1, 10):
        shedding(per_message)
