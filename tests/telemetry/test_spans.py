"""A task as spans: what hangs where, what is told of it, and that the ids are the same whoever makes them."""

from __future__ import annotations

import subprocess
import sys
from uuid import uuid4

import pytest
from hypothesis import given, strategies

from umbel.model.event import AnyEvent, TaskFailed, TaskReceived, TaskRetried, TaskSent, TaskStarted, TaskSucceeded
from umbel.model.merge import fold
from umbel.model.spans import Kind, Sampler, Span, span_id, spans_of, trace_id
from umbel.model.task import summarize

T = 1_750_000_000.0
ROOT, TASK, PARENT = str(uuid4()), str(uuid4()), str(uuid4())


def sent(at: float, id_: str = TASK) -> AnyEvent:
    return TaskSent(hostname="web", timestamp=at, pid=1, uuid=id_, name="shop.pay", queue="money", root_id=ROOT)


def received(at: float, id_: str = TASK, retries: int = 0, eta: str = "") -> AnyEvent:
    return TaskReceived(
        hostname="w1@shop",
        timestamp=at,
        pid=7,
        uuid=id_,
        name="shop.pay",
        args="('secret',)",
        root_id=ROOT,
        parent_id=PARENT,
        retries=retries,
        eta=eta,
    )


def started(at: float) -> AnyEvent:
    return TaskStarted(hostname="w1@shop", timestamp=at, pid=7, uuid=TASK)


def retried(at: float) -> AnyEvent:
    return TaskRetried(hostname="w1@shop", timestamp=at, pid=7, uuid=TASK, exception="Timeout('gw')", traceback="Trace")


def failed(at: float) -> AnyEvent:
    return TaskFailed(hostname="w1@shop", timestamp=at, pid=7, uuid=TASK, exception="shop.No('funds')", traceback="Tr")


def succeeded(at: float) -> AnyEvent:
    return TaskSucceeded(hostname="w1@shop", timestamp=at, pid=7, uuid=TASK, result="'secret'", runtime=2.0)


def made(*events: AnyEvent) -> list[Span]:
    return spans_of(fold(events)[TASK])


def test_wait_and_run_of_each_attempt_hang_below_the_task_and_the_task_below_its_parent() -> None:
    events = [sent(T), received(T + 1), started(T + 2), retried(T + 3), received(T + 3.5, retries=1), started(T + 5)]
    task, *parts = made(*events, failed(T + 6))
    assert (task.name, task.kind, task.begin, task.end) == ("shop.pay", Kind.INTERNAL, T, T + 6)
    assert (task.span_id, task.parent_id) == (span_id(TASK), span_id(PARENT))
    assert {span.trace_id for span in (task, *parts)} == {trace_id(ROOT)}
    assert {span.parent_id for span in parts} == {task.span_id}
    assert [(span.name, span.kind, span.begin - T, span.end - T) for span in parts] == [
        ("wait money", Kind.INTERNAL, 0, 2),
        ("process shop.pay", Kind.CONSUMER, 2, 3),
        ("wait money", Kind.INTERNAL, 3, 5),
        ("process shop.pay", Kind.CONSUMER, 5, 6),
    ]
    first, second = parts[1], parts[3]
    assert (first.links, second.links) == ((), (first.span_id,))
    assert (first.failure, second.failure, task.failure) == ("Timeout('gw')", "shop.No('funds')", "shop.No('funds')")
    assert first.attributes["error.type"] == "Timeout"
    assert second.happenings[0].attributes == {
        "exception.type": "No", "exception.message": "shop.No('funds')", "exception.stacktrace": "Tr",
    }  # fmt: skip
    told = second.attributes
    assert told["messaging.system"] == "celery"
    assert told["messaging.destination.name"] == "money"
    assert told["messaging.operation.type"] == told["messaging.operation.name"] == "process"
    assert (told["messaging.message.id"], told["messaging.message.conversation_id"]) == (TASK, ROOT)
    assert (told["messaging.client.id"], told["process.pid"], told["celery.attempt"]) == ("w1@shop", 7, 2)
    assert len({span.span_id for span in (task, *parts)}) == 5


def test_neither_arguments_nor_results_are_told() -> None:
    assert "secret" not in repr(made(sent(T), received(T), started(T + 1), succeeded(T + 3)))


def test_waiting_for_an_eta_is_no_wait() -> None:
    _task, wait, _run = made(received(T, eta="2025-06-15T15:07:00+00:00"), started(T + 21), succeeded(T + 23))
    assert wait.begin == T + 20


def test_skewed_clocks_and_missing_events_give_no_span_that_ends_before_it_begins() -> None:
    for events in (
        [sent(T + 100), received(T + 1), started(T), succeeded(T + 2)],
        [succeeded(T)],
        [failed(T)],
        [started(T)],
        [sent(T)],
        [received(T + 9), retried(T + 3)],
    ):
        for span in made(*events):
            assert span.begin <= span.end
    assert [span.name for span in made(succeeded(T))] == ["unknown task", "process unknown task"]


def test_a_root_has_no_parent_and_a_child_of_nobody_known_hangs_below_the_root() -> None:
    root = fold([TaskReceived(hostname="w", timestamp=T, pid=1, uuid=ROOT, name="a", root_id=ROOT)])[ROOT]
    assert spans_of(root)[0].parent_id is None
    adrift = TaskReceived(hostname="w", timestamp=T, pid=1, uuid=TASK, name="a", root_id=ROOT, parent_id=TASK)
    assert made(adrift)[0].parent_id == span_id(ROOT)


def test_the_trace_is_the_roots_uuid_and_any_other_text_has_one_too() -> None:
    assert trace_id(ROOT).hex() == ROOT.replace("-", "")
    for odd in ("", "job-1", "\ud800", "00000000-0000-0000-0000-000000000000"):
        assert len(trace_id(odd)) == 16
        assert any(trace_id(odd))


def test_another_process_makes_the_same_ids() -> None:
    code = f"from umbel.model.spans import *; print(trace_id('job').hex(), span_id({TASK!r}, 'process 1').hex())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout
    assert said.split() == [trace_id("job").hex(), span_id(TASK, "process 1").hex()]


@given(share=strategies.floats(0, 1), ids=strategies.lists(strategies.uuids(), max_size=20))
def test_a_workflow_is_kept_whole_or_not_and_more_of_them_with_a_greater_share(share: float, ids: list[object]) -> None:
    for id_ in map(str, ids):
        events = [
            TaskReceived(hostname="w", timestamp=T, pid=1, uuid=f"{id_}-{n}", name="a", root_id=id_) for n in range(3)
        ]
        tasks = [summarize(task) for task in fold(events).values()]
        reasons = {Sampler(share).reason(task) for task in tasks}
        assert len(reasons) == 1
        if reasons == {"share"}:
            assert {Sampler(min(1.0, share * 2)).reason(task) for task in tasks} == reasons


def test_the_share_is_about_what_is_asked_for() -> None:
    events = [TaskReceived(hostname="w", timestamp=T, pid=1, uuid=f"t{n}", name="a") for n in range(4_000)]
    kept = [task for task in fold(events).values() if Sampler(0.25).reason(summarize(task))]
    assert 850 < len(kept) < 1_150


@pytest.mark.parametrize(
    ("events", "sampler", "reason"),
    [
        ([started(T), failed(T + 1)], Sampler(0.0), "failure"),
        ([started(T), failed(T + 1)], Sampler(0.0, failures=False), ""),
        ([started(T), failed(T + 1)], Sampler(1.0), "share"),
        ([started(T), succeeded(T + 2)], Sampler(0.0), ""),
        ([started(T), succeeded(T + 2)], Sampler(0.0, slow=2.0), "slow"),
        ([received(T), started(T + 9), succeeded(T + 9)], Sampler(0.0, slow=9.0), "slow"),
        ([started(T), succeeded(T + 2)], Sampler(0.0, slow=2.1), ""),
    ],
)
def test_failures_and_slow_tasks_are_kept_whatever_the_share(
    events: list[AnyEvent], sampler: Sampler, reason: str
) -> None:
    assert sampler.reason(summarize(fold(events)[TASK])) == reason
