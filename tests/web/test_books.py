"""The arithmetic of the books."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from umbel.web.books import WINDOW, Backlog, Received, Trend


def test_a_count_made_after_the_latest_commit_is_exact() -> None:
    received = Received()
    assert received.reckon(100, 10.0, Backlog(7, 10.0), 0.0) == 107
    assert received.reckon(107, 11.0, Backlog(0, 11.0), 0.0) == 107


def test_a_backlog_counted_before_the_latest_commit_is_not_counted_twice() -> None:
    received = Received()
    assert received.reckon(100, 10.0, Backlog(50, 10.0), 0.0) == 150
    # The 50 are in the books now; at 50 events a second the old count says nothing new.
    assert received.reckon(150, 11.0, Backlog(50, 10.0), 50.0) == 150


def test_a_large_backlog_stays_in_view_while_it_drains() -> None:
    received = Received()
    assert received.reckon(0, 10.0, Backlog(1_000_000, 10.0), 0.0) == 1_000_000
    assert received.reckon(5_000, 10.5, Backlog(1_000_000, 10.0), 10_000.0) == 1_000_000


def test_an_overestimate_ends_with_the_next_exact_count_but_the_counter_does_not_shrink() -> None:
    received = Received()
    assert received.reckon(100, 12.0, Backlog(50, 10.0), 0.0) == 150
    assert received.reckon(100, 12.0, Backlog(0, 12.5), 0.0) == 100
    assert received.highest == 150


def test_a_new_store_begins_anew() -> None:
    received = Received()
    received.reckon(1_000, 10.0, Backlog(5, 10.0), 0.0)
    assert received.reckon(3, 20.0, Backlog(0, 20.0), 0.0) == 3
    assert received.highest == 3


def test_without_anybody_who_counts_the_backlog_the_books_alone_tell() -> None:
    assert Received().reckon(42, 1.0, None, 5.0) == 42


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500), st.floats(0, 9), st.floats(0, 100))))
def test_what_is_in_flight_is_never_negative_and_the_counter_never_shrinks(
    steps: list[tuple[int, int, float, float]],
) -> None:
    received, committed, highest = Received(), 0, 0
    for number, (more, waiting, age, rate) in enumerate(steps):
        committed += more
        total = received.reckon(committed, float(number), Backlog(waiting, number - age), rate)
        assert total >= committed
        assert received.highest >= max(highest, total)
        highest = received.highest


def test_the_rate_is_known_from_the_second_moment_on() -> None:
    trend = Trend()
    assert trend.add(0.0, 1_000, 0) == (None, False)
    assert trend.add(2.0, 1_500, 0) == (250.0, False)


def test_the_rate_looks_back_half_a_minute_and_no_further() -> None:
    trend = Trend()
    rates = [trend.add(float(second), min(10 * second, 500), 0)[0] for second in range(100)]
    assert rates[40] == 10.0
    assert rates[-1] == 0.0


def test_rare_looks_still_give_a_rate() -> None:
    trend = Trend()
    trend.add(0.0, 0, 0)
    assert trend.add(60.0, 600, 0) == (10.0, False)
    assert trend.add(120.0, 1_800, 0)[0] == 20.0


def test_a_loss_counts_as_going_on_for_half_a_minute() -> None:
    trend = Trend()
    trend.add(0.0, 0, 5)
    assert trend.add(1.0, 0, 6) == (0.0, True)
    losing = [trend.add(float(second), 0, 6)[1] for second in range(2, int(WINDOW) + 3)]
    assert losing[0]
    assert not losing[-1]


def test_many_looks_keep_little() -> None:
    trend = Trend()
    for step in range(10_000):
        trend.add(step * 0.001, step, 0)
    assert len(trend._moments) <= 128
