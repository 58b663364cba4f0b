"""Counters that only grow: every event once, by the name that another event told, in a bounded memory."""

from __future__ import annotations

from msgspec.structs import replace

from umbel.model.event import (
    AnyEvent,
    TaskFailed,
    TaskReceived,
    TaskRetried,
    TaskRevoked,
    TaskSent,
    TaskStarted,
    TaskSucceeded,
)
from umbel.model.gather import gather
from umbel.model.latency import LARGEST, SMALLEST, bucket, buckets
from umbel.model.meter import Counters, Metering, Meters, Pair, extend

T = 1_750_000_000.0
W = "w1@h"


def life(id_: str, name: str = "add", wait: float = 0.5, runtime: float = 0.25) -> list[AnyEvent]:
    start = T + 1 + wait
    return [
        TaskSent(hostname="gen1@h", pid=1, timestamp=T, uuid=id_, name=name, queue="mail"),
        TaskReceived(hostname=W, pid=2, timestamp=T + 1, uuid=id_, name=name),
        TaskStarted(hostname=W, pid=2, timestamp=start, uuid=id_),
        TaskSucceeded(hostname=W, pid=2, timestamp=start + runtime, uuid=id_, result="3", runtime=runtime),
    ]


def total(metering: Metering, *batches: list[AnyEvent]) -> Meters:
    """What a store would hold after these batches."""
    sums: dict[Pair, Counters] = {}
    for batch in batches:
        for pair, added in metering.count(gather(batch)).items():
            extend(pair[0], sums.setdefault(pair, {}), added)
    meters = Meters()
    for pair, counters in sums.items():
        for label, (count, seconds) in counters.items():
            meters.add(pair, label, count, seconds)
    return meters


def test_every_event_counts_under_its_task_and_publishers_are_no_workers() -> None:
    meters = total(Metering(), life("a"), life("b"))
    assert meters.events == {
        ("add", ""): {"task-sent": 2},
        ("add", W): {"task-received": 2, "task-started": 2, "task-succeeded": 2},
    }


def test_the_name_is_known_whatever_the_order_and_the_batches() -> None:
    events = life("a")
    one_by_one = total(Metering(), *[[event] for event in events])
    reversed_batch = total(Metering(), events[::-1])
    assert one_by_one.events == reversed_batch.events == total(Metering(), events).events


def test_run_times_and_waits_are_summed_exactly() -> None:
    meters = total(Metering(), life("a", wait=0.5, runtime=0.25), life("b", wait=2.5, runtime=0.75))
    run, wait = meters.runs["add", W], meters.waits["mail"]
    assert (run.count, run.seconds) == (2, 1.0)
    assert (wait.count, wait.seconds) == (2, (1 + 0.5) + (1 + 2.5))


def test_failures_count_by_exception_and_retries_are_none() -> None:
    failed = [*life("a")[:3], TaskFailed(hostname=W, pid=2, timestamp=T + 9, uuid="a", exception="shop.Empty('x')")]
    retried = [*life("b")[:3], TaskRetried(hostname=W, pid=2, timestamp=T + 9, uuid="b", exception="OSError()")]
    assert total(Metering(), failed, retried).failures == {("add", "Empty"): 1}


def test_the_prefetch_time_is_that_of_the_latest_start_until_one_ends() -> None:
    metering = Metering()
    assert total(metering, life("a", wait=0.5)[:3]).prefetch == {("add", W): 0.5}
    assert total(metering, life("a")[3:]).prefetch == {("add", W): 0.0}


def test_memory_is_bounded_and_what_was_forgotten_still_counts() -> None:
    metering = Metering(capacity=10)
    for number in range(100):
        metering.count(gather(life(f"t{number}")[:2]))
    assert len(metering._open) == 10
    meters = total(metering, [TaskStarted(hostname=W, pid=2, timestamp=T, uuid="t0")])
    assert meters.events == {("", W): {"task-started": 1}}


def test_what_has_ended_is_forgotten() -> None:
    metering = Metering()
    metering.count(gather(life("a")))
    metering.count(gather([*life("b")[:2], TaskRevoked(hostname=W, pid=2, timestamp=T + 2, uuid="b")]))
    assert metering._open == {}


def test_a_task_that_is_retried_in_one_batch_counts_each_of_its_events() -> None:
    first: list[AnyEvent] = [
        *life("a")[:3],
        TaskRetried(hostname=W, pid=2, timestamp=T + 3, uuid="a", exception="OSError()"),
    ]
    again: list[AnyEvent] = [
        TaskReceived(hostname=W, pid=2, timestamp=T + 4, uuid="a", name="add", retries=1),
        TaskStarted(hostname=W, pid=2, timestamp=T + 5, uuid="a"),
        TaskSucceeded(hostname=W, pid=2, timestamp=T + 6, uuid="a", runtime=1.0),
    ]
    assert total(Metering(), first + again).events == {
        ("add", ""): {"task-sent": 1},
        ("add", W): {"task-received": 2, "task-started": 2, "task-retried": 1, "task-succeeded": 1},
    }


def test_a_task_that_comes_whole_counts_as_the_same_events_one_by_one_do() -> None:
    for events in (life("a"), life("a", runtime=0.0), life("a", wait=-3.0), life("a", name=""), life("a")[:3]):
        one_by_one = total(Metering(), *[[event] for event in events])
        assert total(Metering(), events) == one_by_one


def test_tasks_that_are_alike_count_together_as_one_by_one() -> None:
    events = [event for n in range(9) for event in life(f"t{n}", wait=n / 4, runtime=(n + 1) / 8)]
    events = [replace(event, root_id=event.uuid) if isinstance(event, TaskReceived) else event for event in events]
    one_by_one = total(Metering(), *[[event] for event in events])
    sent: list[AnyEvent] = [event for event in events if isinstance(event, TaskSent)]
    taken: list[AnyEvent] = [event for event in events if not isinstance(event, TaskSent)]
    assert total(Metering(), events) == one_by_one
    assert total(Metering(), sent[:5], [*sent[5:], *taken]) == one_by_one
    assert total(Metering(), taken) == total(Metering(), *[[event] for event in taken])
    assert len(gather(events).alike) == len(gather(taken).alike) == 1


def test_durations_fall_into_the_same_buckets_together_as_alone() -> None:
    durations = [-1.0, 0.0, SMALLEST, 0.25, 1.0, 99.9, LARGEST, 2 * LARGEST, *(1.04**n for n in range(-200, 400))]
    assert buckets(durations) == [bucket(seconds) for seconds in durations]
