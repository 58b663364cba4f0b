"""What was lost before capture is reckoned exactly, and nothing is made up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from umbel.model.event import AnyEvent, TaskStarted, TaskSucceeded, WorkerHeartbeat
from umbel.model.loss import EVENTS_OF_A_RUN, STARTS, LossWatch
from umbel.model.worker import Worker, join_workers

START = 1_750_000_000.0


def beat(clock: int, processed: int, host: str = "w@h", pid: int = 1) -> WorkerHeartbeat:
    return WorkerHeartbeat(hostname=host, pid=pid, timestamp=START + clock, clock=clock, active=0, processed=processed)


def start(clock: int, host: str = "w@h", pid: int = 1) -> TaskStarted:
    return TaskStarted(hostname=host, pid=pid, timestamp=START + clock, clock=clock, uuid=f"t{clock}")


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[tuple[AnyEvent, bool]], int]:
    """A worker's stream, each event with whether it is lost, and the starts lost between the judged heartbeats."""
    clock, processed = 0, 0
    stream: list[tuple[AnyEvent, bool]] = [(start(1), False), (beat(2, 1), False)]
    clock, processed = 2, 1
    lost: list[int] = []
    for _ in range(draw(st.integers(0, 6))):
        lost_here = 0
        for gone in draw(st.lists(st.booleans(), max_size=6)):
            clock += draw(st.integers(1, 5))
            processed += 1
            stream.append((start(clock), gone))
            lost_here += gone
            clock += 1
            stream.append((TaskSucceeded(hostname="w@h", pid=1, timestamp=START, clock=clock, uuid="t"), gone))
        clock += draw(st.integers(1, 3))
        stream.append((beat(clock, processed), False))
        lost.append(lost_here)
    # The last span waits for one more heartbeat.
    stream.append((beat(clock + 1, processed), False))
    return stream, sum(lost)


@given(streams(), st.integers(1, 7))
def test_exactly_what_was_lost_is_reckoned_however_it_is_batched(
    made: tuple[list[tuple[AnyEvent, bool]], int], size: int
) -> None:
    stream, lost = made
    watch = LossWatch()
    kept = [event for event, gone in stream if not gone]
    batches = [kept[i : i + size] for i in range(0, len(kept), size)]
    # Redelivered batches change nothing.
    entries = [entry for batch in batches for _ in range(2) for entry in watch.see(batch)]
    assert sum(entry.count for entry in entries) == lost * EVENTS_OF_A_RUN
    assert all(entry.estimated and entry.worker == "w@h" for entry in entries)


def test_a_worker_whose_task_events_were_off_is_not_blamed() -> None:
    watch = LossWatch()
    assert watch.see([beat(n, n * 10) for n in range(1, 50)]) == []


def test_task_events_that_trail_their_heartbeat_are_no_loss() -> None:
    watch = LossWatch()
    stream: list[AnyEvent] = [start(1), beat(2, 1), beat(5, 3), start(3), start(4), beat(6, 3), beat(7, 3)]
    assert watch.see(stream) == []


def test_a_restarted_worker_is_another_process() -> None:
    watch = LossWatch()
    old: list[AnyEvent] = [start(900), beat(901, 400), beat(905, 400)]
    new: list[AnyEvent] = [
        start(1, pid=2),
        beat(2, 1, pid=2),
        start(3, pid=2),
        beat(4, 2, pid=2),
        beat(5, 2, pid=2),
        beat(6, 2, pid=2),
    ]
    assert watch.see(old + new) == []


def test_after_shedding_it_begins_anew() -> None:
    watch = LossWatch()
    watch.see([start(1), beat(2, 1)])
    watch.forget()
    assert watch.see([beat(10, 50), beat(11, 50), beat(12, 50), beat(13, 50)]) == []


def test_memory_is_bounded() -> None:
    watch = LossWatch()
    watch.see([start(n) for n in range(1, 2 * STARTS)])
    assert all(len(watched.starts) <= STARTS for watched in watch._watched.values())
    watch.see([start(1, host=f"w{n}@h") for n in range(6_000)])
    assert len(watch._watched) <= 5_000


@given(streams(), st.integers(1, 5), st.data())
def test_restarts_of_the_collector_forget_nothing(
    made: tuple[list[tuple[AnyEvent, bool]], int], size: int, data: st.DataObject
) -> None:
    stream, lost = made
    watch, reckoned = LossWatch(), 0
    kept = [event for event, gone in stream if not gone]
    stored = Worker("w@h", 1)
    for i in range(0, len(kept), size):
        if data.draw(st.booleans(), label="restart"):
            watch = LossWatch()
            watch.restore([stored])
        reckoned += sum(entry.count for entry in watch.see(kept[i : i + size]))
        join_workers(stored, Worker("w@h", 1, tally=watch.tally(("w@h", 1))))
    # A heartbeat that waited to be judged is forgotten by a restart: its span is judged with the one after it.
    assert reckoned <= lost * EVENTS_OF_A_RUN
    closing = [beat(10_000 + n, processed_of(stream)) for n in range(3)]
    reckoned += sum(entry.count for entry in watch.see(closing))
    assert reckoned == lost * EVENTS_OF_A_RUN


def processed_of(stream: list[tuple[AnyEvent, bool]]) -> int:
    """What the worker has counted in the end."""
    return max(e.processed or 0 for e, _ in stream if isinstance(e, WorkerHeartbeat))


def test_a_restart_after_shedding_begins_anew_too() -> None:
    watch = LossWatch()
    stored = Worker("w@h", 1)
    watch.see([start(1), beat(2, 1)])
    join_workers(stored, Worker("w@h", 1, tally=watch.tally(("w@h", 1))))
    watch.forget()
    join_workers(stored, Worker("w@h", 1, tally=watch.tally(("w@h", 1))))
    again = LossWatch()
    again.restore([stored])
    assert again.see([beat(n, 50) for n in range(10, 16)]) == []
