"""`umbel tasks`: a search of the store, or of another Umbel, on standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from umbel.client import Client, NotAccepted, WrongSearch
from umbel.clock import Clock, SystemClock
from umbel.errors import QueryError, SettingsError
from umbel.export.columns import Column, UnknownColumn, columns_of
from umbel.export.rows import rows
from umbel.model.search import parse
from umbel.runtime.exports import sheet
from umbel.runtime.stores import open_reader
from umbel.runtime.terminal import Progress, marked, table
from umbel.settings import Settings

#: Columns, and tasks at most, of a table unless others are asked for.
TABLE: Final = "received_at,state,name,id,worker,queue,wait_seconds,run_seconds,retries,exception"
TABLE_TASKS: Final = 50
#: Formats that are made here from JSON lines.
MADE_HERE: Final = ("table", "json")
#: Exit statuses: the search is wrong, as of any wrong argument; whoever reads the output has gone.
WRONG: Final = 2
GONE: Final = 128 + 13


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for."""

    query: str
    #: table, json (one array), jsonl, csv or parquet.
    form: str
    #: Names with commas between; "": the usual ones.
    columns: str = ""
    #: Tasks at most; None: 50 of a table, else all.
    limit: int | None = None
    #: Of another Umbel; "": the store of the settings.
    url: str = ""
    token: str = ""

    @property
    def chosen(self) -> list[Column]:
        return columns_of(self.columns or (TABLE if self.form == "table" else ""))

    @property
    def sheet(self) -> str:
        """The format of the pieces that are asked of the store or the other Umbel."""
        return "jsonl" if self.form in MADE_HERE else self.form

    @property
    def most(self) -> int | None:
        return TABLE_TASKS if self.limit is None and self.form == "table" else self.limit


def main(settings: Settings, wanted: Wanted) -> int:
    """Write the newest tasks that match; the exit status."""
    if wanted.form == "parquet" and sys.stdout.isatty():
        raise SettingsError("--format parquet: it is no text for a terminal; append > tasks.parquet")
    clock = SystemClock()
    try:
        with _remote(wanted) if wanted.url else _local(settings, wanted, clock) as (total, pieces):
            _write(wanted, total, pieces, clock)
    except QueryError as error:
        sys.stderr.write(marked(wanted.query, error))
        return WRONG
    except UnknownColumn as error:
        sys.stderr.write(f"umbel: --columns: {error}\n")
        return WRONG
    except BrokenPipeError:
        # Nothing more may be written, not even what Python flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return GONE
    return 0


@contextmanager
def _local(settings: Settings, wanted: Wanted, clock: Clock) -> Iterator[tuple[str, Iterator[bytes]]]:
    where = parse(wanted.query, clock.now())
    chosen = wanted.chosen
    made = sheet(wanted.sheet, chosen)
    reader = open_reader(settings, clock)

    def pieces() -> Iterator[bytes]:
        yield made.begin()
        for page in rows(reader, where, chosen, wanted.most):
            yield made.add(page)
        yield made.end()

    try:
        count = reader.count(where)
        yield f"{count.n}{'+' if count.capped else ''}", pieces()
    finally:
        reader.close()


@contextmanager
def _remote(wanted: Wanted) -> Iterator[tuple[str, Iterator[bytes]]]:
    names = [column.name for column in wanted.chosen]
    try:
        client = Client(wanted.url, token=wanted.token)
    except NotAccepted as error:
        raise SettingsError(f"--url, --token: {error}") from error
    with client:
        try:
            with client.export(wanted.query, form=wanted.sheet, columns=names, limit=wanted.most) as export:
                yield export.total, export.pieces
        except WrongSearch as error:
            raise QueryError(error.reason, error.position) from error


def _write(wanted: Wanted, total: str, pieces: Iterator[bytes], clock: Clock) -> None:
    progress = Progress(clock)
    out = sys.stdout.buffer
    try:
        watched = _watched(pieces, total, wanted.sheet, progress)
        for piece in _made(wanted, watched) if wanted.form in MADE_HERE else watched:
            out.write(piece)
        out.flush()
    finally:
        progress.end()


def _watched(pieces: Iterable[bytes], total: str, form: str, progress: Progress) -> Iterator[bytes]:
    """The pieces, with a word about each on the way."""
    tasks = size = 0
    for piece in pieces:
        size += len(piece)
        tasks += piece.count(b"\n") if form == "jsonl" else 0
        done = f"{tasks:,} of {total} tasks, " if form == "jsonl" else f"{total} tasks, "
        progress.tell(f"{done}{size / 1e6:,.1f} MB")
        yield piece


def _made(wanted: Wanted, pieces: Iterable[bytes]) -> Iterator[bytes]:
    if wanted.form == "json":
        return _array(_lines(pieces))
    objects = (msgspec.json.decode(line, type=dict[str, Any]) for line in _lines(pieces))
    return _table(wanted.chosen, objects)


def _table(chosen: Sequence[Column], objects: Iterator[Mapping[str, Any]]) -> Iterator[bytes]:
    for line in table(chosen, objects):
        yield line.encode(errors="replace")


def _array(lines: Iterator[bytes]) -> Iterator[bytes]:
    yield b"["
    for number, line in enumerate(lines):
        yield (b",\n" if number else b"\n") + line
    yield b"\n]\n"


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
