"""The heatmap and the small drawings: every count is drawn once, at its place."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from umbel.model.latency import BUCKETS, bucket, value
from umbel.web.pages.heatmap import BOUNDS, SHADES, heatmap
from umbel.web.pages.spans import SPANS
from umbel.web.pages.spark import HEIGHT, WIDTH, bars, columns

SPAN = SPANS["1h"]
NOW = 1_750_000_000.0
START = SPAN.start(NOW)

histograms = st.dictionaries(
    st.integers(0, 59).map(lambda n: START + n * SPAN.step),
    st.dictionaries(st.integers(0, BUCKETS - 1), st.integers(1, 10**6), max_size=20),
    max_size=20,
)


@given(histograms)
def test_every_run_is_counted_in_one_cell_of_its_row_and_column(found: dict[int, dict[int, int]]) -> None:
    drawn = heatmap(found, SPAN, NOW)
    whole = sum(sum(counts.values()) for counts in found.values())
    if drawn is None:
        assert whole == 0
        return
    assert sum(cell.count for cell in drawn.cells) == whole == sum(row.count for row in drawn.rows)
    assert len({(cell.column, cell.row) for cell in drawn.cells}) == len(drawn.cells)
    for cell in drawn.cells:
        row = drawn.rows[cell.row]
        inside = [n for b, n in found[cell.at].items() if row.low <= value(b) < row.high]
        assert cell.count == sum(inside)
        assert 0 <= cell.column < drawn.columns
        assert 1 <= cell.shade <= SHADES


@given(histograms)
def test_rows_have_no_holes_and_the_fullest_place_is_the_strongest(found: dict[int, dict[int, int]]) -> None:
    drawn = heatmap(found, SPAN, NOW)
    if drawn is None:
        return
    assert all(low.high == high.low for low, high in zip(drawn.rows, drawn.rows[1:], strict=False))
    assert max(drawn.cells, key=lambda cell: cell.count).shade == SHADES


def test_one_slow_run_among_thousands_is_seen() -> None:
    drawn = heatmap({START: {bucket(0.01): 100_000, bucket(30.0): 1}}, SPAN, NOW)
    assert drawn is not None
    assert [(cell.count, cell.shade) for cell in drawn.cells] == [(100_000, SHADES), (1, 1)]


def test_the_longest_and_shortest_durations_have_rows() -> None:
    drawn = heatmap({START: {0: 1, BUCKETS - 1: 1}}, SPAN, NOW)
    assert drawn is not None
    assert drawn.rows[-1].high == math.inf
    assert drawn.rows[0].low in (0.0, BOUNDS[0])


@given(st.lists(st.integers(0, 1000), max_size=40))
def test_bars_fill_the_box_and_are_in_proportion(values: list[int]) -> None:
    drawn = bars(values, values)
    assert len(drawn) == sum(1 for one in values if one)
    assert all(0 < bar.height <= HEIGHT and bar.part == bar.height and 0 <= bar.x < WIDTH for bar in drawn)
    if drawn:
        assert max(bar.height for bar in drawn) == HEIGHT


@given(st.lists(st.floats(0, 100), max_size=50))
def test_every_time_within_falls_into_one_column(times: list[float]) -> None:
    assert sum(columns(times, 10, 90, 7)) == sum(1 for at in times if 10 <= at < 90)
