"""What each kind of rule finds in a store, at a broker and in a plan, and what it refuses to judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.web.events import failed, heartbeat, received, sent, started, succeeded
from tests.web.stage import Stage
from umbel.alerts.machine import Reading
from umbel.alerts.records import Known
from umbel.alerts.rules import read_rule, span
from umbel.brokers.base import QueueDepth
from umbel.control.schedules import Plan, Planned
from umbel.errors import BrokerError
from umbel.model.event import EventClass, WorkerOffline
from umbel.model.ledger import LedgerEntry, Reason
from umbel.watch.measure import measure
from umbel.watch.sight import Look


class Queues:
    """A broker that holds so much in each queue, or does not answer."""

    delayed: Sequence[str] = ()

    def __init__(self, ready: dict[str, int] | None) -> None:
        self.ready = ready

    def depths(self, names: Sequence[str]) -> Sequence[QueueDepth]:
        if self.ready is None:
            raise BrokerError("the broker is away")
        return [QueueDepth(name, self.ready[name]) for name in names if name in self.ready]

    def close(self) -> None: ...


def read(stage: Stage, on: str, known: dict[str, Known] | None = None, **keys: Any) -> Reading:
    rule = read_rule({"name": "r", "on": on, **keys}, "a.toml")
    return measure(rule, Look(stage.deps(), stage.clock.now(), known or {}))


@pytest.fixture(autouse=True)
def shop(stage: Stage) -> None:
    """A minute ago: three payments of which two failed after 9 s, and one mail that succeeded after 1 s."""
    now = stage.clock.now() - 60
    events = []
    for id_, name, end, run in (("p1", "shop.pay", failed, 9), ("p2", "shop.pay", failed, 9),
                                ("p3", "shop.pay", succeeded, 9), ("m1", "mail.send", succeeded, 1)):  # fmt: skip
        start = received(id_, now - run - 1, name=name)
        events += [sent(id_, now - run - 2, name=name), start, started(id_, now - run), end(id_, now)]
    stage.commit(events)
    stage.well()


def test_a_search_counts_within_its_span_and_shows_by_how_much_it_is_over(stage: Stage) -> None:
    reading = read(stage, "search", search="state:FAILURE", over=1)
    assert reading.found[""].detail == "2 in 10m, over 1"
    assert reading.found[""].query.startswith("(state:FAILURE) (finished:>-10m OR ")
    assert not read(stage, "search", search="state:FAILURE", over=2).found
    stage.clock.advance(600)
    stage.well()
    assert not read(stage, "search", search="state:FAILURE", over=0).found
    assert read(stage, "search", search="state:SUCCESS", under=1).found[""].detail == "0 in 10m, fewer than 1"


def test_failures_are_judged_by_name_or_all_together_and_only_where_enough_ended(stage: Stage) -> None:
    reading = read(stage, "failures", over=60, at_least=3)
    assert {key: found.detail for key, found in reading.found.items()} == {"shop.pay": "66.7 % fail (2 of 3 in 10m)"}
    assert reading.found["shop.pay"].query == 'state:FAILURE finished:>-10m name:="shop.pay"'
    assert list(read(stage, "failures", over=40, at_least=3, per="all").found) == [""]
    assert not read(stage, "failures", over=60, at_least=4).found
    assert not read(stage, "failures", over=60, at_least=1, task="mail.*").found


def test_latency_is_a_percentile_of_wait_or_run(stage: Stage) -> None:
    reading = read(stage, "latency", over="5s", at_least=1)
    assert list(reading.found) == ["shop.pay"]
    assert reading.found["shop.pay"].query == 'run:>5s finished:>-10m name:="shop.pay"'
    now = stage.clock.now()
    stage.commit([sent("q1", now - 70), started("q1", now - 60)])
    assert read(stage, "latency", over="5s", at_least=1, of="wait").found["shop.pay"].weight == pytest.approx(
        10, rel=0.03
    )
    assert "too few" in read(stage, "latency", over="5s").now


def test_queues_are_judged_by_what_waits_and_for_how_long_while_they_are_not_empty(stage: Stage) -> None:
    stage.commit([sent("w1", stage.clock.now() - 900)])
    stage.queues = Queues({"mail": 7, "celery": 0})
    assert list(read(stage, "queue", over=6).found) == ["mail"]
    assert not read(stage, "queue", over=6, queue="cel*").found
    assert (
        read(stage, "queue_age", over="10m").found["mail"].detail == "a task has waited for 15 m 00 s, over 10 m 00 s"
    )
    assert not read(stage, "queue_age", over="20m").found
    stage.queues = Queues({"mail": 0})
    assert not read(stage, "queue_age", over="10m").found
    stage.queues = Queues(None)
    assert read(stage, "queue", over=6).error == "the broker is away"
    stage.queues = None
    assert "--broker" in read(stage, "queue", over=6).error


def test_a_worker_that_fell_silent_is_gone_and_one_that_said_goodbye_is_not(stage: Stage) -> None:
    now = stage.clock.now()
    stage.commit([heartbeat("a@x", now), heartbeat("b@x", now), heartbeat("c@x", now)])
    stage.commit([WorkerOffline(hostname="b@x", timestamp=now + 1, pid=7)])
    stage.clock.advance(100)
    stage.commit([heartbeat("c@x", stage.clock.now())])
    stage.well()
    assert list(read(stage, "worker").found) == ["a@x"]
    assert read(stage, "worker").found["a@x"].path == "/workers/a@x"
    assert not read(stage, "worker", worker="b*").found
    stage.clock.advance(4_000)
    stage.well()
    assert not read(stage, "worker", worker="a*").found


def test_while_umbel_is_blind_nothing_is_taken_for_missing_and_umbel_itself_fires(stage: Stage) -> None:
    stage.commit([heartbeat("a@x", stage.clock.now())])
    stage.clock.advance(100)
    for keys in ({"on": "worker"}, {"on": "schedule"}, {"on": "search", "search": "name:no", "under": 1}):
        assert "capture does not run" in read(stage, **keys).error
    assert {"receiver", "collector"} <= set(read(stage, "umbel").found)
    stage.well()
    assert not read(stage, "umbel").found
    assert not read(stage, "worker").error


def test_an_entry_of_beat_that_is_due_and_has_not_run_is_missed(stage: Stage) -> None:
    now = stage.clock.now()
    late = Planned("nightly", "shop.report", "app", "0 * * * *", None, (now - 50,), now + 3_000)
    stage.plan = lambda _now: Plan([late], ["beat_schedule of proj"], [])
    assert read(stage, "schedule", over="40s").found["nightly"].detail.startswith("shop.report was due 50.0 s ago")
    assert not read(stage, "schedule").found


def test_losses_and_new_kinds_of_failure_are_told_for_as_long_as_their_span(stage: Stage) -> None:
    now = stage.clock.now()
    stage.commit(ledger=[LedgerEntry(Reason.DISCONNECTED, EventClass.UNKNOWN, now - 9, now - 5, 40, estimated=True)])
    assert read(stage, "events").found["disconnected"].detail == "about 40 events in 10m"
    assert not read(stage, "events", over=40).found
    known = {"old": Known(0.0), "f": Known(now - 10, "KeyError", "a.py in b", "KeyError('x')", "shop.pay", "p/1")}
    found = read(stage, "exception", known).found
    assert (list(found), found["f"].path) == (["f"], "/tasks/p%2F1")
    assert not read(stage, "exception", known, task="mail.*").found


@pytest.mark.parametrize(
    ("seconds", "text"), [(86_400, "1d"), (90_000, "25h"), (600, "10m"), (90, "90s"), (0.5, "0.5s")]
)
def test_spans_are_written_as_searches_write_them(seconds: float, text: str) -> None:
    assert span(seconds) == text
