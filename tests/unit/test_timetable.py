"""Late and missed runs, found by comparing what should have run with what did."""

from __future__ import annotations

from umbel.model.timetable import GRACE, Punctuality, by_calendar, by_interval

HOUR = 3_600.0
DUES = (HOUR, 2 * HOUR, 3 * HOUR)
NOW = 3 * HOUR + 600


def known(since: float, until: float) -> bool:
    return True


def test_a_calendar_that_was_kept() -> None:
    verdict = by_calendar(DUES, 4 * HOUR, [HOUR + 1, 2 * HOUR - 1, 3 * HOUR + 2], NOW, known)
    assert (verdict.state, verdict.missed, verdict.judged) == (Punctuality.ON_TIME, (), 3)
    assert (verdict.last_at, verdict.next_at, verdict.late) == (3 * HOUR + 2, 4 * HOUR, None)


def test_a_run_that_is_missing_is_missed_once_and_the_last_one_is_late() -> None:
    verdict = by_calendar(DUES, 4 * HOUR, [HOUR + 1], NOW, known)
    assert (verdict.state, verdict.missed, verdict.late) == (Punctuality.MISSED, (2 * HOUR,), 600)
    verdict = by_calendar(DUES, 4 * HOUR, [HOUR + 1, 2 * HOUR], NOW, known)
    assert (verdict.state, verdict.missed, verdict.late) == (Punctuality.LATE, (), 600)


def test_what_is_due_just_now_is_not_late_yet() -> None:
    verdict = by_calendar(DUES, 4 * HOUR, [HOUR, 2 * HOUR], 3 * HOUR + GRACE - 1, known)
    assert verdict.state is Punctuality.ON_TIME


def test_what_could_not_have_been_seen_is_not_judged() -> None:
    verdict = by_calendar(DUES, 4 * HOUR, [3 * HOUR + 1], NOW, lambda since, until: since > 2.5 * HOUR)
    assert (verdict.state, verdict.missed, verdict.judged) == (Punctuality.ON_TIME, (), 1)
    assert by_calendar(DUES, None, [], NOW, lambda since, until: False).state is Punctuality.UNKNOWN
    assert by_calendar(DUES, None, [], NOW, known).state is Punctuality.UNSEEN


def test_an_interval_is_late_after_half_of_it_more_and_missed_after_two() -> None:
    runs = [0.0, 60.0, 120.0]
    assert by_interval(60.0, runs, 200.0, known).state is Punctuality.ON_TIME
    late = by_interval(60.0, runs, 120.0 + 90.0 + GRACE + 1, known)
    assert (late.state, late.missed, late.judged) == (Punctuality.MISSED, (180.0,), 3)
    long = by_interval(600.0, [0.0, 600.0], 600.0 + 931.0, known)
    assert (long.state, long.late, long.next_at) == (Punctuality.LATE, 331.0, 1_200.0)
    assert by_interval(60.0, [], 500.0, known).state is Punctuality.UNSEEN
    assert by_interval(60.0, [], 500.0, lambda since, until: False).state is Punctuality.UNKNOWN


def test_a_gap_between_runs_is_a_missed_one_unless_events_were_lost_in_it() -> None:
    runs = [0.0, 600.0, 1_800.0, 2_400.0]
    verdict = by_interval(600.0, runs, 2_500.0, known)
    assert (verdict.state, verdict.missed, verdict.judged) == (Punctuality.ON_TIME, (1_200.0,), 3)
    lossy = by_interval(600.0, runs, 2_500.0, lambda since, until: not since < 1_000 < until)
    assert lossy.missed == ()
