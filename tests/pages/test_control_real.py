"""The pages' control against a real worker on a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conformance.source_rigs import unique
from tests.services import CeleryWorker, RedisServer, wait_until
from tests.support.app import client
from tests.web.events import received, started
from tests.web.stage import Stage
from umbel.control.client import CeleryControl
from umbel.stores.sqlite.audit import SqliteAudit
from umbel.web.pages import control, inspect

pytestmark = pytest.mark.slow


@pytest.fixture
def worker(redis_server: RedisServer, tmp_path: Path) -> Iterator[CeleryWorker]:
    url = redis_server.url.rstrip("/").removesuffix("/0") + "/10"
    made = CeleryWorker(url, tmp_path, hostname="real@test", queues=[unique("pages")]).start()
    yield made
    made.kill()


def test_a_task_is_terminated_and_a_pool_grown_from_the_pages(
    stage: Stage, worker: CeleryWorker, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Both end as soon as the worker has answered.
    monkeypatch.setattr(control, "PATIENCE", 30.0)
    monkeypatch.setattr(inspect, "PATIENCE", 30.0)
    url = redis_server.url.rstrip("/").removesuffix("/0") + "/10"
    stage.settings = replace(stage.settings, broker=url)
    stage.control = made = CeleryControl(stage.settings)
    stage.audit = SqliteAudit(stage.directory / "audit.db", stage.clock)
    id_ = unique("long")
    stage.commit([received(id_), started(id_)])
    producer = client(url)
    queue = worker.argv[worker.argv.index("-Q") + 1]
    try:
        producer.send_task("support.sleep", (600,), task_id=id_, queue=queue)
        with stage.client() as browser:

            def told() -> str:
                return browser.get("/inspect/real@test").text

            wait_until(lambda: "No task is reserved" in told() and id_ in told(), "the task running", timeout=60)
            done = browser.post("/control/terminate", data={"task_ids": id_, "sure": "yes", "destination": "real@test"})
            assert "1 of 1 worker answered ok" in done.text
            wait_until(lambda: "No task is running" in told(), "the task gone", timeout=60)
            assert "1 revoked id<" in told()
            grown = browser.post("/control/pool_grow", data={"n": "1", "destination": "real@test", "sure": "yes"})
            assert "pool will grow" in grown.text
            trail = browser.get("/audit").text
            monkeypatch.setattr(inspect, "PATIENCE", 0.5)
            worker.pause()
            assert "It does not answer" in told()
            worker.resume()
        assert "pool will grow" in trail
        assert id_ in trail
    finally:
        producer.close()
        made.close()
