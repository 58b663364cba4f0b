"""Fingerprints of failures that were looked at before: how an attempt ended does not change, and its record is dear."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final
from weakref import WeakKeyDictionary

from umbel.model.fingerprint import Fingerprint, fingerprint
from umbel.model.task import Summary
from umbel.stores.base import StoreReader

#: Failures of a store whose fingerprints are remembered, the latest looked at.
KEPT: Final = 10_000
#: Records read at once.
RECORDS: Final = 1_000

#: A failure: the task's id, and when it ended.
_End = tuple[str, float | None]


class Prints:
    """What is remembered; may be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: WeakKeyDictionary[StoreReader, OrderedDict[_End, Fingerprint]] = WeakKeyDictionary()

    def of(self, reader: StoreReader, tasks: Sequence[Summary]) -> list[tuple[Summary, Fingerprint]]:
        """Tasks that failed, each with its fingerprint; without those that the store has dropped meanwhile."""
        with self._lock:
            known = self._known.setdefault(reader, OrderedDict())
            found = {end: known[end] for end in map(_end, tasks) if end in known}
        missing = [task for task in tasks if _end(task) not in found]
        for at in range(0, len(missing), RECORDS):
            some = missing[at : at + RECORDS]
            records = reader.records([task.id for task in some])
            for task in some:
                record = records.get(task.id)
                if record is not None:
                    traceback = record.failed.traceback if record.failed else ""
                    found[_end(task)] = fingerprint(task.exception, traceback)
        with self._lock:
            for end, print_ in found.items():
                known[end] = print_
                known.move_to_end(end)
            while len(known) > KEPT:
                known.popitem(last=False)
        return [(task, found[_end(task)]) for task in tasks if _end(task) in found]


def _end(task: Summary) -> _End:
    return task.id, task.finished_at


prints: Final = Prints()
