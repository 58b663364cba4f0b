"""Ends that the result backend told of: joined like any other, and the word of a worker comes before them."""

from __future__ import annotations

import copy
import re
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import IDS, START, any_event
from tests.web.events import WORKER, T, failed, received, retried, sent, started, succeeded
from umbel.model.event import AnyEvent
from umbel.model.learned import End, learned
from umbel.model.merge import Task, fold, join
from umbel.model.redact import Redactor
from umbel.model.task import State, attempts, summarize

ends = st.builds(
    End,
    st.just(IDS[0]),
    st.sampled_from(("SUCCESS", "FAILURE", "REVOKED")),
    st.floats(START, START + 100),
    st.sampled_from(("", "w1@a")),
    result=st.text(max_size=5),
)


def joined(*pieces: Task) -> Task:
    into = Task(pieces[0].id)
    for piece in pieces:
        join(into, copy.copy(piece))
    return into


@given(st.lists(any_event(st.just(IDS[0])), max_size=5), st.lists(ends, max_size=3), st.randoms(use_true_random=False))
def test_order_and_duplicates_do_not_matter(events: list[AnyEvent], told: list[End], random: object) -> None:
    pieces = [*(fold([event]).get(IDS[0], Task(IDS[0])) for event in events), *(end.record() for end in told)]
    shuffled = [*pieces, *pieces[:2]]
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # of the standard library
    if pieces:
        assert joined(*shuffled) == joined(*pieces)


def test_a_task_without_an_end_gets_it_and_the_true_one_takes_its_place_whenever_it_comes() -> None:
    end = End("a", "SUCCESS", T + 2.9, WORKER, result="'stored'").record()
    opened = [fold([event])["a"] for event in (sent("a"), received("a"), started("a"))]
    task = joined(*opened, end)
    summary = summarize(task)
    assert (summary.state, summary.worker, summary.finished_at) == (State.SUCCESS, WORKER, T + 2.9)
    assert summary.run_seconds == pytest.approx(1.9)
    assert learned(task)
    (attempt,) = attempts(task)
    assert (attempt.state, attempt.pid, attempt.started_at, attempt.finished_at) == ("SUCCESS", 7, T + 1, T + 2.9)
    whole = {str(joined(*order)) for order in permutations([*opened, end, fold([succeeded("a")])["a"]])}
    assert len(whole) == 1
    task = joined(*opened, end, fold([succeeded("a")])["a"])
    assert summarize(task).finished_at == T + 3
    assert not learned(task)
    (attempt,) = attempts(task)
    assert (attempt.state, attempt.finished_at) == ("SUCCESS", T + 3)


def test_it_ends_the_latest_attempt_and_begins_one_where_none_is_known() -> None:
    end = End("a", "FAILURE", T + 20, WORKER, exception="KeyError('x')", traceback="Traceback").record()
    only = joined(fold([sent("a")])["a"], end)
    (attempt,) = attempts(only)
    assert (attempt.worker, attempt.pid, attempt.state, attempt.exception) == (WORKER, 0, "FAILURE", "KeyError('x')")
    assert summarize(only).exception_type == "KeyError"
    again = joined(*(fold([event])["a"] for event in (received("a"), started("a"), retried("a"))), end)
    assert [attempt.state for attempt in attempts(again)] == ["RETRY", "FAILURE"]
    over = joined(fold([received("a")])["a"], fold([failed("a", T + 30)])["a"], end)
    assert [attempt.finished_at for attempt in attempts(over)] == [T + 30]


def test_it_is_kept_as_texts_cut_and_without_secrets() -> None:
    end = End(
        "a", "FAILURE", T + 0.1, "w", exception="E(password='hunter2')" + "x" * 2_000, traceback="y" * 9_000 + "end"
    )
    texts = end.texts(Redactor(("password",), [re.compile("xxx+")]))
    assert "hunter2" not in str(texts)
    assert len(str(texts)) < 3_000
    assert texts["traceback"].endswith("end")
    back = End.of(texts)
    assert (back.task_id, back.state, back.at, back.worker) == ("a", "FAILURE", T + 0.1, "w")
    for wrong in (
        {},
        {**texts, "state": "STARTED"},
        {**texts, "at": "nan"},
        {**texts, "at": "x"},
        {**texts, "new": ""},
    ):
        with pytest.raises(ValueError, match=r"no end of a task|could not convert"):
            End.of(wrong)
