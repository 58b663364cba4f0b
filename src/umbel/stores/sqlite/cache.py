"""The records that a later event is likely to touch, kept in memory: bounded in count and bytes, open tasks longest."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Final

from msgspec import Struct

from umbel.model.event import TaskSucceeded
from umbel.model.gather import Plain, task_of
from umbel.model.merge import Task
from umbel.stores.sqlite.rollups import Added

#: Bytes reckoned for a record without its texts.
RECORD_BYTES: Final = 2_000
#: Share of the room that ended tasks may take while there are open ones.
ENDED_SHARE: Final = 0.2


class Entry(Struct, gc=False):
    """A stored task: where it is, its record, and what it adds to the rollups (None: nothing yet)."""

    id: str
    n: int
    segment: int
    #: The record: of a plain task its events, which the next batch may only add to, of any other the joined one.
    record: Plain | Task
    added: Added | None
    ended: bool
    #: Bytes reckoned when it was last kept.
    size: int = 0

    @property
    def task(self) -> Task:
        """The joined record; of a plain task it is made now."""
        record = self.record
        return task_of(self.id, record) if isinstance(record, list) else record


class Cache:
    """Entries by task id, the least recently written forgotten first."""

    def __init__(self, count: int, size: int) -> None:
        self._count = count
        self._limit = size
        self._open: dict[str, Entry] = {}
        self._ended: dict[str, Entry] = {}
        self._size = 0

    def __len__(self) -> int:
        return len(self._open) + len(self._ended)

    def get(self, id_: str) -> Entry | None:
        return self._open.get(id_) or self._ended.get(id_)

    def known(self, ids: AbstractSet[str]) -> set[str]:
        """Those of the ids that are remembered."""
        return (self._open.keys() & ids) | (self._ended.keys() & ids)

    def keep(self, entry: Entry) -> None:
        """Remember an entry as the most recent one."""
        id_ = entry.id
        old = self._open.pop(id_, None) or self._ended.pop(id_, None)
        if old is not None:
            self._size -= old.size
        record = entry.record
        entry.size = _plain_size(record) if isinstance(record, list) else _size(record)
        self._size += entry.size
        (self._ended if entry.ended else self._open)[id_] = entry

    def trim(self) -> None:
        """Forget what is beyond the bounds."""
        while self._size > self._limit or len(self) > self._count:
            ended = self._ended if len(self._ended) > ENDED_SHARE * len(self._open) or not self._open else self._open
            self._size -= ended.pop(next(iter(ended))).size

    def clear(self) -> None:
        self._open.clear()
        self._ended.clear()
        self._size = 0


def _plain_size(plain: Plain) -> int:
    sent, received, _, ended = plain
    size = RECORD_BYTES
    for event in (sent, received):
        if event is not None:
            size += len(event.args or "") + len(event.kwargs or "")
    if type(ended) is TaskSucceeded:
        size += len(ended.result or "")
    elif ended is not None:
        size += len(ended.exception or "") + len(ended.traceback or "")
    return size


def _size(task: Task) -> int:
    size = RECORD_BYTES
    if task.description:
        size += len(task.description.args) + len(task.description.kwargs)
    if task.succeeded:
        size += len(task.succeeded.result)
    for run in (task.failed, task.retried):
        if run:
            size += len(run.exception) + len(run.traceback)
    if task.custom:
        size += len(task.custom.fields)
    if task.history:
        size += sum(
            300 + len(getattr(run, "traceback", "")) + len(getattr(run, "exception", "")) for run in task.history
        )
    return size
