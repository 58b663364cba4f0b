"""Parquet by pyarrow: a row group at a time, so that memory is bounded whatever the number of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from umbel.export.columns import Column, Kind, Row, Value
from umbel.model.task import rfc3339

#: Rows, and characters of text, after which a row group is written.
GROUP_ROWS: Final = 20_000
GROUP_TEXT: Final = 16 * 1024 * 1024

_TYPES: Final = {
    Kind.TEXT: pa.string(),
    Kind.COUNT: pa.int64(),
    Kind.DURATION: pa.float64(),
    Kind.TIME: pa.timestamp("us", tz="UTC"),
}


class _Sink:
    """Takes what pyarrow writes until it is fetched."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: Any) -> int:
        self._pieces.append(bytes(piece))
        return len(self._pieces[-1])

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        self.closed = True

    def drain(self) -> bytes:
        found = b"".join(self._pieces)
        self._pieces.clear()
        return found


class Parquet:
    """A `Sheet`; the file's footer, with the number of rows, comes with `end`."""

    media_type = "application/vnd.apache.parquet"
    suffix = "parquet"

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._schema = pa.schema([(column.name, _TYPES[column.kind]) for column in columns])
        self._sink = _Sink()
        self._writer = pq.ParquetWriter(pa.PythonFile(self._sink, mode="w"), self._schema, compression="zstd")
        self._rows: list[Row] = []
        self._text = 0

    def begin(self) -> bytes:
        return self._sink.drain()

    def add(self, rows: Sequence[Row]) -> bytes:
        for row in rows:
            self._rows.append(row)
            self._text += sum(len(value) for value in row if isinstance(value, str))
            if len(self._rows) >= GROUP_ROWS or self._text >= GROUP_TEXT:
                self._flush()
        return self._sink.drain()

    def end(self) -> bytes:
        self._flush()
        self._writer.close()
        return self._sink.drain()

    def _flush(self) -> None:
        if not self._rows:
            return
        arrays = [
            pa.array([_stored(column, row[n]) for row in self._rows], type=_TYPES[column.kind])
            for n, column in enumerate(self._columns)
        ]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema), row_group_size=GROUP_ROWS)
        self._rows.clear()
        self._text = 0


def _stored(column: Column, value: Value) -> Value:
    """A time in microseconds; one that no calendar holds is absent, as in the other formats."""
    if column.kind is not Kind.TIME or not isinstance(value, float | int):
        return value
    return round(value * 1e6) if rfc3339(value) else None
