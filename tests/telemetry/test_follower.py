"""From ended tasks to a receiver: at least once, whatever is away meanwhile, and never more than was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.support.otlp import Receiver, attributes
from tests.web import events
from tests.web.stage import Stage, Unreadable
from umbel.endings import EndingsReader, EndingsWriter
from umbel.model.spans import Sampler, span_id, trace_id
from umbel.runtime.stores import open_reader
from umbel.stores.base import StoreReader
from umbel.telemetry.otlp import OtlpSpans
from umbel.tracing import PATIENCE, RETRY, SETTLE, Follower


class Rig:
    """A store, the queue, and a follower over them."""

    def __init__(self, stage: Stage, sampler: Sampler) -> None:
        self.stage = stage
        stage.commit()
        self.writer = EndingsWriter(stage.directory / "endings")
        self.reader: StoreReader = open_reader(stage.settings, stage.clock)
        self.sink = OtlpSpans("shop", timeout=2.0)
        self.sampler = sampler
        self.follower = self.again()

    def again(self) -> Follower:
        """As after a restart."""
        reader = EndingsReader(self.stage.directory / "endings")
        self.follower = Follower(reader, self.reader, self.sink, self.sampler, self.stage.clock)
        return self.follower

    def end(self, *ids: str, fails: bool = False) -> None:
        """As the collector does it: noted, then committed."""
        self.writer.note(self.stage.clock.now(), ids)
        last = events.failed if fails else events.succeeded
        self.stage.commit([event for id_ in ids for event in (events.received(id_), events.started(id_), last(id_))])

    def turns(self) -> None:
        """Until nothing waits that could be sent now."""
        for _ in range(50):
            wait = self.follower.turn()
            if wait:
                self.stage.clock.advance(wait)
            if wait == 0.5 and not self.follower.progress.error:
                return
        raise AssertionError(self.follower.progress)

    def close(self) -> None:
        self.reader.close()
        self.sink.close()


@pytest.fixture
def rig(stage: Stage, receiver: Receiver) -> Iterator[Rig]:
    made = Rig(stage, Sampler(1.0))
    yield made
    made.close()


def test_tasks_arrive_with_ids_that_follow_from_theirs(rig: Rig, receiver: Receiver) -> None:
    rig.end("a", "b")
    rig.turns()
    assert rig.follower.progress.sent == 2
    resource, task = next((told, span) for told, span in receiver.spans if span.span_id == span_id("a"))
    assert (resource["service.name"], resource["telemetry.sdk.language"]) == ("shop", "python")
    assert (task.name, task.trace_id, task.parent_span_id) == ("shop.pay", trace_id("root-1"), span_id("parent-1"))
    assert task.end_time_unix_nano - task.start_time_unix_nano == 2_500_000_000
    assert attributes(task.attributes)["celery.state"] == "SUCCESS"
    assert len(receiver.spans) == 6
    assert b"42" not in b"".join(span.SerializeToString() for _, span in receiver.spans), "no arguments"


def test_a_failure_has_status_and_exception(rig: Rig, receiver: Receiver) -> None:
    rig.end("a", fails=True)
    rig.turns()
    (run,) = receiver.named("process shop.pay")
    assert (run.status.code, run.status.message) == (2, "ValueError('no')")
    assert run.kind == 5
    assert attributes(run.events[0].attributes)["exception.stacktrace"] == "Traceback: no"


def test_only_what_the_sampler_wants_is_sent(stage: Stage, receiver: Receiver) -> None:
    rig = Rig(stage, Sampler(0.0))
    rig.end("fine")
    rig.end("broken", fails=True)
    rig.turns()
    rig.close()
    assert {attributes(span.attributes)["messaging.message.id"] for _, span in receiver.spans} == {"broken"}
    assert {attributes(span.attributes)["umbel.kept"] for span in receiver.named("shop.pay")} == {"failure"}
    assert (rig.follower.progress.sent, rig.follower.progress.dropped) == (1, 0)


def test_what_a_receiver_that_is_away_did_not_take_is_sent_once_it_is_back_also_after_a_restart(
    rig: Rig, receiver: Receiver
) -> None:
    receiver.status = 503
    rig.end("a")
    rig.stage.clock.advance(SETTLE)
    assert rig.follower.turn() >= RETRY
    assert "does not answer" in rig.follower.progress.error
    rig.again()
    receiver.status = 200
    rig.turns()
    assert [span.span_id for span in receiver.named("shop.pay")] == [span_id("a")]
    rig.again()
    rig.turns()
    assert len(receiver.named("shop.pay")) == 1, "what was taken does not come again"


def test_what_the_receiver_refuses_for_good_is_counted_and_holds_nothing_back(rig: Rig, receiver: Receiver) -> None:
    receiver.status = 400
    rig.end("a")
    rig.turns()
    receiver.status = 200
    rig.end("b")
    rig.turns()
    assert (rig.follower.progress.dropped, rig.follower.progress.sent) == (1, 1)


def test_an_end_that_is_not_committed_yet_is_waited_for(rig: Rig, receiver: Receiver) -> None:
    id_ = str(uuid4())
    rig.stage.clock.advance(1.0)
    rig.writer.note(rig.stage.clock.now(), [id_])
    rig.stage.clock.advance(PATIENCE * 3)
    for _ in range(3):
        assert rig.follower.turn() == RETRY
        rig.stage.clock.advance(RETRY)
    assert "has not taken" in rig.follower.progress.error
    rig.stage.commit([events.received(id_), events.started(id_), events.succeeded(id_)])
    rig.turns()
    assert (rig.follower.progress.sent, rig.follower.progress.dropped) == (1, 0)


def test_an_end_that_never_comes_is_counted_and_holds_nothing_back_for_long(rig: Rig, receiver: Receiver) -> None:
    rig.writer.note(rig.stage.clock.now(), ["quarantined"])
    rig.end("b")
    began = rig.stage.clock.now()
    rig.turns()
    assert rig.stage.clock.now() - began < 2 * PATIENCE
    assert (rig.follower.progress.sent, rig.follower.progress.dropped) == (1, 1)


def test_a_store_that_cannot_be_read_loses_nothing(rig: Rig, receiver: Receiver) -> None:
    rig.end("a")
    rig.stage.clock.advance(SETTLE)
    good, rig.reader = rig.reader, Unreadable()
    assert rig.again().turn() > 0
    assert "disk I/O error" in rig.follower.progress.error
    rig.reader = good
    rig.again()
    rig.turns()
    assert rig.follower.progress.sent == 1


def test_a_clock_that_was_put_back_stops_nothing(rig: Rig, receiver: Receiver) -> None:
    rig.end("a")
    rig.stage.clock.step(-3_600)
    rig.turns()
    assert rig.follower.progress.sent == 1
