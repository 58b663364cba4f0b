from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from umbel.model.merge import Description, Received, Retried, Sent, Started, Succeeded, Task
from umbel.model.task import Attempt, State, attempts, summarize
from umbel.web.pages.timeline import DRAWN, timeline

T = 1_750_000_000.0
times = st.one_of(st.none(), st.floats(T, T + 1e6, allow_nan=False))


@st.composite
def some_attempts(draw: st.DrawFn) -> Attempt:
    return Attempt("w@h", 1, draw(times), draw(times), draw(times), draw(st.sampled_from(State)))


@given(st.lists(some_attempts(), max_size=DRAWN + 5), times, times)
def test_every_bar_lies_on_the_axis_whatever_the_clocks_say(
    found: list[Attempt], sent: float | None, ended: float | None
) -> None:
    drawn = timeline(Task("t", sent=Sent(sent) if sent else None), found, ended, T + 2e6)
    if drawn is None:
        assert sent is None
        return
    assert len(drawn.lanes) + drawn.left_out == len(found)
    for lane in drawn.lanes:
        for bar in lane.bars:
            assert 0 <= bar.x <= 100
            assert 0 < bar.width <= 100
            assert bar.x + bar.width <= 100.01
            assert bar.seconds >= 0


def test_queue_delay_stands_apart_from_run_time() -> None:
    attempt = Attempt("w@h", 1, T + 2, T + 3, T + 10, State.SUCCESS)
    drawn = timeline(Task("t", sent=Sent(T)), [attempt], T + 10, T + 99)
    assert drawn is not None
    assert [(bar.kind, bar.x, bar.width) for bar in drawn.lanes[0].bars] == [
        ("wait", 0, 20),
        ("held", 20, 10),
        ("run", 30, 70),
    ]
    assert (drawn.lanes[0].wait_seconds, drawn.lanes[0].run_seconds) == (3, 7)


def test_an_open_run_goes_on_until_now() -> None:
    drawn = timeline(Task("t"), [Attempt("w@h", 1, T, T + 1, None, State.STARTED)], None, T + 5)
    assert drawn is not None
    assert drawn.end == T + 5
    assert drawn.lanes[0].run_seconds == 4


def test_a_retry_waits_from_the_end_of_the_attempt_before_it() -> None:
    first = Attempt("w@h", 1, T, T + 1, T + 2, State.RETRY)
    second = Attempt("w@h", 1, T + 6, T + 7, T + 8, State.SUCCESS)
    drawn = timeline(Task("t", retries=1), [first, second], T + 8, T + 9)
    assert drawn is not None
    assert drawn.lanes[1].wait_seconds == 5
    assert drawn.lanes[1].bars[0].kind == "wait"


def test_a_run_after_the_end_is_marked_and_has_no_wait() -> None:
    task = Task(
        "t",
        started=Started(T + 20, "w@h", 1),
        succeeded=Succeeded(T + 5, "w@h", 1, "", 4.0),
        history=frozenset({Started(T + 1, "w@h", 1)}),
    )
    summary = summarize(task)
    drawn = timeline(task, attempts(task), summary.finished_at, T + 30)
    assert summary.rerun
    assert drawn is not None
    assert [lane.again for lane in drawn.lanes] == [False, True]
    assert drawn.lanes[1].wait_seconds is None


def test_before_its_eta_an_attempt_does_not_wait_and_its_run_is_the_workers_own_figure() -> None:
    task = Task(
        "t",
        description=Description(1, T, eta="2025-06-15T15:06:42+00:00"),
        sent=Sent(T),
        received=Received(T + 0.5, "w@h", 1),
        started=Started(T + 5, "w@h", 1),
        succeeded=Succeeded(T + 9, "w@h", 1, "", 3.5),
    )
    summary = summarize(task)
    drawn = timeline(task, attempts(task), summary.finished_at, T + 30)
    assert drawn is not None
    (lane,) = drawn.lanes
    # The figures above the drawing say the same.
    assert (lane.wait_seconds, lane.run_seconds) == (summary.wait_seconds, summary.run_seconds) == (3, 3.5)


def test_an_eta_on_the_axis_is_marked() -> None:
    task = Task("t", description=Description(1, T, eta="2025-06-15T15:06:42+00:00"), retried=Retried(T + 4, "w@h", 1))
    drawn = timeline(task, [Attempt("w@h", 1, T, T + 2, T + 4, State.RETRY)], T + 4, T + 4)
    assert drawn is not None
    assert drawn.eta == 50
