from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from umbel.model.event import EventClass
from umbel.model.latency import bucket
from umbel.model.ledger import LedgerEntry, Reason
from umbel.model.rollup import RollupPoint, Series
from umbel.web.pages.charts import Gap, gaps_of, latencies, throughput
from umbel.web.pages.spans import DEFAULT, SPANS, span_of

NOW = 1_750_000_050.0


def entry(first: float, last: float) -> LedgerEntry:
    return LedgerEntry(Reason.SPOOL_FULL, EventClass.HEARTBEAT, first, last, 1)


def test_an_unknown_span_is_the_default() -> None:
    assert span_of("1y") is DEFAULT
    assert span_of("6h") is SPANS["6h"]


@given(st.sampled_from(sorted(SPANS)), st.floats(1e9, 2e9))
def test_columns_begin_at_multiples_of_their_width_and_the_last_one_holds_now(name: str, now: float) -> None:
    span = SPANS[name]
    start = span.start(now)
    assert start % span.step == 0
    assert start + span.length - span.step <= now < start + span.length


def test_rates_are_tasks_a_second_and_the_newest_column_counts_what_has_passed() -> None:
    span = SPANS["15m"]
    last = span.start(NOW) + span.length - span.step
    begun = NOW - last
    points = [
        RollupPoint(last - 60, counts={Series.SUCCEEDED: 120, Series.RECEIVED: 60}),
        RollupPoint(last, counts={Series.SUCCEEDED: 30}),
    ]
    chart = throughput(points, span, (), NOW)
    lines = {line.key: line.values for line in chart.lines}
    assert lines["succeeded"][-2:] == (2.0, round(30 / begun, 4))
    assert lines["received"][-2] == 1.0
    assert lines["failed"] == (0.0,) * 15


def test_a_column_that_has_just_begun_has_no_rate() -> None:
    span = SPANS["15m"]
    now = span.start(NOW) + span.length + 3.0
    chart = throughput([], span, (), now)
    assert chart.lines[0].values[-1] is None
    assert chart.latest("succeeded") == 0.0


def test_quantiles_come_from_the_histograms() -> None:
    span = SPANS["15m"]
    start = span.start(NOW)
    chart = latencies("wait", {start: {bucket(0.1): 98, bucket(30): 2}}, span, (), NOW)
    p50, p95, p99 = (line.values for line in chart.lines)
    assert p50[0] is not None
    assert abs(p50[0] - 0.1) < 0.003
    assert p95[0] == p50[0]
    assert p99[0] is not None
    assert abs(p99[0] - 30) < 0.7
    assert p50[1] is None


def test_gaps_that_touch_are_one_and_are_cut_to_the_span() -> None:
    found = gaps_of([entry(90, 110), entry(105, 120), entry(150, 900), entry(10, 20)], 100, 200)
    assert found == (Gap(100, 120), Gap(150, 200))


@given(st.lists(st.tuples(st.floats(0, 300), st.floats(0, 300)).map(sorted), max_size=20))
def test_gaps_are_ordered_apart_and_within_the_span(spans: list[list[float]]) -> None:
    found = gaps_of([entry(first, last) for first, last in spans], 100, 200)
    edges = [edge for gap in found for edge in (gap.start, gap.end)]
    assert edges == sorted(edges)
    assert all(100 <= edge <= 200 for edge in edges)


def test_what_the_script_draws_is_json_with_a_time_for_each_value() -> None:
    chart = throughput([], SPANS["1h"], (Gap(NOW - 60, NOW),), NOW)
    data = json.loads(json.dumps(chart.data("/tasks?q="), allow_nan=False))
    assert len(data["times"]) == 60
    assert all(len(line["values"]) == 60 for line in data["lines"])
    assert data["gaps"] == [{"from": NOW - 60, "to": NOW}]


def test_the_picture_without_scripts_has_every_line() -> None:
    points = [RollupPoint(SPANS["1h"].start(NOW), counts={Series.SUCCEEDED: 9})]
    paths = throughput(points, SPANS["1h"], (), NOW).paths()
    assert [key for key, _, filled in paths if filled] == ["rejected", "revoked", "retried", "failed", "succeeded"]
    assert all(path.startswith("M") for _, path, _ in paths)
