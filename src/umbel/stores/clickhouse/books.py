"""A commit without its tasks, as rows of `entry` that go in as one block: all of it or nothing.

Each source has one row that holds its position and the sum of all that it ever brought, so a commit that comes again
replaces what it wrote and adds nothing. A writer whose source keeps no position is a source of its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from umbel.model.event import EventClass
from umbel.model.ledger import LedgerEntry, Quarantined, Reason
from umbel.stores.base import Commit

#: Workers that estimates are kept apart for; beyond them they are nobody's.
MISSED: Final = 1_000
#: Kinds of losses that may still go on.
OPEN_ENTRIES: Final = 1_000
#: Seconds between two losses of one kind that are still one entry.
JOINED: Final = 5.0
#: Seconds for which a name need not be noted again, and names remembered.
NAME_SECONDS: Final = 60.0
NAMES: Final = 10_000
#: Spans whose touches are counted at once.
SPANS: Final = 10_000

#: Names and types of the columns of `entry`, in the order of its rows.
COLUMNS: Final = {
    "kind": "LowCardinality(String)",
    "key": "String",
    "version": "UInt64",
    "at": "Float64",
    "number": "UInt64",
    "other": "UInt64",
    "first_at": "Float64",
    "last_at": "Float64",
    "data": "String",
}

Row = tuple[str, str, int, float, int, int, float, float, str]


class Book(msgspec.Struct):
    """What one source brought; times are UTC seconds."""

    #: The source's position, None where it keeps none.
    position: str | None = None
    stored: int = 0
    #: By "reason event_class".
    discarded: dict[str, int] = {}
    missed: dict[str, int] = {}
    committed_at: float = 0.0
    commit_seconds: float = 0.0
    captured_at: float = 0.0


_encoder: Final = msgspec.json.Encoder()
decode_book: Final = msgspec.json.Decoder(Book).decode
decode_entry: Final = msgspec.json.Decoder(LedgerEntry).decode
decode_quarantined: Final = msgspec.json.Decoder(Quarantined).decode


def encode(value: Any) -> str:
    """JSON, as text."""
    return _encoder.encode(value).decode()


def reason_of(key: str) -> tuple[Reason, EventClass]:
    """The key of `Book.discarded`, taken apart."""
    reason, _, event_class = key.partition(" ")
    return Reason(reason), EventClass(event_class)


def entry_row(
    kind: str,
    key: str,
    version: int,
    at: float,
    *,
    number: int = 0,
    other: int = 0,
    first: float = 0.0,
    last: float = 0.0,
    data: str = "",
) -> Row:
    """A row of `entry`."""
    return (kind, key, version, at, number, other, first, last, data)


#: By span, the first and last time of the events written to it.
Touches = Mapping[int, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Written:
    """What the tasks of a commit touched."""

    touches: Touches
    #: Pairs of spans: the second holds rows of tasks first seen in the first.
    links: Collection[tuple[int, int]]
    names: Collection[str]


#: By kind of loss, the key and state of the entry that may still go on.
Open = dict[tuple[Any, ...], tuple[str, LedgerEntry]]


class Books:
    """This writer's view of its sources; `rows` says what a commit adds, `adopt` that it is in."""

    def __init__(self) -> None:
        self.writer = secrets.token_hex(8)
        self._books: dict[str, tuple[int, Book]] = {}
        self._open: Open = {}
        self._touched: dict[int, tuple[int, float, float]] = {}
        self._names: dict[str, float] = {}
        self._entries = 0
        self._next: tuple[Any, ...] | None = None

    @property
    def own(self) -> str:
        """The source that stands for this writer."""
        return f"~{self.writer}"

    def knows(self, source: str) -> bool:
        return source in self._books

    def book(self, source: str) -> Book:
        """What a known source brought so far."""
        return self._books[source][1]

    def learn(self, source: str, version: int, book: Book) -> None:
        """What the store has of a source."""
        self._books[source] = (version, book)

    def without_position(self, source: str) -> list[Row]:
        """The row of a source that will not be read again; known as such from now on."""
        version, book = self._books[source]
        closed = msgspec.structs.replace(book, position=None)
        self._books[source] = (version + 1, closed)
        return [entry_row("book", source, version + 1, book.committed_at, data=encode(closed))]

    def forget(self) -> None:
        """Nothing is certain any more: sources are to be learnt again, and touches and entries begun anew."""
        self._books.clear()
        self._open.clear()
        self._touched.clear()
        self._names.clear()
        self.writer = secrets.token_hex(8)

    def rows(self, commit: Commit, source: str, written: Written, seconds: float) -> list[Row]:
        """The rows of a commit; the same again for the same commit until `adopt`."""
        version, book = self._books.get(source, (0, Book()))
        after = _after(book, commit, seconds)
        open_, entered, made = self._entered(commit.ledger)
        touched = {**self._touched, **{span: self._touch(span, *times) for span, times in written.touches.items()}}
        fresh = [name for name in written.names if self._is_fresh(name, commit.at)]
        self._next = (source, version + 1, after, open_, made, touched, dict.fromkeys(fresh, commit.at))
        rows = [entry_row("book", source, version + 1, commit.at, data=encode(after))]
        for number, (key, entry) in enumerate(entered):
            order = _order(commit.at, number)
            rows.append(entry_row("ledger", key, entry.count, entry.last_at, number=order, data=encode(entry)))
        for number, bad in enumerate(commit.quarantine):
            key = f"{source} {version + 1:020d} {number:06d}"
            rows.append(entry_row("quarantine", key, 1, bad.at, number=len(bad.raw), data=encode(bad)))
        rows += [entry_row("name", name, _millis(commit.at), commit.at) for name in fresh]
        for span, other in written.links:
            rows.append(entry_row("link", f"{span} {other}", 1, commit.at, number=span, other=other))
        for span in written.touches:
            count, first, last = touched[span]
            key = f"{span} {self.writer}"
            rows.append(entry_row("touch", key, count, commit.at, number=span, first=first, last=last))
        return rows

    def _is_fresh(self, name: str, at: float) -> bool:
        return bool(name) and abs(at - self._names.get(name, -1e18)) > NAME_SECONDS

    def adopt(self) -> None:
        """The rows last made are in."""
        if self._next is None:
            return
        source, version, book, self._open, self._entries, touched, names = self._next
        self._next = None
        self._books[source] = (version, book)
        self._touched = touched
        if len(self._names) + len(names) > NAMES:
            self._names.clear()
        self._names.update(names)
        if len(touched) > SPANS:
            # Counts are by writer: under another name they begin at 0.
            self._touched = {}
            self.writer, own = secrets.token_hex(8), self.own
            self._books.pop(own, None)

    def _touch(self, span: int, first: float, last: float) -> tuple[int, float, float]:
        count, least, most = self._touched.get(span, (0, first, last))
        return count + 1, min(least, first), max(most, last)

    def _entered(self, ledger: Sequence[LedgerEntry]) -> tuple[Open, list[tuple[str, LedgerEntry]], int]:
        """The entries that may still go on after these, what is to be written, and how many were ever made."""
        open_ = dict(self._open)
        made = self._entries
        written: dict[str, LedgerEntry] = {}
        for given in ledger:
            entry = replace(given, detail=given.detail[:1_000])
            kind = (entry.reason, entry.event_class, entry.worker, entry.estimated, entry.detail)
            key, before = open_.pop(kind, ("", None))
            if before is not None and _touch_each_other(before, entry):
                entry = replace(
                    entry,
                    first_at=min(before.first_at, entry.first_at),
                    last_at=max(before.last_at, entry.last_at),
                    count=before.count + entry.count,
                )
            else:
                made += 1
                key = f"{self.writer} {made:012d}"
            open_[kind] = (key, entry)
            written[key] = entry
        while len(open_) > OPEN_ENTRIES:
            del open_[next(iter(open_))]
        return open_, list(written.items()), made


def _touch_each_other(before: LedgerEntry, entry: LedgerEntry) -> bool:
    return entry.first_at <= before.last_at + JOINED and before.first_at <= entry.last_at + JOINED


def _after(book: Book, commit: Commit, seconds: float) -> Book:
    """The book of a source with one more commit."""
    discarded = dict(book.discarded)
    for (reason, event_class), count in commit.discarded.items():
        key = f"{reason.value} {event_class.value}"
        discarded[key] = discarded.get(key, 0) + count
    missed = dict(book.missed)
    for entry in commit.ledger:
        if entry.estimated:
            worker = entry.worker if entry.worker in missed or len(missed) < MISSED else ""
            missed[worker] = missed.get(worker, 0) + entry.count
    return Book(
        position=commit.position.value if commit.position is not None else book.position,
        stored=book.stored + commit.stored,
        discarded=discarded,
        missed=missed,
        committed_at=commit.at,
        commit_seconds=seconds,
        captured_at=max(book.captured_at, commit.captured_at),
    )


def _order(at: float, number: int) -> int:
    """Entries in the order in which they were made."""
    return int(at * 1e6) * 1_000 + number


def _millis(at: float) -> int:
    return int(at * 1_000)
