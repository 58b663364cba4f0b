"""The catalog's counters that only grow: added to in the transaction of each commit.

A busy batch touches some thousand counters. A commit only notes what it adds, in one row, and every so often these
notes are added up: a row for each pair of labels, its counters packed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from umbel.model.meter import Counters, Pair, extend
from umbel.stores.pairs import Pairs
from umbel.stores.sqlfile import load

#: Commits whose notes wait at most.
NOTES: Final = 32
#: Counters kept unpacked between the times they are added up; then all are forgotten and read again.
KEPT: Final = 200_000

_Note = tuple[int, str, str, Counters]

_SQL: Final = load(Path(__file__).with_name("meters.sql"))
_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final[Callable[[bytes], Counters]] = msgspec.msgpack.Decoder(Counters).decode
_unpack_news: Final[Callable[[bytes], list[_Note]]] = msgspec.msgpack.Decoder(list[_Note]).decode


class MeterRows:
    """Writes what a commit adds; knows which labels there are."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._pairs: Pairs | None = None
        self._notes = 0
        self._kept: dict[Pair, Counters] = {}
        self._kept_counters = 0

    def write(self, meters: Mapping[Pair, Counters], now: float) -> None:
        """Note what is added, inside the caller's transaction."""
        if self._pairs is None:
            self._add_up()
            self._pairs = Pairs(self._connection.execute(_SQL["pairs"]))
        placed, gone = self._pairs.place(meters, now)
        if gone or self._notes >= NOTES:
            self._add_up()
        self._connection.executemany(_SQL["drop"], gone)
        for pair in gone:
            self._kept.pop(pair, None)
        news = [(*pair, counters) for pair, counters in placed.items()]
        self._connection.execute(_SQL["put_news"], (now, _pack(news)))
        self._notes += 1

    def _add_up(self) -> None:
        """Add the notes to the rows."""
        changed: dict[Pair, float] = {}
        for at, news in self._connection.execute(_SQL["news"]).fetchall():
            for kind, a, b, added in _unpack_news(news):
                counters = self._counters((kind, a, b))
                before = len(counters)
                extend(kind, counters, added)
                self._kept_counters += len(counters) - before
                changed[kind, a, b] = at
        puts = [(*pair, at, _pack(self._counters(pair))) for pair, at in changed.items()]
        self._connection.executemany(_SQL["put"], puts)
        self._connection.execute(_SQL["drop_news"])
        self._notes = 0
        if self._kept_counters > KEPT:
            self._kept.clear()
            self._kept_counters = 0

    def _counters(self, pair: Pair) -> Counters:
        counters = self._kept.get(pair)
        if counters is None:
            found = self._connection.execute(_SQL["counters"], pair).fetchone()
            counters = self._kept[pair] = _unpack(found[0]) if found else {}
            self._kept_counters += len(counters)
        return counters

    def forget(self) -> None:
        """The transaction was undone: what is known must be read again."""
        self._pairs = None
        self._kept.clear()
        self._kept_counters = 0


def told(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Each counter of the rows of pairs and the notes after them: kind, three labels, count and seconds."""
    known: dict[Pair, Counters] = {}
    for note, kind, a, b, data in rows:
        if not note:
            known[kind, a, b] = _unpack(data)
            continue
        for other, first, second, added in _unpack_news(data):
            extend(other, known.setdefault((other, first, second), {}), added)
    for pair, counters in known.items():
        for label, (count, seconds) in counters.items():
            yield *pair, label, count, seconds
