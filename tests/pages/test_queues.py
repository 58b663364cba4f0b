"""What the page of queues says, of a broker that answers and of one that does not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.web.events import T, sent, success
from tests.web.stage import Stage
from umbel import status
from umbel.brokers.base import QueueDepth
from umbel.errors import BrokerError
from umbel.web.pages import queues
from umbel.web.pages.queued import UNTOLD, Queued, queued


class Depths:
    """A broker with these queues, or one that refuses."""

    delayed: Sequence[str] = ()

    def __init__(self, *known: QueueDepth, problem: str = "") -> None:
        self.known = known
        self.problem = problem

    def depths(self, names: Sequence[str]) -> Sequence[QueueDepth]:
        if self.problem:
            raise BrokerError(self.problem)
        return [depth for depth in self.known if depth.name in names]

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def now(stage: Stage) -> float:
    """A little after what the events say."""
    stage.clock.step(T + 30 - stage.clock.now())
    stage.well()
    return stage.clock.now()


def rows(stage: Stage) -> dict[str, queues.Row]:
    return {row.name: row for row in queues.load(stage.deps(), {}).rows}


def test_a_queue_that_ends_more_than_arrives_says_when_it_is_empty(stage: Stage, now: float) -> None:
    for n in range(12):
        stage.commit(success(f"done-{n}"))
    stage.clock.advance(32)
    for n in range(6):
        stage.commit([sent(f"new-{n}", T + 50)])
    stage.queues = Depths(QueueDepth("mail", ready=30, unacked=2, consumers=1))
    mail = rows(stage)["mail"]
    assert (mail.arriving.value, mail.ending.value) == (0.1, 0.2)
    assert queues.row_of(stage.deps(), QueueDepth("mail", ready=30)).drained_in == mail.drained_in
    assert mail.drained_in == pytest.approx(300)
    assert not mail.grows
    assert mail.oldest is not None
    assert mail.oldest.id == "new-0"


def test_a_queue_that_grows_says_so(stage: Stage, now: float) -> None:
    stage.commit([sent("a"), sent("b")])
    stage.queues = Depths(QueueDepth("mail", ready=2))
    assert (rows(stage)["mail"].grows, rows(stage)["mail"].drained_in) == (True, None)


def test_a_queue_that_keeps_pace_neither_grows_nor_drains(stage: Stage, now: float) -> None:
    for n in range(50):
        stage.commit(success(f"done-{n}"))
    # The one task more that was sent in this minute is under way.
    stage.commit([sent("under-way")])
    stage.queues = Depths(QueueDepth("mail", ready=1))
    assert (rows(stage)["mail"].grows, rows(stage)["mail"].drained_in) == (False, None)


def test_an_empty_queue_neither_grows_nor_drains(stage: Stage, now: float) -> None:
    stage.commit([sent("a")])
    stage.queues = Depths(QueueDepth("mail", ready=0))
    assert (rows(stage)["mail"].grows, rows(stage)["mail"].drained_in) == (False, None)
    # Whatever became of it, it does not wait there.
    assert rows(stage)["mail"].oldest is None
    stage.queues = Depths(QueueDepth("mail", ready=None))
    assert rows(stage)["mail"].oldest is not None


def test_priority_steps_are_shown_only_where_they_are_used(stage: Stage, now: float) -> None:
    stage.commit([sent("a"), sent("b", queue="slow")])
    stage.queues = Depths(
        QueueDepth("mail", ready=3, by_priority=((0, 1), (3, 2), (6, 0), (9, 0))),
        QueueDepth("slow", ready=1, by_priority=((0, 1), (3, 0), (6, 0), (9, 0))),
    )
    with stage.client() as client:
        text = client.get("/queues").text
    assert text.count("priority 3: 2") == 1
    assert text.count("priority 0:") == 1


@pytest.mark.parametrize("depths", [None, Depths(problem="connection refused")])
def test_without_the_broker_the_page_says_why_and_shows_what_the_events_tell(
    stage: Stage, now: float, depths: Depths | None
) -> None:
    stage.commit(success("a"))
    stage.queues = depths
    with stage.client() as client:
        answer = client.get("/queues")
    assert answer.status_code == 200
    assert "The broker does not tell how much waits" in answer.text
    assert 'id="q-mail"' in answer.text


def test_tasks_that_wait_for_their_time_are_told_apart_and_asked_for_only_where_there_are_such(
    stage: Stage, now: float
) -> None:
    class Delaying(Depths):
        delayed: Sequence[str] = ("celery_delayed_0", "celery_delayed_1")

    stage.commit(success("done"))
    known = [QueueDepth("celery", 2), QueueDepth("celery_delayed_0", 3), QueueDepth("celery_delayed_1", 4)]
    stage.queues = Delaying(*known)
    found = queues.load(stage.deps(), {})
    assert (found.delayed, found.ready, [row.name for row in found.rows if row.depth]) == (7, 2, ["celery"])
    stage.queues = Depths(*known)
    assert queues.load(stage.deps(), {}).delayed is None


def test_the_overview_says_how_much_waits_only_while_the_broker_answers(stage: Stage, now: float) -> None:
    stage.commit(success("a"))
    stage.queues = Depths(QueueDepth("mail", ready=1_234, unacked=2, consumers=1), QueueDepth("celery", 0, 0, 0))
    with stage.client() as client:
        page = client.get("/").text
    assert "1,234 in mail" in page
    assert queued(stage.deps()) == Queued(1_234, ("mail", 1_234))
    stage.queues = Depths(problem="gone")
    assert queued(stage.deps()) == UNTOLD
    stage.says("receive", {status.CONNECTED: 0.0, status.SINCE: 0.0})
    stage.queues = Depths(QueueDepth("mail", ready=1, unacked=0, consumers=1))
    assert queued(stage.deps()) == UNTOLD
    stage.queues = None
    with stage.client() as client:
        assert "the broker does not tell" in client.get("/").text


def test_consumers_are_the_brokers_word_and_else_the_workers(stage: Stage, now: float) -> None:
    stage.commit([*success("one"), sent("two", T + 1)])
    stage.queues = Depths(QueueDepth("mail", ready=3), QueueDepth("celery", ready=1, consumers=5))
    found = {row.name: row.depth for row in queues.load(stage.deps(), {"mail": 2, "celery": 1}).rows}
    told = {name: depth.consumers for name, depth in found.items() if depth is not None}
    assert told == {"mail": 2, "celery": 5}
    assert rows(stage)["mail"].depth == QueueDepth("mail", ready=3)
