"""The metrics page."""

from __future__ import annotations

from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

from tests.web import events
from tests.web.stage import Stage, Unreadable
from umbel.metrics import names
from umbel.metrics.names import Measured, Snapshot
from umbel.metrics.prometheus import render
from umbel.model.event import AnyEvent, EventClass, TaskFailed, TaskReceived, TaskSent, TaskStarted, TaskSucceeded
from umbel.model.gather import gather
from umbel.model.ledger import LedgerEntry, Reason
from umbel.model.meter import Metering, Meters, Pair, extend
from umbel.settings import Settings
from umbel.stores.pairs import Pairs


def snapshot(**changes: object) -> Snapshot:
    values: dict[str, object] = {
        "received": 10,
        "stored": 7,
        "discarded": {(Reason.SPOOL_FULL, EventClass.HEARTBEAT): 2},
        "missed_estimate": {"w1@a": 4},
        "lag_seconds": 1.5,
        "spool_bytes": 100,
        "spool_limit": 1000,
        "connected": True,
        "reconnects": 3,
        "commit_seconds": 0.02,
        "workers": [("w1@a", True, 2)],
    }
    return Snapshot(**values | changes)  # type: ignore[arg-type]


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_declared_metric_is_on_the_page_with_its_help() -> None:
    body, content_type = render(snapshot())
    text = body.decode()
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    for name, (kind, help_) in names.HELP.items():
        assert f"# HELP {name} {help_}\n" in text
        assert f"# TYPE {name} {kind}\n" in text


def test_the_numbers_are_those_of_the_snapshot() -> None:
    found = samples(render(snapshot())[0].decode())
    assert found[names.RECEIVED, ()] == 10
    assert found[names.STORED, ()] == 7
    assert found[names.DISCARDED, (("event_class", "heartbeat"), ("reason", "spool_full"))] == 2
    assert found[names.MISSED, (("worker", "w1@a"),)] == 4
    assert found[names.LAG, ()] == 1.5
    assert found[names.SPOOL, ()] == 100
    assert found[names.SPOOL_LIMIT, ()] == 1000
    assert found[names.CONNECTED, ()] == 1
    assert found[names.RECONNECTS, ()] == 3
    assert found[names.COMMIT, ()] == 0.02
    assert found[names.WORKER_ONLINE, (("worker", "w1@a"),)] == 1
    assert found[names.WORKER_RUNNING, (("worker", "w1@a"),)] == 2
    assert found["process_start_time_seconds", ()] > 0


def test_at_most_200_workers_have_series_of_their_own_and_nothing_is_left_out_of_the_sums() -> None:
    fleet = [(f"w{number}@a", number < 900, 2) for number in range(1_000)]
    missed = {f"w{number}@a": number for number in range(1_000)}
    body = render(snapshot(workers=fleet, missed_estimate=missed))[0]
    found = samples(body.decode())
    for name, total in ((names.WORKER_ONLINE, 900), (names.WORKER_RUNNING, 2_000), (names.MISSED, sum(range(1_000)))):
        series = {labels[0][1]: value for (metric, labels), value in found.items() if metric == name}
        assert len(series) == 201
        assert "other" in series
        assert sum(series.values()) == total
    assert ("w999@a" in {labels[0][1] for (metric, labels) in found if metric == names.MISSED}) is True
    assert len(body) < 100_000


def test_ten_thousand_names_and_two_thousand_workers_make_a_page_of_less_than_2_mb() -> None:
    """And what is summed stays whole; a publisher is no worker beyond the bound either."""
    metering, pairs, meters = Metering(), Pairs([]), Meters()
    names_, workers = 10_000, [f"celery@worker-{n:04}.shop.svc.cluster.local" for n in range(2_000)]
    totals: dict[Pair, dict[str, tuple[int, float]]] = {}
    for start in range(0, names_, 1_000):
        batch = gather([one for n in range(start, start + 1_000) for one in _ended(n, workers[n % len(workers)])])
        for pair, counters in pairs.place(metering.count(batch), events.T)[0].items():
            extend(pair[0], totals.setdefault(pair, {}), counters)
    for pair, counters in totals.items():
        for label, (count, seconds) in counters.items():
            meters.add(pair, label, count, seconds)
    held = {(_name(n), workers[n % len(workers)]): 1 for n in range(5_000)}
    queues = [(f"queue-{n}", 1, 1, 1) for n in range(1_000)]
    measured = Measured(meters, held, queues, dict.fromkeys(workers, 8), buckets=Settings().task_runtime_metric_buckets)
    fleet = [(worker, True, 8) for worker in workers]
    body = render(snapshot(workers=fleet, missed_estimate=dict.fromkeys(workers, 1), measured=measured))[0]
    assert len(body) < 2_000_000
    sums: Counter[str] = Counter()
    for (name, labels), value in samples(body.decode()).items():
        told = dict(labels)
        sums[f"{name} {told.get('type', '')}".strip()] += int(value)
        assert told.get("type") != "task-sent" or told["worker"] == ""
    assert sums["flower_events_total task-sent"] == sums["flower_events_total task-started"] == names_
    assert sums["flower_task_runtime_seconds_count"] == sums["umbel_task_failures_total"] == names_ / 2
    assert sums["umbel_task_wait_seconds_count"] == names_
    assert sums["flower_worker_prefetched_tasks"] == 5_000
    assert sums["umbel_queue_messages_ready"] == 1_000


def _name(number: int) -> str:
    return f"shop.orders.tasks.process_order_of_customer_{number}"


def _ended(number: int, worker: str) -> list[AnyEvent]:
    """A task with a name and a queue of its own."""
    id_, name, at = f"id-{number}", _name(number), events.T
    sent = TaskSent(hostname="gen1@web", timestamp=at, pid=1, uuid=id_, name=name, queue=f"queue-{number}")
    received = TaskReceived(hostname=worker, timestamp=at + 1, pid=7, uuid=id_, name=name)
    started = TaskStarted(hostname=worker, timestamp=at + 2, pid=7, uuid=id_)
    ended: AnyEvent = TaskSucceeded(hostname=worker, timestamp=at + 3, pid=7, uuid=id_, runtime=1.0)
    if number % 2:
        ended = TaskFailed(hostname=worker, timestamp=at + 3, pid=7, uuid=id_, exception=f"Error{number}('no')")
    return [sent, received, started, ended]


def test_names_of_workers_are_escaped() -> None:
    strange = 'w"1\\\n@a'
    found = samples(render(snapshot(workers=[(strange, True, 0)]))[0].decode())
    assert found[names.WORKER_ONLINE, (("worker", strange),)] == 1


def test_the_page_tells_what_the_store_holds(stage: Stage) -> None:
    stage.clock.step(events.T - stage.clock.now())
    missed = LedgerEntry(Reason.NOT_SENT, EventClass.RUNNING, events.T, events.T, 6, estimated=True, worker="w1@shop")
    stage.commit(
        [events.online(), events.heartbeat(), events.heartbeat(pid=8, active=4), *events.success("a")],
        discarded={(Reason.MALFORMED, EventClass.UNKNOWN): 2},
        ledger=[missed],
    )
    stage.well()
    with stage.client() as client:
        answer = client.get("/metrics")
    found = samples(answer.text)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert found[names.RECEIVED, ()] == 9
    assert found[names.STORED, ()] == 7
    assert found[names.DISCARDED, (("event_class", "unknown"), ("reason", "malformed"))] == 2
    assert found[names.MISSED, (("worker", "w1@shop"),)] == 6
    assert found[names.CONNECTED, ()] == 1
    assert found[names.RECONNECTS, ()] == 2
    # The two processes of one worker are one series.
    assert found[names.WORKER_RUNNING, (("worker", "w1@shop"),)] == 7
    assert found[names.WORKER_ONLINE, (("worker", "w1@shop"),)] == 1


def test_a_store_that_was_never_read_gives_no_zeros(stage: Stage) -> None:
    """They would look like a restart of every counter."""
    stage.reader = Unreadable()
    with stage.client() as client:
        answer = client.get("/metrics")
    assert answer.status_code == 503
    assert answer.text == "The store cannot be read: disk I/O error\n"
