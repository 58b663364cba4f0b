"""The server: binds before it says so, stops at once though streams are open."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from queue import Queue
from urllib.parse import urlsplit

import pytest

from tests.web import events
from tests.web.stage import Stage, Unreadable
from umbel.errors import ProcessError
from umbel.web import server
from umbel.web.server import bind, serve

#: Seconds. A third of one on an idle machine; far less than the server waits here for answers that do not end.
SOON = 20.0


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "FAREWELL", 90)


class Site:
    """A served app, and connections to it that are closed at the end."""

    def __init__(self, host: str, port: int, connections: ExitStack) -> None:
        self.host, self.port = host, port
        self._connections = connections

    def connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        self._connections.callback(connection.close)
        return connection

    def ask(self, path: str, method: str = "GET") -> http.client.HTTPResponse:
        connection = self.connect()
        connection.request(method, path)
        answer = connection.getresponse()
        self._connections.callback(answer.close)
        return answer


class Serving:
    """`serve` in a thread; entering gives the site, `end` stops it and tells the seconds that took."""

    def __init__(self, stage: Stage) -> None:
        self._stop, self._said = threading.Event(), Queue[str]()
        settings = replace(stage.settings, port=0)
        self._thread = threading.Thread(target=serve, args=(stage.app(), settings, self._stop, self._said.put))
        self._connections = ExitStack()

    def __enter__(self) -> Site:
        self._thread.start()
        url = urlsplit(self._said.get(timeout=60))
        assert url.hostname is not None
        assert url.port is not None
        return Site(url.hostname, url.port, self._connections)

    def end(self) -> float:
        began = time.monotonic()
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()
        return time.monotonic() - began

    def __exit__(self, *_: object) -> None:
        self._connections.close()
        self.end()


def next_hint(stream: http.client.HTTPResponse) -> dict[str, object]:
    while True:
        line = stream.readline()
        assert line, "the stream ended"
        if line.startswith(b"data: "):
            hint: dict[str, object] = json.loads(line.removeprefix(b"data: "))
            return hint


def test_a_commit_reaches_a_listening_browser_soon(stage: Stage) -> None:
    stage.commit(events.success("a"))
    stage.well()
    with Serving(stage) as site:
        stream = site.ask("/hints")
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["content-security-policy"]
        first = next_hint(stream)
        began = time.monotonic()
        stage.clock.advance(1.0)
        stage.commit(events.success("b"))
        second = next_hint(stream)
        assert time.monotonic() - began < SOON
        assert second["version"] != first["version"]


def test_it_stops_at_once_though_streams_are_open_and_ends_them(stage: Stage) -> None:
    stage.reader = Unreadable()
    serving = Serving(stage)
    with serving as site:
        streams = [site.ask("/hints") for _ in range(20)]
        for stream in streams:
            next_hint(stream)
        # A connection that is kept alive and idle.
        assert site.ask("/healthz").read() == b"ok"
        assert serving.end() < SOON
        # Chunked answers that end properly: reading to the end raises nothing.
        assert [stream.read().strip() for stream in streams] == [b""] * 20


def test_a_head_of_the_stream_ends(stage: Stage) -> None:
    stage.reader = Unreadable()
    with Serving(stage) as site:
        connection = site.connect()
        connection.request("HEAD", "/hints")
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.read() == b""
        # The same connection goes on.
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b"ok"


def test_health_answers_while_every_page_waits_for_the_store(stage: Stage) -> None:
    go_on = threading.Event()

    class Hanging(Unreadable):
        def workers(self) -> None:
            go_on.wait(60)

    stage.reader = Hanging()
    with Serving(stage) as site:
        waiting = [site.connect() for _ in range(40)]
        for connection in waiting:
            connection.request("GET", "/api/v1/workers")
        try:
            time.sleep(0.3)
            began = time.monotonic()
            assert site.ask("/healthz").read() == b"ok"
            assert site.ask("/readyz").status == 503
            assert time.monotonic() - began < SOON
        finally:
            go_on.set()
            for connection in waiting:
                connection.getresponse().read()


def test_answers_on_one_connection_do_not_wait_for_acknowledgements() -> None:
    """Nagle's algorithm against delayed acknowledgements would cost 40 ms an answer."""
    with bind("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_port_0_announces_the_port_it_got(stage: Stage) -> None:
    stage.reader = Unreadable()
    with Serving(stage) as site:
        assert site.host == "127.0.0.1"
        assert site.port != 0


def test_a_taken_port_is_an_error_with_a_remedy(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ProcessError, match=rf"port {port} on 127\.0\.0\.1 is taken.*--port"):
            serve(stage.app(), replace(stage.settings, port=port), threading.Event())


def test_an_address_that_is_not_ours_is_an_error_with_a_remedy() -> None:
    with pytest.raises(ProcessError, match=r"not an address of this machine.*127\.0\.0\.1"):
        bind("192.0.2.1", 0)
    with pytest.raises(ProcessError, match=r"--host no\.such\.name\.invalid"):
        bind("no.such.name.invalid", 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "::1", "[::1]"])
def test_addresses_that_can_be_bound(host: str) -> None:
    if ":" in host and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    with bind(host, 0) as listener:
        assert listener.getsockname()[1] > 0


def test_the_address_shown_can_be_opened() -> None:
    assert server._shown("0.0.0.0") == server._shown("::") == "127.0.0.1"
    assert server._shown("::1") == "[::1]"
    assert server._shown("umbel.example") == "umbel.example"


PROGRAM = """
import signal, sys, threading
from pathlib import Path
from dataclasses import replace
from tests.web.stage import Stage, Unreadable
from umbel.web.server import serve
stage = Stage(Path(sys.argv[1]))
stage.reader = Unreadable()
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
sys.exit(serve(stage.app(), replace(stage.settings, port=0), stop))
"""


def test_as_a_process_it_prints_its_address_and_sigterm_ends_it_cleanly(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    connections = ExitStack()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Umbel is at http://127.0.0.1:"), line or process.communicate()[1]
        port = urlsplit(line.split()[-1]).port
        assert port is not None
        next_hint(Site("127.0.0.1", port, connections).ask("/hints"))
        process.send_signal(signal.SIGTERM)
        _out, errors = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "Traceback" not in errors
    finally:
        connections.close()
        process.kill()
        process.wait()
