"""Latency buckets: bounded, ordered, within 2 %."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.model.latency import BUCKETS, LARGEST, SMALLEST, bucket, quantile, value


@given(st.floats(SMALLEST * 1.03, LARGEST * 0.97))
def test_a_bucket_stands_for_its_durations_within_2_percent(seconds: float) -> None:
    assert value(bucket(seconds)) == pytest.approx(seconds, rel=0.0201)


@given(st.floats(-10, 1e12), st.floats(-10, 1e12))
def test_buckets_are_ordered_and_bounded(a: float, b: float) -> None:
    low, high = sorted((bucket(a), bucket(b)))
    assert 0 <= low <= high < BUCKETS
    assert (bucket(a) <= bucket(b)) or a > b


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_quantiles_are_those_of_the_values_within_a_bucket(values: list[float], q: float) -> None:
    ranked = sorted(values)
    exact = ranked[max(0, min(len(ranked) - 1, -(-int(q * len(ranked) * 1000) // 1000) - 1))]
    found = quantile(Counter(bucket(v) for v in values), q)
    assert found is not None
    assert min(abs(found - v) / v for v in ranked) <= 0.0201
    neighbours = [v for v in ranked if abs(ranked.index(v) - ranked.index(exact)) <= 1]
    assert min(neighbours) * 0.97 <= found <= max(neighbours) * 1.03


def test_no_counts_no_quantile() -> None:
    assert quantile({}, 0.5) is None
    assert quantile({5: 0}, 0.5) is None
