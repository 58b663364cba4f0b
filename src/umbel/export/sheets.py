"""Files of rows, written piece by piece: CSV and JSON lines; Parquet is an optional part of its own (`parquet.py`)."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from umbel.errors import UmbelError
from umbel.export.columns import Column, Kind, Row, Value
from umbel.model.task import rfc3339

#: Characters with which a spreadsheet begins a formula; an apostrophe before them makes it text.
FORMULA: Final = tuple("=+-@\t\r\n")


class Sheet(Protocol):
    """One file being written; the bytes of `begin`, of each `add` and of `end`, in this order, are the file."""

    #: Media type, and the file name's ending.
    media_type: str
    suffix: str

    def begin(self) -> bytes: ...

    def add(self, rows: Sequence[Row]) -> bytes: ...

    def end(self) -> bytes:
        """What makes the file whole: without it a reader can tell that it was cut."""
        ...


class SheetMaker(Protocol):
    """Begins a sheet of a format."""

    def __call__(self, form: str, columns: Sequence[Column]) -> Sheet:
        """Raises `MissingPart` for a format whose optional part is not installed, `UnknownFormat` for no format."""
        ...


class MissingPart(UmbelError):
    """An optional part of Umbel is not installed."""


class UnknownFormat(UmbelError):
    """There is no such format."""


def _shown(column: Column, value: Value) -> Value:
    return rfc3339(value) if column.kind is Kind.TIME and isinstance(value, float | int) else value


class Csv:
    """RFC 4180 in UTF-8, with a header; a text that a spreadsheet would take for a formula gets an apostrophe."""

    media_type = "text/csv; charset=utf-8; header=present"
    suffix = "csv"

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._buffer = io.StringIO(newline="")
        self._writer = csv.writer(self._buffer, lineterminator="\r\n")

    def begin(self) -> bytes:
        self._writer.writerow([column.name for column in self._columns])
        return self._drain()

    def add(self, rows: Sequence[Row]) -> bytes:
        for row in rows:
            self._writer.writerow([self._cell(*pair) for pair in zip(self._columns, row, strict=True)])
        return self._drain()

    def end(self) -> bytes:
        return b""

    def _cell(self, column: Column, value: Value) -> Value:
        shown = _shown(column, value)
        return f"'{shown}" if isinstance(shown, str) and shown.startswith(FORMULA) else shown

    def _drain(self) -> bytes:
        text = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return text.encode()


class JsonLines:
    """One JSON object a line, in UTF-8; absent values are null."""

    media_type = "application/jsonl"
    suffix = "jsonl"

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._encode = msgspec.json.Encoder().encode_into

    def begin(self) -> bytes:
        return b""

    def add(self, rows: Sequence[Row]) -> bytes:
        found = bytearray()
        for row in rows:
            values = zip(self._columns, row, strict=True)
            self._encode({column.name: _shown(column, value) for column, value in values}, found, -1)
            found += b"\n"
        return bytes(found)

    def end(self) -> bytes:
        return b""


TEXT_FORMATS: Final[dict[str, type[Csv | JsonLines]]] = {"csv": Csv, "jsonl": JsonLines}


def text_sheet(form: str, columns: Sequence[Column]) -> Sheet:
    """A `SheetMaker` for what needs no optional part."""
    if form in TEXT_FORMATS:
        return TEXT_FORMATS[form](columns)
    if form == "parquet":
        raise MissingPart("this Umbel cannot write Parquet: pip install 'umbel[parquet]', then start it again")
    raise UnknownFormat(f"there is no format {form[:100]!r}; csv, jsonl and parquet are known")
