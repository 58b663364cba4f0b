"""Rollups packed for adding: whatever the form of the rows, their sum is that of the counts."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.model.latency import BUCKETS
from umbel.model.rollup import RUN, WAIT, Series
from umbel.model.series import point
from umbel.stores.cells import pack_cells
from umbel.stores.sqlite import vectors
from umbel.stores.sqlite.vectors import BITS, LARGEST, MARK, ROWS, Sum, Sums, pack, unpack

_buckets = st.integers(0, BUCKETS - 1) | st.integers(200, 260)
_codes = st.sampled_from([int(series) for series in Series]) | st.builds(
    lambda base, bucket: base + bucket, st.sampled_from([WAIT, RUN]), _buckets
)
_counts = st.integers(1, 3) | st.integers(1, 300) | st.sampled_from([255, 256, 65_535, 65_536, LARGEST, LARGEST + 1])
_cells = st.dictionaries(_codes, _counts, max_size=60)


def _as_map(cells: dict[int, int]) -> bytes:
    return bytes(pack_cells(cells))


@given(_cells)
def test_what_is_packed_is_unpacked(cells: dict[int, int]) -> None:
    assert unpack(pack(cells)) == unpack(_as_map(cells)) == cells


@given(st.lists(st.tuples(_cells, st.sampled_from([pack, _as_map]))))
def test_a_sum_is_that_of_the_counts_in_any_form(rows: list) -> None:  # type: ignore[type-arg]
    total, plain = Sum(), Counter[int]()
    for cells, form in rows:
        total.add(form(cells))
        plain.update(cells)
    assert total.cells() == plain
    expected = point(60, "shop.pay", plain)
    found = total.point(60, "shop.pay")
    assert found == expected
    # Quantiles and charts walk them from the shortest to the longest.
    assert (list(found.wait), list(found.run)) == (list(expected.wait), list(expected.run))


@pytest.mark.parametrize("odd", [{WAIT + 3: LARGEST + 1}, {RUN: -2}, {500: 1}])
def test_counts_that_do_not_fit_stay_a_map(odd: dict[int, int]) -> None:
    usual = {RUN + bucket: 1 for bucket in range(20, 40)}
    assert pack(usual)[0] == MARK
    cells = {**usual, **odd}
    assert pack(cells)[0] != MARK
    assert unpack(pack(cells)) == cells


def test_no_bucket_runs_over_into_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LARGEST * ROWS < 1 << BITS
    monkeypatch.setattr(vectors, "ROWS", 7)
    full = pack({WAIT + bucket: LARGEST for bucket in range(40)})
    total = Sum()
    for _ in range(6_000):
        total.add(full)
    assert total.cells() == {WAIT + bucket: LARGEST * 6_000 for bucket in range(40)}


def test_no_row_takes_more_bytes_than_as_a_map() -> None:
    many = {code: 20 + bucket for bucket in range(150) for code in (WAIT + 200 + bucket, RUN + 180 + bucket)}
    some = {RUN + 7 * bucket: 1 for bucket in range(12)}
    few = {WAIT + 10: 1, WAIT + 90: 2, RUN + 400: 1, int(Series.STARTED): 3}
    assert len(pack(many)) < len(_as_map(many)) / 3
    assert len(pack(some)) < len(_as_map(some))
    assert len(pack(few)) == len(_as_map(few))


def test_names_are_summed_apart_and_told_in_order() -> None:
    sums = Sums()
    sums.add([("b", pack({RUN + 5: 2})), ("a", _as_map({RUN + 5: 1}))])
    sums.add([("b", _as_map({RUN + 5: 1, int(Series.FAILED): 4}))])
    assert [(one.name, one.counts, one.run) for one in sums.points(0)] == [
        ("a", {}, {5: 1}),
        ("b", {Series.FAILED: 4}, {5: 3}),
    ]
    assert {name: unpack(cells) for name, cells in sums.packed()} == {
        "a": {RUN + 5: 1},
        "b": {RUN + 5: 3, int(Series.FAILED): 4},
    }
