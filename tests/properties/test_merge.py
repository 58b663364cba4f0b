"""The laws of merging: a record depends on the set of events alone."""

from __future__ import annotations

import copy
import itertools
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import IDS, START, any_event, deliveries, histories
from umbel.model.event import AnyEvent, TaskReceived, TaskRetried, TaskSent, TaskStarted, TaskSucceeded
from umbel.model.merge import HISTORY, RUN_REGISTERS, Task, fold, join
from umbel.model.task import ENDED, State, attempts, summarize
from umbel.model.worker import fold_workers, join_workers

ONE = st.just(IDS[0])


def record(events: list[AnyEvent]) -> Task:
    return fold(events).get(IDS[0], Task(IDS[0]))


def joined(*tasks: Task) -> Task:
    into = copy.copy(tasks[0])
    for task in tasks[1:]:
        join(into, task)
    return into


events_of_one = st.lists(any_event(ONE), max_size=8)


@given(events_of_one, events_of_one)
def test_join_is_commutative(a: list[AnyEvent], b: list[AnyEvent]) -> None:
    assert joined(record(a), record(b)) == joined(record(b), record(a))


@given(events_of_one, events_of_one, events_of_one)
def test_join_is_associative(a: list[AnyEvent], b: list[AnyEvent], c: list[AnyEvent]) -> None:
    x, y, z = record(a), record(b), record(c)
    assert joined(joined(x, y), z) == joined(x, joined(y, z))


@given(events_of_one)
def test_join_is_idempotent_and_says_that_nothing_changed(a: list[AnyEvent]) -> None:
    once = record(a)
    again = copy.copy(once)
    assert join(again, record(a)) is False
    assert again == once


@given(events_of_one, events_of_one)
def test_join_tells_whether_it_changed_the_record(a: list[AnyEvent], b: list[AnyEvent]) -> None:
    before = record(a)
    after = copy.copy(before)
    assert join(after, record(b)) is (after != before)


@given(deliveries())
@settings(max_examples=300)
def test_any_permutation_duplication_and_batching_gives_the_same_records(
    delivery: tuple[list[AnyEvent], list[list[AnyEvent]]],
) -> None:
    history, batches = delivery
    found: dict[str, Task] = {}
    for batch in batches:
        for id_, task in fold(batch).items():
            join(found.setdefault(id_, Task(id_)), task)
    assert found == fold(history)
    assert {i: summarize(t) for i, t in found.items()} == {i: summarize(t) for i, t in fold(history).items()}
    assert {i: attempts(t) for i, t in found.items()} == {i: attempts(t) for i, t in fold(history).items()}


@given(deliveries())
def test_workers_merge_like_tasks(delivery: tuple[list[AnyEvent], list[list[AnyEvent]]]) -> None:
    history, batches = delivery
    found = fold_workers(batches[0], 100.0)
    for batch in batches[1:]:
        for key, worker in fold_workers(batch, 100.0).items():
            if key in found:
                join_workers(found[key], worker)
            else:
                found[key] = worker
    assert found == fold_workers(history, 100.0)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_all_24_orders_of_a_retried_success_give_one_record(order: tuple[int, ...]) -> None:
    common: dict[str, Any] = {"hostname": "w1@a", "pid": 10, "uuid": IDS[0]}
    events: list[AnyEvent] = [
        TaskReceived(**common, timestamp=START, name="t", args="()", kwargs="{}"),
        TaskStarted(**common, timestamp=START + 1),
        TaskRetried(**common, timestamp=START + 2, exception="ValueError()"),
        TaskSucceeded(**common, timestamp=START + 3, result="1", runtime=0.5),
    ]
    assert record([events[i] for i in order]) == record(events)
    summary = summarize(record([events[i] for i in order]))
    assert (summary.state, summary.exception, summary.received_at) == (State.SUCCESS, "", START)


@given(histories())
def test_an_end_is_never_hidden_by_what_does_not_end(history: list[AnyEvent]) -> None:
    for task in fold(history).values():
        ended = any(getattr(task, name) is not None for name in ("succeeded", "failed", "revoked"))
        assert (summarize(task).state in ENDED) is ended


@given(st.lists(st.integers(0, 500), min_size=HISTORY + 5, max_size=HISTORY + 60), st.randoms(use_true_random=False))
def test_the_history_of_a_task_is_bounded_and_still_a_join(moments: list[int], random: Random) -> None:
    events: list[AnyEvent] = [
        TaskStarted(hostname="w1@a", pid=10, uuid=IDS[0], timestamp=START + moment) for moment in moments
    ]
    shuffled = list(events)
    random.shuffle(shuffled)
    whole = record(events)
    assert len(whole.history) <= HISTORY
    assert joined(record(shuffled[:20]), record(shuffled[20:]), record(shuffled[5:30])) == whole


@given(events_of_one)
def test_a_record_survives_json(events: list[AnyEvent]) -> None:
    task = record(events)
    for name in RUN_REGISTERS:
        value = getattr(task, name)
        if value is not None:
            assert msgspec.json.decode(msgspec.json.encode(value), type=type(value)) == value


def test_the_publisher_s_late_word_does_not_replace_the_worker_s() -> None:
    received = TaskReceived(hostname="w1@a", uuid=IDS[0], timestamp=START, name="shadow", args="(1,)", kwargs="{}")
    sent = TaskSent(hostname="gen1@a", uuid=IDS[0], timestamp=START + 9, name="real", args="[1]", queue="mail")
    summary = summarize(record([received, sent]))
    assert (summary.name, summary.queue, summary.state) == ("shadow", "mail", State.RECEIVED)
