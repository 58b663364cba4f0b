"""Tasks without an end, against a real worker and a real result backend: who has them, who ended, who is lost."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.source_rigs import unique
from tests.services import CeleryWorker, RedisServer, UmbelProcess, wait_until
from tests.support.app import client
from tests.web.events import T, heartbeat, online, received, sent, started
from tests.web.stage import Stage
from umbel.control import commands as c
from umbel.control.client import CeleryControl
from umbel.control.client_runs import CeleryRuns
from umbel.model.event import AnyEvent
from umbel.runtime.app import load_app
from umbel.stores.sqlite.audit import SqliteAudit
from umbel.web import stuck

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

HOST = "w1@shop"


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_each_task_without_an_end_is_found_held_ended_orphaned_or_unknown_with_the_evidence(
    stage: Stage, redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stuck, "PATIENCE", 60.0)
    base = redis_server.url.rstrip("/").removesuffix("/0")
    broker, backend, queue = f"{base}/5", f"{base}/6", unique("stuck")
    running, done, lost, gone, waits, young, taken = (unique(name) for name in ("r", "d", "l", "g", "w", "y", "t"))
    elsewhere: list[AnyEvent] = [replace_host(event, "old@shop") for event in (online(), received(gone), started(gone))]
    # Taken up by a worker that died before it began: its message comes again, whoever would send it once more.
    elsewhere.append(replace_host(received(taken, T + 3_000), "old@shop"))
    stage.commit([online(), heartbeat(), *elsewhere, sent(waits), received(young, T + 7_000)])
    for id_ in (running, done, lost):
        stage.commit([received(id_), started(id_)])
    stage.clock.step(T + 7_200 - stage.clock.now())
    stage.commit([heartbeat(at=T + 7_200)])
    stage.settings = replace(stage.settings, broker=broker, result_backend=backend)
    stage.control = made = CeleryControl(stage.settings)
    stage.runs = CeleryRuns(stage.settings, load_app)
    stage.audit = SqliteAudit(stage.directory / "audit.db", stage.clock)
    worker = CeleryWorker(broker, tmp_path, backend=backend, hostname=HOST, queues=[queue], concurrency=1)
    producer = client(broker, backend)
    try:
        worker.start()
        producer.send_task("support.add", (1, 2), task_id=done, queue=queue).get(timeout=60)
        producer.send_task("support.sleep", (600,), task_id=running, queue=queue)
        active = c.Active((HOST,))
        wait_until(lambda: running in str(list(made.call(active, 60.0))), "the task running", timeout=60)
        with stage.client() as browser:
            answer = browser.post("/api/v1/stuck", json={"older_than": 3_600})
            found = {item["task_id"]: item for item in answer.json()["items"]}
            assert {id_: item["outcome"] for id_, item in found.items()} == {
                running: "held",
                done: "ended",
                lost: "orphaned",
                gone: "orphaned",
                waits: "unknown",
                taken: "unknown",
            }
            assert found[running]["evidence"] == f"{HOST} has it: active."
            assert "has it as SUCCESS" in found[done]["evidence"]
            assert f"{HOST} is online and does not have it" in found[lost]["evidence"]
            assert "old@shop is not online" in found[gone]["evidence"]
            assert "old@shop is not online" in found[taken]["evidence"]
            assert "its message is not acknowledged" in found[taken]["evidence"]
            assert "Orphaned: no worker has it any more" in browser.get(f"/tasks/{lost}").text
            assert "has it as SUCCESS" in browser.get(f"/tasks/{done}").text
            text = browser.get("/stuck").text
            assert (lost in text, gone in text, running in text) == (True, True, False)
            (action, *_) = browser.get("/api/v1/audit").json()["items"]
            assert (action["action"], action["replies"][0]["outcome"]) == ("find_stuck", "ok")
            # Who is silent has said nothing about its tasks.
            monkeypatch.setattr(stuck, "PATIENCE", 0.5)
            worker.pause()
            again = browser.post("/api/v1/stuck", json={"older_than": 3_600}).json()["items"]
            worker.resume()
            outcomes = {item["task_id"]: item["outcome"] for item in again}
            assert (outcomes[lost], outcomes[running], outcomes[gone]) == ("unknown", "unknown", "orphaned")
        stage.settings = replace(stage.settings, read_only=True)
        with stage.client() as browser:
            assert browser.post("/api/v1/stuck", json={}).status_code == 403
            assert browser.post("/stuck", data={"minutes": "60"}).status_code == 403
    finally:
        worker.kill()
        producer.close()
        made.close()
        stage.runs.close()
        stage.close()


def test_webs_that_share_a_store_find_it_by_themselves_and_a_lost_end_is_closed(
    redis_server: RedisServer, umbel_process: Callable[..., UmbelProcess]
) -> None:
    base = redis_server.url.rstrip("/").removesuffix("/0")
    broker, backend = f"{base}/5", f"{base}/6"
    done, lost = unique("done"), unique("lost")
    common = ("--broker", broker, "--result-backend", backend, "--store", "sqlite:///shared.db", "--stuck-every", "1s")
    whole = umbel_process("up", *common)
    other = umbel_process("web", *common, "--data-dir", "other")
    producer = client(broker, backend)
    try:
        wait_until(lambda: whole.json("/readyz")["status"] == "ok", "events being heard", timeout=180)
        ended_at = datetime.now(UTC) - timedelta(minutes=110)
        stored = {"task_id": done, "status": "SUCCESS", "result": {"of": "it"}, "date_done": ended_at.isoformat()}
        with redis_server.client(db=6) as server:
            server.set(f"celery-task-meta-{done}", json.dumps(stored))
        # Two hours ago a worker took both, and nothing was heard of it since.
        dispatcher = producer.events.Dispatcher
        with producer.connection_for_write() as connection, dispatcher(connection, hostname="w9@gone") as events:
            for id_ in (done, lost):
                told = {"uuid": id_, "name": "shop.pay", "timestamp": time.time() - 7_200}
                for kind in ("task-received", "task-started"):
                    events.publish(kind, told, events.producer)

        def task() -> dict[str, Any]:
            return next((one for one in whole.json("/api/v1/tasks")["items"] if one["id"] == done), {})

        wait_until(lambda: task().get("state") == "SUCCESS", "the end learned", timeout=120)
        closed = task()
        assert (closed["end_learned"], closed["result"], closed["worker"]) == (True, "{'of': 'it'}", "w9@gone")
        for web in (whole, other):
            wait_until(partial(found_by, web, lost), "the orphan found", timeout=120)
            assert "Orphaned: no worker has it any more" in web.get(f"/tasks/{lost}").decode()
            assert "end learned from the result backend" in web.get(f"/tasks/{done}").decode()
        trails = [action for web in (whole, other) for action in web.json("/api/v1/audit")["items"]]
        assert trails
        assert {(action["action"], action["via"]) for action in trails} == {("find_stuck", "timer")}
    finally:
        producer.close()


def found_by(web: UmbelProcess, task_id: str) -> bool:
    return task_id in str(web.json("/api/v1/stuck"))


def replace_host(event: AnyEvent, hostname: str) -> AnyEvent:
    """The same event from another worker."""
    return type(event)(**{name: getattr(event, name) for name in event.__struct_fields__} | {"hostname": hostname})
