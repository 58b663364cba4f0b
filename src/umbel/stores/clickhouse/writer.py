"""The store's writer: where new tasks will be, the tasks, then everything else of the commit as one block.

Tasks and workers are joins, so a crash after them and before the block changes nothing that the same batch does not
bring again. The block holds the position with the books, so the position is never ahead of the rows, and a block that
comes twice replaces itself. No record is read to be written; a writer only looks whether another one has seen the same
new tasks, and says so to the readers.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from umbel.clock import Clock, SystemClock
from umbel.errors import StoreBusy, StoreError
from umbel.model.merge import RUN_REGISTERS, Task
from umbel.model.worker import Worker
from umbel.retention import Retention
from umbel.stores.base import Commit, Maintenance
from umbel.stores.clickhouse import books, rows, schema, workers
from umbel.stores.clickhouse.anchors import Anchors
from umbel.stores.clickhouse.connection import Connection, NoStore, chunks
from umbel.stores.clickhouse.meters import MeterBook
from umbel.stores.clickhouse.target import Target
from umbel.stores.clickhouse.upkeep import Upkeep
from umbel.stores.sqlfile import load

log: Final = logging.getLogger(__name__)

_SQL: Final = load(Path(__file__).with_name("writer.sql"))
#: Microseconds that another writer's clock may be ahead without being followed: a day.
AHEAD: Final = 86_400_000_000
_PLACE: Final = {"n": "UInt64", "id": "String"}
_STRAY: Final = {"n": "UInt64", "id": "String", "ns": "Array(UInt64)"}

Times = tuple[float, float]
T = TypeVar("T")


class ClickHouseWriter:
    """`StoreWriter` on a server or a cluster; any number may write at once."""

    def __init__(self, target: Target, *, clock: Clock | None = None, anchors: Anchors | None = None) -> None:
        self._target = target
        self._clock = clock or SystemClock()
        self._connection = Connection(target)
        self._anchors = anchors or Anchors()
        self._books = books.Books()
        self._meters = MeterBook(self._connection, _SQL["meters"])
        self._upkeep = Upkeep(self._connection, self._clock)
        self._opened = False

    def open(self) -> None:
        schema.prepare(self._connection, self._clock)
        bound = int(self._clock.now() * 1e6) + AHEAD
        self._anchors.begin(self._connection.query(_SQL["last"], {"bound": bound})[0][0])
        self._opened = True

    def position(self, source: str) -> str | None:
        return self._asked(lambda: self._book(source)).position

    def positions(self, prefix: str) -> Mapping[str, str]:
        return self._asked(lambda: self._positions(prefix))

    def forget(self, source: str) -> None:
        self._asked(lambda: self._forget(source))

    def workers(self) -> Sequence[Worker]:
        return self._asked(lambda: workers.read(self._connection))

    def write(self, commit: Commit) -> None:
        self._asked(lambda: self._write(commit))

    def maintain(self, retention: Retention, now: float) -> Maintenance:
        done = self._asked(lambda: self._upkeep.step(retention, now))
        for low, high in self._upkeep.take_dropped():
            self._anchors.forget(low, high)
        return done

    def close(self) -> None:
        # It runs out by itself where the server is away.
        with contextlib.suppress(StoreError):
            self._upkeep.lease.release()
        self._connection.close()

    def _asked(self, do: Callable[[], T]) -> T:
        """Do it, in tables made anew if somebody dropped them."""
        if not self._opened:
            self.open()
        try:
            return do()
        except NoStore as error:
            log.warning("the tables of %s are gone; new ones are begun", self._target.address)
            self._opened = False
            self._books.forget()
            self._meters.forget()
            raise StoreBusy(f"the tables of {self._target.address} were dropped; new ones are being made") from error

    # Writing

    def _write(self, commit: Commit) -> None:
        started = self._clock.monotonic()
        source = commit.position.source if commit.position is not None else self._books.own
        self._book(source)
        places = self._anchors.of(commit.tasks, commit.at)
        links = self._announce()
        pieces = [rows.task_row(places[id_], task) for id_, task in commit.tasks.items()]
        self._connection.insert("task", rows.COLUMNS, pieces)
        self._connection.insert("worker", workers.COLUMNS, [workers.row_of(w) for w in commit.workers.values()])
        names = {t.description.name for t in commit.tasks.values() if t.description is not None}
        touches = self._touches(commit, places)
        # A task that is found to have begun elsewhere is no longer of the span that counted it.
        moved = {span for link in links for span in link} - touches.keys()
        if touches:
            whole = min(first for first, _ in touches.values()), max(last for _, last in touches.values())
            touches |= dict.fromkeys(moved, whole)
        written = books.Written(touches, links, names)
        block = self._books.rows(commit, source, written, self._clock.monotonic() - started)
        block += self._meters.rows(commit, source)
        self._connection.insert("entry", books.COLUMNS, block)
        self._books.adopt()
        self._meters.adopt()
        self._anchors.fresh.clear()
        self._anchors.trim()

    def _book(self, source: str) -> books.Book:
        """What the store has of a source."""
        if not self._books.knows(source):
            found = self._connection.query(_SQL["book"], {"source": source})
            version, book = (found[0][0], books.decode_book(found[0][1])) if found else (0, books.Book())
            self._books.learn(source, version, book)
        return self._books.book(source)

    def _positions(self, prefix: str) -> Mapping[str, str]:
        found = {}
        for source, version, data in self._connection.query(_SQL["positions"], {"prefix": prefix}):
            book = books.decode_book(data)
            self._books.learn(source, version, book)
            if book.position is not None:
                found[source] = book.position
        return found

    def _forget(self, source: str) -> None:
        """Its book stays, without its position."""
        if self._book(source).position is not None:
            self._connection.insert("entry", books.COLUMNS, self._books.without_position(source))

    def _announce(self) -> set[tuple[int, int]]:
        """Say where the rows of new tasks will be, and which have others elsewhere; the pairs of spans that they join.

        Of two writers that see a task for the first time, the one that says so later finds both.
        """
        fresh = self._anchors.fresh
        self._connection.insert("place", _PLACE, [(n, id_) for id_, n in fresh.items()])
        links = set()
        for ids in chunks(fresh):
            found = self._connection.query(_SQL["strays"], {"ids": ids})
            self._connection.insert("stray", _STRAY, [(n, id_, ns) for id_, ns in found for n in ns])
            for id_, ns in found:
                own = self._span(min(ns))
                self._anchors.move(id_, min(ns))
                links |= {(own, self._span(n)) for n in ns if self._span(n) != own}
        return links

    def _span(self, n: int) -> int:
        return n // self._target.layout.span

    def _touches(self, commit: Commit, places: Mapping[str, int]) -> dict[int, Times]:
        """The spans written to, with the first and last time of the events."""
        found: dict[int, Times] = {}
        for id_, task in commit.tasks.items():
            span = self._span(places[id_])
            first, last = _times(task, commit.at)
            before = found.get(span, (first, last))
            found[span] = (min(before[0], first), max(before[1], last))
        return found


def _times(task: Task, at: float) -> Times:
    """The first and last time of a task's events; that of the commit if it has none."""
    times: list[Any] = [run.at for name in RUN_REGISTERS if (run := getattr(task, name)) is not None]
    times += (run.at for run in task.history)
    times += (value.at for value in (task.custom, task.description) if value is not None)
    if task.received is not None:
        times.append(task.received_first)
    if not times:
        times = [at]
    return min(times), max(times)
