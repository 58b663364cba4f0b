"""What is derived from a record: state, times, attempts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from tests.strategies import START, histories
from umbel.model.event import (
    AnyEvent,
    TaskFailed,
    TaskReceived,
    TaskRejected,
    TaskRetried,
    TaskRevoked,
    TaskSent,
    TaskStarted,
    TaskSucceeded,
)
from umbel.model.merge import fold
from umbel.model.rollup import RUN, WAIT, Series, contribution
from umbel.model.task import State, attempts, exception_type, summarize

ID = "t1"


def w(at: float, worker: str = "w1@a", pid: int = 10) -> dict[str, Any]:
    return {"uuid": ID, "hostname": worker, "pid": pid, "timestamp": START + at}


def received(at: float, retries: int = 0, **who: Any) -> TaskReceived:
    return TaskReceived(**w(at, **who), name="shop.pay", args="(1,)", kwargs="{}", retries=retries)


def started(at: float, **who: Any) -> TaskStarted:
    return TaskStarted(**w(at, **who))


def retried(at: float) -> TaskRetried:
    return TaskRetried(**w(at), exception="ValueError('no')", traceback="tb")


def succeeded(at: float, **who: Any) -> TaskSucceeded:
    return TaskSucceeded(**w(at, **who), result="2", runtime=0.5)


TWICE_RETRIED: list[AnyEvent] = [
    TaskSent(uuid=ID, hostname="gen1@a", timestamp=START, name="shop.pay", queue="celery", retries=0),
    received(1),
    started(2),
    received(3, retries=1),  # the next message is received before the attempt is said to be retried
    retried(3.5),
    started(10),
    received(11, retries=2),
    retried(11.5),
    started(20),
    succeeded(21),
]


def test_a_task_retried_twice_has_three_attempts_and_retries_2() -> None:
    task = fold(TWICE_RETRIED)[ID]
    summary = summarize(task)
    assert (summary.state, summary.retries, summary.queue, summary.run_seconds) == (State.SUCCESS, 2, "celery", 0.5)
    assert [(a.received_at, a.started_at, a.finished_at, a.state, a.retries) for a in attempts(task)] == [
        (START + 1, START + 2, START + 3.5, State.RETRY, 0),
        (START + 3, START + 10, START + 11.5, State.RETRY, 1),
        (START + 11, START + 20, START + 21, State.SUCCESS, 2),
    ]
    assert attempts(task)[0].exception == "ValueError('no')"
    assert attempts(task)[2].exception == ""


def test_between_two_attempts_the_state_is_retry() -> None:
    assert summarize(fold(TWICE_RETRIED[:5])[ID]).state is State.RETRY
    assert summarize(fold(TWICE_RETRIED[:6])[ID]).state is State.STARTED


def test_two_workers_that_run_one_id_have_an_attempt_each() -> None:
    other: dict[str, Any] = {"worker": "w2@b", "pid": 11}
    task = fold(
        [received(1), started(2), received(5, **other), started(6, **other), succeeded(8), succeeded(9, **other)]
    )[ID]
    assert [(a.worker, a.started_at, a.finished_at) for a in attempts(task)] == [
        ("w1@a", START + 2, START + 8),
        ("w2@b", START + 6, START + 9),
    ]


def test_a_killed_worker_s_attempt_stays_open_and_the_next_process_has_its_own() -> None:
    task = fold([received(1), started(2), received(30, pid=12), started(31, pid=12), succeeded(32, pid=12)])[ID]
    assert [(a.pid, a.state) for a in attempts(task)] == [(10, State.STARTED), (12, State.SUCCESS)]


def test_a_run_after_the_end_is_flagged_and_keeps_the_end() -> None:
    task = fold([received(1), started(2), succeeded(3), received(60), started(61)])[ID]
    summary = summarize(task)
    assert (summary.state, summary.rerun) == (State.SUCCESS, True)
    assert not summarize(fold([received(1), started(2), succeeded(3)])[ID]).rerun


def test_a_clock_an_hour_ahead_hides_no_end_and_makes_nothing_negative() -> None:
    task = fold([started(3600, worker="w2@b"), received(3600, worker="w2@b"), succeeded(5)])[ID]
    summary = summarize(task)
    assert summary.state is State.SUCCESS
    assert (summary.wait_seconds or 0) >= 0
    assert (summary.run_seconds or 0) >= 0


def test_requeued_and_revoked_and_unknown_tasks() -> None:
    requeued = fold([received(1), started(2), TaskRejected(**w(3), requeue=True)])[ID]
    assert summarize(requeued).state is State.REJECTED
    revoked = fold([received(1), TaskRevoked(**w(2), expired=True)])[ID]
    assert [(a.started_at, a.state) for a in attempts(revoked)] == [(None, State.REVOKED)]
    unknown = summarize(fold([TaskFailed(**w(1), exception="NotRegistered('x')")])[ID])
    assert (unknown.name, unknown.state, unknown.exception_type) == ("", State.FAILURE, "NotRegistered")


def test_wait_is_counted_from_the_eta_where_there_is_one() -> None:
    eta = TaskReceived(**w(0), name="t", eta="2025-06-15T15:06:50+00:00")  # START + 10 s
    assert summarize(fold([eta, started(12)])[ID]).wait_seconds == pytest.approx(2)


def test_the_queue_of_delayed_delivery_is_read_from_its_routing_key() -> None:
    key = ".".join("0" * 27 + "1") + ".mail"
    sent = TaskSent(**w(0), name="t", exchange="celery_delayed_27", routing_key=key)
    assert summarize(fold([sent])[ID]).queue == "mail"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ValueError('x')", "ValueError"),
        ("requests.exceptions.Timeout('x')", "Timeout"),
        ("<Unrepresentable 'Boom': <...>>", "Unrepresentable"),
        ("", ""),
        ("42", ""),
    ],
)
def test_exception_type(text: str, expected: str) -> None:
    assert exception_type(text) == expected


@given(histories())
def test_every_run_belongs_to_exactly_one_attempt(history: list[AnyEvent]) -> None:
    for task in fold(history).values():
        kinds = {"Received": 0, "Started": 0, "End": 0}
        for run in [
            *(
                getattr(task, n)
                for n in ("received", "started", "succeeded", "failed", "retried", "rejected", "revoked", "cancelled")
            ),
            *task.history,
        ]:
            name = type(run).__name__
            if run is not None and name != "Sent":
                kinds[name if name in kinds else "End"] += 1
        found = attempts(task)
        assert sum(a.received_at is not None for a in found) == kinds["Received"]
        assert sum(a.started_at is not None for a in found) == kinds["Started"]
        assert sum(a.finished_at is not None for a in found) == kinds["End"]


def test_a_contribution_counts_each_thing_at_its_own_minute() -> None:
    task = fold(TWICE_RETRIED)[ID]
    cells = contribution(task, summarize(task)).cells
    series = [code for _, code in cells if code < WAIT]
    assert sorted(series) == sorted(
        [Series.SENT, Series.RECEIVED, Series.STARTED, Series.RETRIED, Series.RETRIED, Series.SUCCEEDED]
    )
    assert sum(WAIT <= code < RUN for _, code in cells) == 1
    assert sum(code >= RUN for _, code in cells) == 1
