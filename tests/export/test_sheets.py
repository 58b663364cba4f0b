"""Rows as files: what a reader of each format gets back is what was put in."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.export.columns import COLUMNS, Column, Kind, Row, UnknownColumn, Value, columns_of
from umbel.export.parquet import GROUP_ROWS, Parquet
from umbel.export.sheets import FORMULA, Csv, JsonLines, MissingPart, Sheet, UnknownFormat, text_sheet
from umbel.model.task import rfc3339
from umbel.runtime import exports

AT = 1_750_000_000.25
CHOSEN = columns_of("id,args,received_at,run_seconds,retries")


def whole(sheet: Sheet, rows: Sequence[Row], size: int = 3) -> bytes:
    pieces = [sheet.add(rows[at : at + size]) for at in range(0, len(rows), size)]
    return sheet.begin() + b"".join(pieces) + sheet.end()


def texts() -> st.SearchStrategy[str]:
    # NUL: Python's own csv module reads none before 3.11.4, though it writes it.
    odd = st.sampled_from(["=1+1", "+x", "-x", "@x", "\tx", "\rx", 'a"b', "a,b", "a\r\nb", " ", "é🦉", "'x"])
    return st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20) | odd


def values(column: Column) -> st.SearchStrategy[Value]:
    if column.kind is Kind.TEXT:
        return st.none() | texts().filter(bool)
    if column.kind is Kind.COUNT:
        return st.integers(0, 1_000)
    if column.kind is Kind.TIME:
        return st.none() | st.floats(0, 4e9).map(lambda at: round(at, 6))
    return st.none() | st.floats(0, 1e7)


def tables() -> st.SearchStrategy[list[Row]]:
    return st.lists(st.tuples(*(values(column) for column in CHOSEN)), max_size=10)


@given(tables())
def test_csv_reads_back_and_holds_no_formula(rows: list[Row]) -> None:
    data = whole(Csv(CHOSEN), rows).decode()
    assert data.count("\r\n") >= len(rows) + 1
    header, *read = csv.reader(io.StringIO(data, newline=""), strict=True)
    assert header == [column.name for column in CHOSEN]
    assert len(read) == len(rows)
    for cells, row in zip(read, rows, strict=True):
        assert not any(cell.startswith(FORMULA) for cell in cells)
        for column, cell, value in zip(CHOSEN, cells, row, strict=True):
            if isinstance(value, str):
                assert cell.removeprefix("'" if value.startswith(FORMULA) else "") == value
            elif value is None:
                assert cell == ""
            else:
                assert cell == (rfc3339(value) if column.kind is Kind.TIME else str(value))


@given(tables())
def test_json_lines_read_back(rows: list[Row]) -> None:
    lines = whole(JsonLines(CHOSEN), rows).decode().splitlines() if rows else []
    # One line for each row whatever the texts hold: line breaks are escaped.
    assert len(whole(JsonLines(CHOSEN), rows).splitlines()) == len(rows)
    for line, row in zip(whole(JsonLines(CHOSEN), rows).split(b"\n"), rows, strict=False):
        read: dict[str, Any] = json.loads(line)
        assert list(read) == [column.name for column in CHOSEN]
        shown = {c.name: rfc3339(v) if c.kind is Kind.TIME else v for c, v in zip(CHOSEN, row, strict=True)}  # type: ignore[arg-type]
        assert read == shown
    assert len(lines) >= len(rows)


@given(tables())
def test_parquet_reads_back(rows: list[Row]) -> None:
    table = pq.read_table(io.BytesIO(whole(Parquet(CHOSEN), rows)))
    assert table.column_names == [column.name for column in CHOSEN]
    read = [tuple(row.values()) for row in table.to_pylist()]
    shown = [
        tuple(
            value.timestamp() if column.kind is Kind.TIME and value is not None else value
            for column, value in zip(CHOSEN, row, strict=True)
        )
        for row in read
    ]
    assert shown == [
        tuple(pytest.approx(value) if isinstance(value, float) else value for value in row) for row in rows
    ]


def test_a_parquet_file_that_was_cut_cannot_be_taken_for_a_whole_one() -> None:
    sheet = Parquet(CHOSEN)
    cut = sheet.begin() + sheet.add([("a", None, AT, None, 0)] * (GROUP_ROWS + 1))
    with pytest.raises(Exception, match=r"[Pp]arquet"):
        pq.read_table(io.BytesIO(cut))


def test_parquet_is_written_in_groups_so_that_memory_is_bounded() -> None:
    sheet = Parquet(columns_of("id,args"))
    before = pa.total_allocated_bytes()
    pieces = [sheet.begin()]
    for start in range(0, 5 * GROUP_ROWS, 1_000):
        pieces.append(sheet.add([(f"{n:036}", f"{n}" * 20) for n in range(start, start + 1_000)]))
        # What arrow holds once a group is out: its footers, and none of its rows.
        assert pa.total_allocated_bytes() - before < 4_000_000
    assert sum(len(piece) > 10_000 for piece in pieces) == 5
    pieces.append(sheet.end())
    assert pq.ParquetFile(io.BytesIO(b"".join(pieces))).num_row_groups == 5


def test_long_texts_make_groups_shorter() -> None:
    sheet = Parquet(columns_of("id,args"))
    pieces = [sheet.begin(), *(sheet.add([(str(n), "x" * 1_000_000)]) for n in range(40)), sheet.end()]
    assert pq.ParquetFile(io.BytesIO(b"".join(pieces))).num_row_groups == 3


def test_columns_are_named_in_the_order_that_is_wanted() -> None:
    assert [column.name for column in columns_of("name, id,name")] == ["name", "id"]
    assert [column.name for column in columns_of("")] == list(COLUMNS)
    with pytest.raises(UnknownColumn, match="'nmae'; there are id, name"):
        columns_of("id,nmae")


def test_formats_that_there_are_not_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownFormat, match="csv, jsonl and parquet"):
        exports.sheet("xlsx", CHOSEN)
    with pytest.raises(MissingPart, match=r"umbel\[parquet\]"):
        text_sheet("parquet", CHOSEN)
    # As where pyarrow is not installed.
    monkeypatch.delitem(sys.modules, "umbel.export.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingPart, match=r"umbel\[parquet\]"):
        exports.sheet("parquet", CHOSEN)


def test_parquet_is_loaded_only_when_it_is_asked_for(tmp_path: Path) -> None:
    import subprocess

    code = "import sys, umbel.runtime.web, umbel.runtime.tasks; print('pyarrow' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert told.stdout.strip() == "False"
