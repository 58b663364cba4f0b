"""`umbel up --trace-tasks` from the broker to a receiver, with the death of the part that sends in between."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.drills.checks import start
from tests.drills.load import Load, Publisher, envelope, events
from tests.support.environment import wait_until
from tests.support.otlp import Receiver
from tests.support.redis import RedisServer
from tests.support.umbel import UmbelProcess
from umbel.model.spans import span_id
from umbel.status import StatusBoard

TASKS = 60


@pytest.mark.slow
def test_every_task_is_traced_though_the_part_that_sends_is_killed(
    redis_factory: Callable[..., RedisServer],
    umbel_process: Callable[..., UmbelProcess],
    tmp_path: Path,
) -> None:
    with Receiver() as receiver:
        receiver.status = 503
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        }
        broker = redis_factory()
        umbel = start(
            broker, umbel_process, "--trace-tasks", "1", "--trace-self", "1", "--otel-metrics", env=environment
        )
        board = StatusBoard(tmp_path / "umbel-data" / "run")
        publisher = Publisher(broker.url, tmp_path, tasks=TASKS, rate=300)
        publisher.start()
        assert publisher.wait() == 0, publisher.explain()
        wait_until(lambda: umbel.json("/api/v1/ingest")["stored"] == 3 * TASKS, "the events")
        wait_until(lambda: "does not answer" in board.read()["trace"].error, "the receiver that is away to be told")
        os.kill(board.read()["trace"].pid, signal.SIGKILL)
        receiver.status = 200
        expected = {span_id(item["id"]) for item in umbel.json("/api/v1/tasks?limit=1000")["items"]}
        assert len(expected) == TASKS
        wait_until(lambda: expected <= {span.span_id for _, span in receiver.spans}, "every task's span", timeout=150)
        wait_until(lambda: receiver.metrics, "the metrics")
        tasks = TASKS
        with broker.client() as server:

            def told() -> bool:
                # What was done while the receiver was away is not told later, so there must be more of it.
                nonlocal tasks
                server.publish("/0.celeryev/task.multi", envelope(events(tasks, Load())))
                tasks += 1
                umbel.json("/api/v1/ingest")
                return bool(receiver.named("commit") and receiver.named("GET /api/v1/ingest"))

            wait_until(told, "our own work")
        assert {told["service.name"] for told, span in receiver.spans if span.span_id in expected} == {"celery"}
        assert {told["service.name"] for told, span in receiver.spans if span.name == "commit"} == {"umbel"}
        count = f"\numbel_traced_tasks_total {tasks}.0\n".encode()
        wait_until(lambda: count in umbel.get("/metrics"), "the count", timeout=150)
        assert umbel.json("/readyz")["checks"]["trace"]["status"] == "ok"
