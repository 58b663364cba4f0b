"""Sums by which two stores can be told to hold the same, whatever the order in which each lists it."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

import msgspec

from umbel.model.ledger import LedgerEntry
from umbel.model.merge import Task
from umbel.model.worker import Worker

#: Sums are kept below this.
MODULUS: Final = 1 << 128

_encode: Final = msgspec.msgpack.Encoder().encode


def _number(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=16).digest(), "big")


def of_task(task: Task) -> int:
    """What a record adds to the sum: all that it holds counts."""
    history = task.history
    if history:
        task = msgspec.structs.replace(task, history=frozenset())
    # A set has no order of its own.
    return _number(_encode(task) + b"".join(sorted(_encode(run) for run in history)))


def of_workers(workers: Iterable[Worker]) -> int:
    """The sum of worker processes."""
    return sum(_number(_encode(worker)) for worker in workers) % MODULUS


def of_ledger(entries: Iterable[LedgerEntry]) -> int:
    """The sum of a ledger's losses by kind: a store may join entries that touch."""
    kinds: dict[tuple[str, str, str, bool, str], list[float]] = {}
    for entry in entries:
        kind = (entry.reason.value, entry.event_class.value, entry.worker, entry.estimated, entry.detail)
        found = kinds.setdefault(kind, [entry.first_at, entry.last_at, 0])
        found[0], found[1] = min(found[0], entry.first_at), max(found[1], entry.last_at)
        found[2] += entry.count
    return sum(_number(_encode((*kind, *found))) for kind, found in kinds.items()) % MODULUS
