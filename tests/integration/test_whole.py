"""The whole of Umbel with real brokers and real workers: what it says of every task is what the result backend says."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.app import client
from tests.support.celery import CeleryWorker
from tests.support.rabbitmq import RabbitMQServer
from tests.support.redis import RedisServer
from tests.support.umbel import UmbelProcess

#: Processes of the worker. Of two, one may write a retried task's end to the backend before the other writes its RETRY.
ALONE = 1
#: How many tasks of each kind: a third succeed, a third fail, a third are retried twice.
EACH = 500
#: And where only the kind of RabbitMQ's queue is another.
FEW = 50

Workers = Callable[..., CeleryWorker]
Umbels = Callable[..., UmbelProcess]


def wait(condition: Callable[[], Any], what: str, seconds: float = 90.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.2)
    return found


def everything(umbel: UmbelProcess, query: str = "") -> list[dict[str, Any]]:
    """All tasks of a search, page by page."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        words = urllib.parse.urlencode({"q": query, "limit": 1000, "cursor": cursor})
        page = umbel.json(f"/api/v1/tasks?{words}", timeout=30)
        found += page["items"]
        cursor = page["next"]
    return found


def count(umbel: UmbelProcess, query: str) -> int:
    return int(umbel.json(f"/api/v1/tasks/count?{urllib.parse.urlencode({'q': query})}", timeout=30)["count"])


def warm_up(umbel: UmbelProcess, app: Any) -> set[str]:
    """Send tasks until Umbel sees one end: its request to send events has reached the worker."""
    sent: set[str] = set()

    def seen() -> bool:
        sent.add(app.send_task("support.add", (1, 1)).id)
        time.sleep(0.3)
        return count(umbel, "state:SUCCESS") > 0

    wait(seen, "the worker's events", 90)
    return sent


def books_balance(umbel: UmbelProcess) -> bool:
    books = umbel.json("/api/v1/ingest")
    return bool(books["received"] == books["stored"] + sum(books["discarded"].values()) and books["received"] > 0)


def check(umbel: UmbelProcess, broker: str, backend: str, each: int = EACH) -> None:
    app = client(broker, backend)
    try:
        before = warm_up(umbel, app)
        sent = {app.send_task("support.add", (n, n)).id: ("support.add", "SUCCESS", 0) for n in range(each)}
        sent |= {app.send_task("support.fail", (f"no {n}",)).id: ("support.fail", "FAILURE", 0) for n in range(each)}
        sent |= {app.send_task("support.flaky", (2,)).id: ("support.flaky", "SUCCESS", 2) for n in range(each)}
        wait(lambda: count(umbel, "state:SUCCESS OR state:FAILURE") >= len(sent), "all tasks to end", 450)
        wait(lambda: books_balance(umbel), "the books to balance", 90)
        listed = everything(umbel)
        assert max(Counter(item["id"] for item in listed).values()) == 1
        found = {item["id"]: item for item in listed if item["id"] not in before}
        assert found.keys() == sent.keys()
        states = {id_: meta["status"] for id_ in sent for meta in [app.backend.get_task_meta(id_)]}
        assert {id_: item["state"] for id_, item in found.items()} == states
        assert {id_: (i["name"], i["state"], i["retries"]) for id_, i in found.items()} == sent
        retried = next(id_ for id_, (name, *_) in sent.items() if name == "support.flaky")
        task = umbel.json(f"/api/v1/tasks/{retried}")
        assert [attempt["state"] for attempt in task["attempts"]] == ["RETRY", "RETRY", "SUCCESS"]
        assert [attempt["exception"] or "" for attempt in task["attempts"]] == [
            "RuntimeError('attempt 1')",
            "RuntimeError('attempt 2')",
            "",
        ]
        failed = umbel.json(f"/api/v1/tasks/{next(i for i, (n, *_) in sent.items() if n == 'support.fail')}")
        assert failed["exception"].startswith("ValueError('no ")
        assert "Traceback (most recent call last)" in failed["traceback"]
    finally:
        app.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_tasks_of_a_worker_on_redis(
    redis_factory: Callable[..., RedisServer], celery_worker: Workers, umbel_process: Umbels
) -> None:
    redis = redis_factory()
    umbel = umbel_process("up", "--broker", redis.url)
    celery_worker(redis.url, backend=redis.url, concurrency=ALONE)
    check(umbel, redis.url, redis.url)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("queue_type", "each"), [("classic", EACH), ("quorum", FEW), ("stream", FEW)])
def test_the_tasks_of_a_worker_on_rabbitmq(
    rabbitmq_server: RabbitMQServer,
    redis_server: RedisServer,
    celery_worker: Workers,
    umbel_process: Umbels,
    queue_type: str,
    each: int,
) -> None:
    broker = rabbitmq_server.vhost(f"whole-{queue_type}")
    umbel = umbel_process("up", "--broker", broker, "--queue-type", queue_type)
    celery_worker(broker, backend=redis_server.url, concurrency=ALONE)
    check(umbel, broker, redis_server.url, each)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_celery_project_gets_umbel_as_a_command_and_its_broker(
    redis_factory: Callable[..., RedisServer], celery_worker: Workers, tmp_path: Path, umbel_process: Umbels
) -> None:
    redis = redis_factory()
    (tmp_path / "proj.py").write_text(
        "from celery import Celery\n"
        f"app = Celery('proj', broker='{redis.url}', backend='{redis.url}')\n"
        "@app.task(name='proj.double')\n"
        "def double(x): return 2 * x\n"
    )
    worker = celery_worker(redis.url, app="proj", backend=redis.url, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
    umbel = umbel_process("up", "-A", "proj", cwd=tmp_path)
    app = client(redis.url, redis.url)

    def seen() -> list[dict[str, Any]]:
        app.send_task("proj.double", (21,))
        time.sleep(0.3)
        return everything(umbel, "name:proj.* state:SUCCESS")

    assert wait(seen, "the project's task")[0]["result"] == "42"
    assert [w["hostname"] for w in umbel.json("/api/v1/workers")["items"] if w["online"]] == [worker.hostname]
    app.close()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_recording_is_replayed_once_and_searched_on_the_command_line(tmp_path: Path) -> None:
    lines = [
        {"type": "task-received", "uuid": f"t{n}", "hostname": "w@h", "pid": 1, "timestamp": 1e9 + n, "name": "rec.a"}
        for n in range(100)
    ]
    lines += [
        {"type": "task-failed", "uuid": "t7", "hostname": "w@h", "pid": 1, "timestamp": 2e9, "exception": "=Boom('x')"}
    ]
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)) + "\nno json\n")

    def umbel(*args: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "umbel", *args],
            cwd=tmp_path,
            check=True,
            capture_output=True,
            text=True,
            env=dict(os.environ),
        ).stdout

    umbel("replay", str(file))
    umbel("replay", str(file))
    assert "received     102 events" in umbel("db")
    assert "malformed, unknown: 1" in umbel("db")
    rows = list(csv.DictReader(io.StringIO(umbel("tasks", "state:FAILURE", "--format", "csv"))))
    assert [(row["id"], row["exception"]) for row in rows] == [("t7", "'=Boom('x')")]
    assert len(umbel("tasks", "name:rec.*", "--format", "jsonl", "--limit", "60").splitlines()) == 60


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["up"], "no broker is set"),
        (["up", "--broker", "localhost"], "is no URL"),
        (["up", "--broker", "redis://x", "--port", "http"], "whole number"),
        (["up", "-A", "no_such_project"], "no_such_project"),
        (["web", "--broker", "redis://x", "--store", "mysql://x"], "sqlite://"),
        (["tasks", "state:BROKEN"], "at character 7"),
        (["receive", "--broker", "amqp://x"], "umbel collect"),
    ],
)
def test_a_wrong_option_is_one_line_with_the_remedy(args: list[str], says: str, tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: PLW1510 - the exit status is what is tested
        [sys.executable, "-m", "umbel", *args], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode in (1, 2, 78)
    assert says in done.stderr
    assert "Traceback" not in done.stderr
