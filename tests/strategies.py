"""Generated histories of tasks: what real workers do, and what a broken clock or network makes of it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from umbel.model.event import (
    AnyEvent,
    CustomEvent,
    TaskCancelled,
    TaskFailed,
    TaskReceived,
    TaskRejected,
    TaskRetried,
    TaskRevoked,
    TaskSent,
    TaskStarted,
    TaskSucceeded,
    WorkerHeartbeat,
    WorkerOffline,
    WorkerOnline,
)

START = 1_750_000_000.0
WORKERS = ("w1@a", "w2@b")
NAMES = ("shop.pay", "shop.mail", "")
IDS = (
    "6f1d1f60-5c4a-4f0e-9d57-0a4f6d7a0001",
    "6f1d1f60-5c4a-4f0e-9d57-0a4f6d7a0002",
    "order-17",
    "Ünï ✿",
)

#: Few distinct times, so that ties and inversions are common.
times = st.integers(0, 12).map(lambda step: START + step * 7.5)
texts = st.sampled_from(["", "(1, 2)", "{'user': 42}", "x' OR 1=1 --", "ä✿\N{PILE OF POO}", "a" * 300])
pids = st.sampled_from([None, 10, 11])
#: A restarted worker begins again at 1.
clocks = st.sampled_from([None, 1, 2, 500])


def any_event(ids: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[AnyEvent]:
    """Any single event, with no sense to its neighbours."""
    ids = st.sampled_from(IDS) if ids is None else ids
    base: dict[str, Any] = {"hostname": st.sampled_from(WORKERS), "timestamp": times, "pid": pids, "clock": clocks}
    task: dict[str, Any] = base | {"uuid": ids}
    described: dict[str, Any] = {
        "name": st.sampled_from(NAMES),
        "args": texts,
        "kwargs": texts,
        "root_id": ids,
        "parent_id": st.none() | ids,
        "retries": st.none() | st.integers(0, 3),
        "eta": st.sampled_from([None, "2025-06-15T15:06:40+00:00", "soon"]),
    }
    worker: dict[str, Any] = base | {
        "freq": st.just(2.0),
        "active": st.integers(0, 4),
        "processed": st.integers(0, 100),
        "loadavg": st.just((0.5, 0.25, 0.125)),
        "sw_ident": st.just("py-celery"),
        "sw_ver": st.sampled_from(["5.6.3", "5.7.0"]),
        "sw_sys": st.just("Linux"),
    }
    return st.one_of(
        st.builds(TaskSent, **task, **described, queue=st.sampled_from([None, "mail", "celery"])),
        st.builds(TaskReceived, **task, **described),
        st.builds(TaskStarted, **task),
        st.builds(TaskSucceeded, **task, result=texts, runtime=st.none() | st.floats(0, 100)),
        st.builds(TaskFailed, **task, exception=texts, traceback=texts),
        st.builds(TaskRetried, **task, exception=texts, traceback=texts),
        st.builds(TaskRejected, **task, requeue=st.booleans()),
        st.builds(TaskRevoked, **task, terminated=st.booleans(), signum=st.sampled_from([None, 15, "SIGKILL"])),
        st.builds(TaskCancelled, **task),
        st.builds(CustomEvent, **task, type=st.just("task-progress"), fields=st.sampled_from(["{}", '{"pct":50}'])),
        st.builds(WorkerOnline, **worker),
        st.builds(WorkerHeartbeat, **worker),
        st.builds(WorkerOffline, **worker),
    )


@st.composite
def life(draw: st.DrawFn, id_: str) -> list[AnyEvent]:
    """One task as workers really run it: sent, then attempts that retry, are redelivered or requeued, then an end."""
    at = draw(times)
    found: list[AnyEvent] = []

    def step(low: int = 0, high: int = 50) -> float:
        nonlocal at
        at += draw(st.integers(low, high)) / 10
        return at

    name = draw(st.sampled_from(NAMES[:2]))
    for attempt in range(draw(st.integers(1, 4))):
        worker, pid = draw(st.sampled_from(WORKERS)), draw(st.sampled_from([10, 11]))
        who: dict[str, Any] = {"hostname": worker, "pid": pid, "uuid": id_}
        what: dict[str, Any] = {"name": name, "args": "(1,)", "kwargs": "{}", "root_id": id_, "retries": attempt}
        if draw(st.booleans()):
            found.append(TaskSent(hostname="gen1@a", pid=1, uuid=id_, timestamp=step(), queue="celery", **what))
        found.append(TaskReceived(**who, timestamp=step(), **what))
        found.append(TaskStarted(**who, timestamp=step()))
        end = draw(st.sampled_from(["retry", "lost", "requeue", "succeed", "fail", "revoke", "open"]))
        if end == "retry":
            found.append(TaskRetried(**who, timestamp=step(), exception="ValueError('again')", traceback="tb"))
        elif end == "requeue":
            found.append(TaskRejected(**who, timestamp=step(), requeue=True))
        elif end == "succeed":
            found.append(TaskSucceeded(**who, timestamp=step(), result="1", runtime=1.5))
        elif end == "fail":
            found.append(TaskFailed(**who, timestamp=step(), exception="KeyError('k')", traceback="tb"))
        elif end == "revoke":
            found.append(TaskRevoked(**who, timestamp=step(), terminated=True, signum="15"))
        # After a loss, a requeue or a retry, and sometimes after an end (redelivery), it runs again.
        if end in ("succeed", "fail", "revoke", "open") and draw(st.integers(0, 4)):
            break
    return found


@st.composite
def histories(draw: st.DrawFn, max_noise: int = 6) -> list[AnyEvent]:
    """Events of a few tasks, in the order of their making, with some noise among them."""
    found: list[AnyEvent] = []
    for id_ in draw(st.lists(st.sampled_from(IDS), min_size=1, max_size=3, unique=True)):
        found += draw(life(id_))
    return found + draw(st.lists(any_event(), max_size=max_noise))


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[AnyEvent], list[list[AnyEvent]]]:
    """A history, and the same events shuffled, some of them twice, in batches."""
    history = draw(histories())
    again = draw(st.lists(st.sampled_from(history), max_size=4)) if history else []
    shuffled = draw(st.permutations([*history, *again]))
    batches: list[list[AnyEvent]] = [[]]
    for event in shuffled:
        if draw(st.booleans()):
            batches.append([])
        batches[-1].append(event)
    return history, batches
