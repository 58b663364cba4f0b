"""What the shop's customers and clerks do, on a clock that runs as fast as the test."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.clock import ManualClock
from umbel.demo.pace import orders_per_second
from umbel.demo.producer import FULL, Producer
from umbel.demo.shop import app
from umbel.demo.world import WORKERS


@dataclass
class Record:
    """Writes down what is asked of it."""

    clock: ManualClock = field(default_factory=ManualClock)
    sent: list[tuple[float, str, str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    revoked: list[tuple[float, str, bool]] = field(default_factory=list)
    length: int = 0

    def send(self, task: str, task_id: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        self.sent.append((self.clock.monotonic(), task, task_id, args, options))

    def revoke(self, task_id: str, *, terminate: bool) -> None:
        self.revoked.append((self.clock.monotonic(), task_id, terminate))

    def waiting(self) -> int:
        return self.length

    def times(self, task: str, start: float = 0.0, end: float = float("inf")) -> list[float]:
        return [at for at, name, *_ in self.sent if name == task and start <= at < end]


def play(seconds: float = 300.0, **options: Any) -> Record:
    record = Record()
    Producer(record, clock=record.clock, **options).run(seconds)
    return record


@pytest.fixture(scope="module")
def record() -> Record:
    return play()


def test_the_same_seed_gives_the_same_tasks() -> None:
    assert play(60.0).sent == play(60.0).sent
    assert play(60.0, seed=8).sent != play(60.0).sent


def test_every_task_is_one_of_the_shop_and_some_worker_listens_to_its_queue(record: Record) -> None:
    listened = {queue for _, queues, _ in WORKERS for queue in queues.split(",")}
    assert {name for _, name, *_ in record.sent} <= app.tasks.keys()
    for name in app.tasks:
        assert app.amqp.router.route({}, name)["queue"].name in listened, name


def test_arguments_are_what_json_can_carry(record: Record) -> None:
    for _, _, _, args, _ in record.sent:
        assert json.loads(json.dumps(args)) == json.loads(json.dumps(list(args)))


def test_no_task_id_is_given_twice(record: Record) -> None:
    ids = [task_id for _, _, task_id, *_ in record.sent]
    assert len(ids) == len(set(ids))


def test_orders_come_at_about_the_rate_and_three_times_as_many_in_the_rush(record: Record) -> None:
    usual = len(record.times("shop.orders.place", 0, 40)) / 40
    rushes = [len(record.times("shop.orders.place", minute + 40, minute + 48)) / 8 for minute in range(0, 300, 60)]
    assert 3.0 < usual < 5.0
    assert 9.0 < sum(rushes) / len(rushes) < 15.0


@given(st.floats(0, 1e6), st.floats(0.1, 200))
def test_the_pace_stays_within_wave_and_rush(elapsed: float, rate: float) -> None:
    assert 0.69 * rate < orders_per_second(elapsed, rate) < 3.91 * rate


def test_a_year_is_always_being_archived(record: Record) -> None:
    """One takes at least 20 seconds, so no gap between two may be longer."""
    times = [*record.times("shop.reports.archive_year"), 300.0]
    assert times[0] < 1.0
    assert max(after - before for before, after in pairwise(times)) < 20.0


def test_a_supplier_is_always_away(record: Record) -> None:
    """The first try always fails and waits at least 20 seconds for the second."""
    times = [*record.times("shop.stock.fetch_prices"), 300.0]
    assert times[0] < 1.0
    assert max(after - before for before, after in pairwise(times)) < 20.0


def test_one_waiting_report_is_revoked_and_one_rebuild_terminated(record: Record) -> None:
    sent = {task_id: (at, name, options) for at, name, task_id, _, options in record.sent}
    kinds = set()
    for at, task_id, terminate in record.revoked:
        sent_at, name, options = sent[task_id]
        kinds.add((name, terminate))
        if terminate:
            assert at - sent_at >= 4.0
        else:
            assert at - sent_at < options["countdown"]
    assert kinds == {("shop.reports.daily_sales", False), ("shop.search.rebuild", True)}


def test_one_reminder_expires_before_its_hour(record: Record) -> None:
    options = [options for _, name, _, _, options in record.sent if name == "shop.mail.remind_of_basket"]
    assert options
    assert all(option["expires"] < option["countdown"] for option in options)


def test_one_task_has_huge_arguments(record: Record) -> None:
    assert max(len(json.dumps(args)) for _, _, _, args, _ in record.sent) > 200_000


def test_no_more_orders_are_taken_while_too_many_wait() -> None:
    record = Record(length=FULL)
    Producer(record, clock=record.clock).run(30.0)
    assert record.times("shop.orders.place", 1.0) == []
    assert record.times("shop.reports.archive_year") != []


def test_what_a_sleeping_machine_missed_is_not_made_up_for() -> None:
    record = Record()
    producer = Producer(record, clock=record.clock)
    producer.run(10.0)
    record.clock.advance(3_600.0)
    before = len(record.sent)
    producer.run(3_611.0)
    assert len(record.sent) - before < 40
