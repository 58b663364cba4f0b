"""The pipeline's view, and the judgement about it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.web import events
from tests.web.stage import Stage, Unreadable
from umbel import status
from umbel.model.event import EventClass
from umbel.model.ledger import Books, Reason
from umbel.stores.base import StoreState
from umbel.web.readiness import Level, judge

LOST = {(Reason.SPOOL_FULL, EventClass.HEARTBEAT): 5, (Reason.MALFORMED, EventClass.UNKNOWN): 2}


def told(**changes: Any) -> StoreState:
    values: dict[str, Any] = {
        "books": Books(received=107, stored=100, discarded=LOST, missed_estimate={"w1": 3, "": 4}),
        "tasks": 30,
        "bytes": 4096,
        "committed_at": 0.0,
        "commit_seconds": 0.02,
        "captured_at": 0.0,
        "set_aside": (),
        "quarantined": 2,
    }
    return StoreState(**values | changes)


def test_the_books_are_those_of_the_store_and_what_waits_before_it(stage: Stage) -> None:
    stage.reader = Unreadable(told())
    stage.well()
    stage.says("collect", {status.BACKLOG: 11.0, status.COMMITTED_AT: stage.clock.now()})
    pipeline = stage.deps().pipeline()
    assert (pipeline.received, pipeline.stored, pipeline.in_flight) == (118, 100, 11)
    assert pipeline.discarded_total == 7
    assert pipeline.discarded_by_reason == {"spool_full": 5, "malformed": 2}
    assert pipeline.missed_total == 7
    assert pipeline.received == pipeline.stored + pipeline.discarded_total + pipeline.in_flight
    assert pipeline.balanced


def test_books_of_the_store_that_do_not_balance_are_said(stage: Stage) -> None:
    stage.reader = Unreadable(told(books=Books(received=9, stored=5)))
    stage.well()
    assert not stage.deps().pipeline().balanced
    assert judge(stage.deps().pipeline(), stage.clock.now()).checks["books"].status is Level.DEGRADED


def test_the_books_of_a_real_store_balance(stage: Stage) -> None:
    stage.commit(events.success("a"), discarded=LOST)
    stage.well()
    pipeline = stage.deps().pipeline()
    assert (pipeline.received, pipeline.stored, pipeline.balanced) == (11, 4, True)
    assert pipeline.committed_at == stage.clock.now()


def test_a_view_is_used_again_for_half_a_second(stage: Stage) -> None:
    stage.commit(events.success("a"))
    deps = stage.deps()
    assert deps.pipeline().stored == 4
    stage.commit(events.success("b"))
    assert deps.pipeline().stored == 4
    stage.clock.advance(0.51)
    assert deps.pipeline().stored == 8


def test_who_asks_while_another_looks_gets_the_view_before(stage: Stage) -> None:
    """A store that hangs holds up one thread, not all of them."""
    reader = Unreadable(told())
    stage.reader = reader
    deps = stage.deps()
    before = deps.pipeline()
    stage.clock.advance(1.0)
    looking, go_on = threading.Event(), threading.Event()

    def hangs() -> StoreState:
        looking.set()
        assert go_on.wait(10)
        return told()

    reader.state = hangs  # type: ignore[method-assign]
    thread = threading.Thread(target=deps.pipeline)
    thread.start()
    assert looking.wait(10)
    assert deps.pipeline() is before
    go_on.set()
    thread.join(10)
    assert deps.pipeline() is not before


def test_the_last_counts_stay_when_the_store_cannot_be_read_any_more(stage: Stage) -> None:
    reader = Unreadable(told())
    stage.reader = reader
    deps = stage.deps()
    deps.pipeline()
    reader.state_told = None
    stage.clock.advance(1.0)
    pipeline = deps.pipeline()
    assert (pipeline.known, pipeline.stored, pipeline.store_error) == (True, 100, "disk I/O error")


def test_the_rate_is_that_of_commits(stage: Stage) -> None:
    deps = stage.deps()
    stage.commit(events.success("a"))
    assert deps.pipeline().rate is None
    stage.clock.advance(2.0)
    stage.commit([*events.success("b"), *events.success("c")])
    assert deps.pipeline().rate == 4.0


def test_lag_is_the_age_of_the_oldest_event_that_waits(stage: Stage) -> None:
    stage.reader = Unreadable(told())
    stage.says("collect", {status.OLDEST: stage.clock.now() - 12.5, status.BACKLOG: 1.0})
    assert stage.deps().pipeline().lag_seconds == 12.5


def test_nothing_is_said_about_a_connection_that_nobody_tells_of(stage: Stage) -> None:
    stage.reader = Unreadable(told())
    assert stage.deps().pipeline().connected is None


def test_a_stale_receiver_is_not_believed_to_be_connected(stage: Stage) -> None:
    stage.reader = Unreadable(told())
    stage.well()
    stage.says("receive", {status.CONNECTED: 1.0}, age=6.0)
    assert stage.deps().pipeline().connected is False


def test_a_collector_reading_the_spool_is_not_asked_about_the_broker(stage: Stage) -> None:
    stage.reader = Unreadable(told())
    stage.says("receive", {status.CONNECTED: 1.0}, age=6.0)
    stage.says("collect", {status.CONNECTED: 1.0})
    assert stage.deps().pipeline().connected is False


def test_without_a_receiver_the_collector_tells_of_the_broker_and_why_it_does_not_deliver(stage: Stage) -> None:
    stage.reader, stage.parts = Unreadable(told()), ("collect",)
    stage.says("collect", {status.CONNECTED: 0.0})
    stage.statuses["collect"].texts = {"broker_error": "connection refused"}
    deps = stage.deps()
    assert deps.pipeline().connected is False
    assert "connection refused" in deps.readiness().checks["broker"].detail


def test_a_collector_that_has_just_started_knows_what_waits(stage: Stage) -> None:
    stage.reader = Unreadable(told(committed_at=stage.clock.now() - 1_000))
    stage.says("collect", {status.BACKLOG: 50.0, status.COMMITTED_AT: 0.0})
    assert stage.deps().pipeline().in_flight == 50


def test_the_status_of_a_part_that_is_no_longer_used_is_left_out(stage: Stage) -> None:
    stage.reader = Unreadable(told())
    stage.parts = ("collect",)
    stage.well()
    stage.says("receive", {status.CONNECTED: 0.0}, age=600.0)
    assert [part.name for part in stage.deps().pipeline().parts] == ["collect"]


#: What is wrong, the check that says so, its level, words in it, and the whole's level.
TABLE: list[tuple[str, str, Level, str]] = [
    ("nothing", "store", Level.OK, "30 tasks"),
    ("store unreadable", "store", Level.DOWN, "disk I/O error"),
    ("collector absent", "collector", Level.DOWN, "does not run"),
    ("collector silent", "collector", Level.DEGRADED, "nothing for 12 s"),
    ("collector long silent", "collector", Level.DOWN, "nothing for 31 s"),
    ("collector in trouble", "collector", Level.DEGRADED, "disk full"),
    ("receiver absent", "receiver", Level.DEGRADED, "does not run"),
    ("receiver silent", "receiver", Level.DEGRADED, "nothing for 12 s"),
    ("disconnected", "broker", Level.DEGRADED, "does not deliver for 3 s"),
    ("spool filling", "spool", Level.DEGRADED, "81% full"),
    ("lag", "lag", Level.DEGRADED, "10.5 s behind"),
    ("damage", "damage", Level.DEGRADED, "umbel.db.damaged-20261123T004100"),
]


@pytest.mark.parametrize(("wrong", "name", "level", "words"), TABLE, ids=[row[0] for row in TABLE])
def test_what_is_wrong_is_said_by_its_check(stage: Stage, wrong: str, name: str, level: Level, words: str) -> None:
    stage.well()
    now = stage.clock.now()
    set_aside = ("umbel.db.damaged-20261123T004100",) if wrong == "damage" else ()
    stage.reader = Unreadable(None if wrong == "store unreadable" else told(set_aside=set_aside))
    if wrong in ("collector absent", "receiver absent"):
        del stage.statuses["collect" if wrong.startswith("collector") else "receive"]
    elif wrong.endswith("silent"):
        stage.says("collect" if wrong.startswith("collector") else "receive", age=31.0 if "long" in wrong else 12.0)
    elif wrong == "collector in trouble":
        stage.says("collect", error="disk full")
    elif wrong == "disconnected":
        stage.says("receive", {status.CONNECTED: 0.0, status.SINCE: now - 3})
    elif wrong == "spool filling":
        stage.says("receive", {status.CONNECTED: 1.0, status.BUFFER: 81.0, status.BUFFER_LIMIT: 100.0})
    elif wrong == "lag":
        stage.says("collect", {status.BACKLOG: 9.0, status.OLDEST: now - 10.5})
    readiness = stage.deps().readiness()
    assert readiness.checks[name].status is level
    assert words in readiness.checks[name].detail
    assert readiness.status is level
    assert [check for check in readiness.trouble if check.status is level] == readiness.trouble


def test_the_spool_at_80_percent_and_a_lag_of_10_s_are_still_well(stage: Stage) -> None:
    stage.reader = Unreadable(told())
    stage.well()
    now = stage.clock.now()
    stage.says("receive", {status.CONNECTED: 1.0, status.BUFFER: 80.0, status.BUFFER_LIMIT: 100.0})
    stage.says("collect", {status.BACKLOG: 9.0, status.OLDEST: now - 10.0})
    assert stage.deps().readiness().status is Level.OK
