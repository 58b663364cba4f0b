"""What Umbel does otherwise than Flower, each on purpose; docs/from-flower.md says why."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.flower.rig import APP, Rig, Service
from tests.support.celery import ROOT, CeleryWorker
from tests.support.environment import free_port, wait_until
from tests.support.umbel import UmbelProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

Umbels = Callable[..., UmbelProcess]


def samples(umbel: Service) -> Iterator[tuple[str, dict[str, str], float]]:
    page = umbel.get("/metrics")
    assert page.status == 200
    for family in text_string_to_metric_families(page.text):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def value(umbel: Service, name: str, **labels: str) -> float:
    """The sum of the samples that have these labels."""
    return sum(number for found, its, number in samples(umbel) if found == name and labels.items() <= its.items())


def test_slow_applies_keep_nothing_else_waiting(umbel: Service, rig: Rig) -> None:
    """Five of them stop Flower's control altogether."""
    threads = [
        threading.Thread(target=umbel.apply, args=("support.sleep", {"args": [600], "timeout": 12, "queue": "nobody"}))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    time.sleep(1)
    try:
        assert any(thread.is_alive() for thread in threads)
        assert umbel.get("/healthz").text == "ok"
        assert umbel.get("/api/workers", workername=rig.worker.hostname).status == 200
        assert umbel.post("/api/task/revoke/anything").status == 200
        assert umbel.apply("support.add", {"args": [1, 1]}).json["result"] == 2
        assert all(thread.is_alive() for thread in threads)
    finally:
        for thread in threads:
            thread.join(60)


def test_parameters_reach_celery_as_they_are(umbel: Service, rig: Rig) -> None:
    queue = "a&b<c>"
    added = umbel.post(f"/api/worker/queue/add-consumer/{rig.worker.hostname}", queue=queue)
    assert added.json == {"message": f"add consumer {queue}"}
    refused = umbel.post(f"/api/worker/queue/add-consumer/{rig.worker.hostname}", queue=queue)
    assert "<c>" not in refused.text or refused.status == 200
    umbel.post(f"/api/worker/queue/cancel-consumer/{rig.worker.hostname}", queue=queue)


def test_what_flower_answers_with_500_is_400(umbel: Service) -> None:
    assert umbel.apply("support.add", {"kwargs": [1]}).status == 400
    wrong = umbel.apply("support.add", {"args": [1, 2, 3, 4]})
    assert wrong.status == 400
    assert "argument" in wrong.text


def test_another_site_may_not_use_the_open_api(umbel: Service) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert umbel.ask("POST", "/api/task/revoke/x", {}, headers=headers).status == 403
    assert umbel.ask("OPTIONS", "/api/tasks", headers={"Sec-Fetch-Site": "same-origin"}).status == 405


def test_every_change_is_in_the_audit_trail_with_its_replies(umbel: Service, rig: Rig) -> None:
    umbel.post(f"/api/worker/pool/grow/{rig.worker.hostname}", n="1")
    umbel.post(f"/api/worker/pool/shrink/{rig.worker.hostname}", n="1")
    shrink, grow = umbel.get("/api/v1/audit", limit=2).json["items"]
    assert (grow["action"], shrink["action"]) == ("pool_grow", "pool_shrink")
    assert grow["via"] == "flower"
    assert grow["arguments"] == {"n": 1}
    assert grow["destination"] == [rig.worker.hostname]
    assert [reply["outcome"] for reply in grow["replies"]] == ["ok"]
    umbel.apply("support.add", {"args": [1, 1]}, "async-apply")
    assert umbel.get("/api/v1/audit", limit=1).json["items"][0]["action"] == "send_task"


def test_the_control_api_against_the_worker(umbel: Service, rig: Rig) -> None:
    answer = umbel.ask("POST", "/api/v1/control/stats", body={"destination": [rig.worker.hostname]})
    assert answer.status == 200
    (reply,) = answer.json["replies"]
    assert (reply["worker"], reply["outcome"]) == (rig.worker.hostname, "ok")
    assert reply["value"]["pool"]["max-concurrency"] == 2
    silent = umbel.ask("POST", "/api/v1/control/ping?timeout=0.3", body={"destination": ["nobody@h"]})
    assert [(reply["worker"], reply["outcome"]) for reply in silent.json["replies"]] == [("nobody@h", "silent")]


def test_the_metrics_count_what_ran(umbel: Service, rig: Rig) -> None:
    def counted(kind: str) -> float:
        return value(umbel, "flower_events_total", task="support.fail", type=kind)

    before = counted("task-failed")
    umbel.apply("support.fail", {"args": ["for the metrics"]})
    wait_until(lambda: counted("task-failed") == before + 1, "the failure counted", every=0.5)
    worker = rig.worker.hostname
    assert value(umbel, "flower_events_total", type="task-sent", worker="") > 0
    assert {its["worker"] for name, its, _ in samples(umbel) if name == "flower_events_total"} == {"", worker}
    assert value(umbel, "umbel_task_failures_total", task="support.fail", exception="ValueError") >= 1
    assert value(umbel, "flower_task_runtime_seconds_count", task="support.add", worker=worker) >= 1
    assert value(umbel, "umbel_task_wait_seconds_count", queue="celery") >= 1
    wait_until(lambda: value(umbel, "umbel_worker_concurrency", worker=worker) == 2, "the pool's size", every=1.0)
    assert any(name == "umbel_queue_messages_ready" and its["queue"] == "celery" for name, its, _ in samples(umbel))
    assert value(umbel, "flower_worker_online", worker=worker) == 1
    for name in ("flower_worker_number_of_currently_executing_tasks", "flower_task_prefetch_time_seconds"):
        assert any(found == name and its["worker"] == worker for found, its, _ in samples(umbel))


def test_counters_go_on_after_a_restart_and_a_dead_worker_goes_to_0(
    rig: Rig, umbel_process: Umbels, celery_worker: Callable[..., CeleryWorker]
) -> None:
    broker = rig.broker.removesuffix("/14") + "/10"
    process = umbel_process("up", "--broker", broker, env={"FLOWER_UNAUTHENTICATED_API": "1"})
    umbel = Service("umbel", process.port)
    worker = celery_worker(broker, args=["-E"], pool="solo")
    wait_until(lambda: value(umbel, "flower_worker_online", worker=worker.hostname) == 1, "the worker", every=0.5)
    assert umbel.apply("no.such", {}).status == 404
    sent = umbel.apply("support.add", {"args": [1, 2]}, "async-apply")
    assert list(sent.json) == ["task-id"]
    assert umbel.get("/api/task/result/x").status == 503

    def succeeded() -> float:
        return value(umbel, "flower_events_total", task="support.add", type="task-succeeded", worker=worker.hostname)

    wait_until(lambda: succeeded() == 1, "the task counted", every=0.5)
    worker.kill()
    wait_until(lambda: value(umbel, "flower_worker_online", worker=worker.hostname) == 0, "its death", every=0.5)
    assert any(name == "flower_worker_online" for name, _, _ in samples(umbel))
    process.stop()
    process.start()
    assert succeeded() == 1


def test_without_a_login_the_api_is_closed_and_read_only_refuses_every_change(rig: Rig, umbel_process: Umbels) -> None:
    closed = Service("umbel", umbel_process("web", "--broker", rig.broker, "--data-dir", "closed").port)
    for path in ("/api/tasks", "/api/workers", "/api/task/types"):
        answer = closed.get(path)
        assert answer.status == 401
        assert answer.text.startswith("FLOWER_UNAUTHENTICATED_API environment variable is required")
    assert closed.post("/api/task/revoke/x").status == 401
    for path in ("/workers?json=1", "/metrics", "/healthz"):
        assert closed.get(path).status in (200, 503), path
    process = umbel_process(
        "web",
        "--broker",
        rig.broker,
        "--read-only",
        "--unauthenticated-api",
        "--data-dir",
        "read",
        "--store",
        "sqlite:///r.db",
    )
    read = Service("umbel", process.port)
    for path in (
        *(
            f"worker/{one}/nobody@h"
            for one in ("shutdown", "pool/restart", "pool/grow", "pool/shrink", "pool/autoscale")
        ),
        *(f"worker/queue/{one}/nobody@h" for one in ("add-consumer", "cancel-consumer")),
        *(f"task/{one}/x" for one in ("apply", "async-apply", "send-task", "abort", "revoke", "timeout", "rate-limit")),
    ):
        answer = read.post(f"/api/{path}")
        assert (answer.status, answer.text) == (403, "Read only mode is enabled"), path


def test_a_broker_that_is_away_is_503(umbel_process: Umbels) -> None:
    process = umbel_process(
        "web",
        "--broker",
        f"redis://127.0.0.1:{free_port()}/0",
        "--unauthenticated-api",
        "--result-backend",
        f"redis://127.0.0.1:{free_port()}/1",
    )
    umbel = Service("umbel", process.port)
    assert umbel.get("/api/queues/length").status == 503
    assert umbel.post("/api/task/revoke/x").status == 503
    assert umbel.apply("support.add", {}, "send-task").status == 503
    assert umbel.get("/api/task/result/x").status == 503
    assert umbel.ask("POST", "/api/v1/control/ping", body={"destination": ["w"]}).status == 503


def test_celery_umbel_takes_flowers_flags(rig: Rig) -> None:
    """`celery -A proj umbel` with the arguments of `celery -A proj flower`."""
    umbel = UmbelProcess("up", directory=rig.directory)
    umbel.argv = [
        *(umbel.argv[0], "-m", "celery", "-A", APP, "-b", rig.broker, "umbel", f"--port={umbel.port}"),
        *("--address=127.0.0.1", "--url_prefix=flower", "--persistent=True", "--max_tasks=1000", "--xheaders=True"),
        *("--data-dir", "celery-umbel", "--store", "sqlite:///celery-umbel.db"),
    ]
    umbel.env = {**umbel.env, "PYTHONPATH": str(ROOT), "FLOWER_PORT": "tcp://10.0.0.1:1"}
    try:
        with umbel:
            assert umbel.get("/flower/healthz") == b"ok"
            page = urllib.request.urlopen(f"{umbel.url}/flower/tasks", timeout=30).read().decode()
            assert "/flower/static/" in page
        assert "--max_tasks has no effect" in umbel.output()
    finally:
        umbel.kill()
