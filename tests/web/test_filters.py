"""How numbers and times read."""

from __future__ import annotations

import pytest

from umbel.model.task import rfc3339
from umbel.stores.base import Count
from umbel.web import filters
from umbel.web.pages.spark import bars


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0, "0 ms"),
        (0.0012, "1.2 ms"),
        (0.012, "12 ms"),
        (0.9996, "1.00 s"),
        (1.25, "1.25 s"),
        (12.34, "12.3 s"),
        (59.97, "1 m 00 s"),
        (185, "3 m 05 s"),
        (3599.7, "1 h 00 m"),
        (7800, "2 h 10 m"),
        (4 * 86400 + 3 * 3600, "4 d 3 h"),
        (-1.25, "-1.25 s"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert filters.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "–"), (0, "0 B"), (512, "512 B"), (1536, "1.5 KiB"), (1 << 30, "1.0 GiB"), (5 << 50, "5120.0 TiB")],
)
def test_sizes(count: int | None, text: str) -> None:
    assert filters.size(count) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0, "0"), (12345, "12,345"), (2.5, "2.5"), (250.4, "250"), (3.0, "3")]
)
def test_numbers(value: float | None, text: str) -> None:
    assert filters.number(value) == text


def test_counts_say_when_they_are_cut() -> None:
    assert filters.capped(Count(10_000, capped=True)) == "10,000+"
    assert filters.capped(Count(9_999, capped=False)) == "9,999"


def test_times_are_rfc_3339_with_microseconds() -> None:
    assert rfc3339(1_750_000_000.25) == "2025-06-15T15:06:40.250000Z"
    assert rfc3339(0.0) == "1970-01-01T00:00:00.000000Z"
    assert rfc3339(None) is None


@pytest.mark.parametrize("seconds", [float("inf"), float("-inf"), float("nan"), 253_402_300_800.0, -1e15])
def test_times_that_no_calendar_holds_are_absent(seconds: float) -> None:
    assert rfc3339(seconds) is None


def test_a_time_on_a_page_carries_its_moment() -> None:
    shown = filters.time(1_750_000_000.25)
    assert 'datetime="2025-06-15T15:06:40.250000Z"' in shown
    assert ">2025-06-15 15:06:40 UTC</time>" in shown
    assert filters.time(None) == "–"


def test_a_time_of_the_same_day_does_without_the_day() -> None:
    at = 1_750_000_000.25
    assert ">15:06:40 UTC</time>" in filters.time(at, at + 3_600)
    assert 'title="2025-06-15 15:06:40 UTC"' in filters.time(at, at + 3_600)
    assert ">15:06:40.250 UTC</time>" in filters.moment(at, at + 3_600)
    assert 'title="2025-06-15 15:06:40 UTC"' in filters.time(at, at + 40 * 86_400)


def test_a_time_of_the_same_year_does_without_the_year() -> None:
    at = 1_750_000_000.25
    for later in (-40 * 86_400, 12 * 3_600, 40 * 86_400):
        assert ">Jun 15 15:06:40 UTC</time>" in filters.time(at, at + later)
        assert ">Jun 15 15:06:40.250 UTC</time>" in filters.moment(at, at + later)
    for later in (-365 * 86_400, 365 * 86_400):
        assert ">2025-06-15 15:06:40 UTC</time>" in filters.time(at, at + later)
    assert ">Dec 9 00:00:00 UTC</time>" in filters.time(1_733_702_400.0, 1_733_702_400.0 + 86_400)


@pytest.mark.parametrize(
    ("passed", "text"),
    [
        (0, "0 s ago"),
        (59.4, "59 s ago"),
        (125, "2 m 5 s ago"),
        (794, "13 m ago"),
        (3_725, "1 h 2 m ago"),
        (93_600, "1 d 2 h ago"),
        (-12, "in 12 s"),
    ],
)
def test_how_long_ago_reads_as_the_script_counts_it(passed: float, text: str) -> None:
    assert filters.since(1_750_000_000.0, 1_750_000_000.0 + passed) == text
    if passed >= 0:
        assert filters.since(1_750_000_000.0, 1_750_000_000.0 + passed, "due") == f"due {text}"


@pytest.mark.parametrize(
    ("a_second", "text"), [(0.0, "0"), (250.0, "250/s"), (1.25, "1.2/s"), (0.5, "30.0/min"), (4 / 900, "16.0/h")]
)
def test_a_rate_has_the_unit_that_suits_it(a_second: float, text: str) -> None:
    assert filters.pace(a_second) == text


def test_the_columns_of_a_small_drawing_are_one_path() -> None:
    drawn = bars([4.0, 0.0, 2.0], [1.0, 0.0, 0.0])
    assert filters.outline(drawn) == "M0 20v-20h26.67v20zM66.67 20v-10h26.67v10z"
    assert filters.outline_of_parts(drawn) == "M0 20v-5h26.67v5z"
