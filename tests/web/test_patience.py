"""Slow clients: whoever takes too long to ask is cut off, and nobody else is."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from tests.web.stage import Stage, Unreadable
from tests.web.test_server import Serving, Site, next_hint
from umbel.web import patience


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients are too slow at once."""
    monkeypatch.setattr(patience, "HEAD", 0.5)
    monkeypatch.setattr(patience, "BODY", 0.5)


@pytest.fixture
def site(stage: Stage) -> Iterator[Site]:
    stage.reader = Unreadable()
    with Serving(stage) as site:
        yield site


@pytest.fixture
def connect(site: Site) -> Iterator[Callable[[bytes], socket.socket]]:
    """Connects and says something; reading gives up after a minute."""
    opened = []

    def begin(said: bytes) -> socket.socket:
        made = socket.create_connection((site.host, site.port), timeout=60)
        opened.append(made)
        made.sendall(said)
        return made

    yield begin
    for made in opened:
        made.close()


def heard(connection: socket.socket) -> bytes:
    """All until the server closes."""
    found = b""
    while part := connection.recv(65_536):
        found += part
    return found


HOST = b"Host: localhost\r\n"


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"", b""),
        (b"GET / HT", b"HTTP/1.1 408"),
        (b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: ", b"HTTP/1.1 408"),
        (b"POST /login HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\nuser=", b"HTTP/1.1 4"),
        # What is answered without its body being read holds no connection either.
        (b"GET /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\nx", b"HTTP/1.1 200"),
        # The second request on a connection.
        (b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\nGET / HT", b"HTTP/1.1 200"),
    ],
)
def test_a_request_without_an_end_is_cut_off(
    connect: Callable[[bytes], socket.socket], said: bytes, answer: bytes
) -> None:
    assert heard(connect(said)).startswith(answer)


@pytest.mark.usefixtures("short")
def test_a_client_that_drips_is_cut_off_however_often_it_sends(connect: Callable[[bytes], socket.socket]) -> None:
    connection = connect(b"GET / HTTP/1.1\r\n" + HOST)
    connection.settimeout(0.05)
    sent = 0
    found = None
    while found is None:
        try:
            found = connection.recv(65_536)
        except TimeoutError:
            connection.sendall(b"X: y\r\n")
            sent += 1
            assert sent < 2_000
        except ConnectionError:
            break
    assert found in (None, b"") or found.startswith(b"HTTP/1.1 408")


@pytest.mark.usefixtures("short")
def test_an_open_stream_is_no_slow_request(site: Site) -> None:
    stream = site.ask("/hints")
    first = next_hint(stream)
    for _ in range(3):
        # One more connection that was cut off meanwhile: so much time has passed.
        with socket.create_connection((site.host, site.port), timeout=60) as idle:
            assert heard(idle) == b""
    assert first
    assert not stream.closed


def test_a_head_that_is_too_long_is_refused(connect: Callable[[bytes], socket.socket]) -> None:
    connection = connect(b"GET /healthz HTTP/1.1\r\n" + HOST)
    with pytest.raises((ConnectionError, AssertionError)):  # noqa: PT012 - either way it ends
        for _ in range(200):
            connection.sendall(b"X: " + b"y" * 4_000 + b"\r\n")
        assert not heard(connection).startswith(b"HTTP/1.1 400")


def test_a_body_that_is_too_long_is_refused_before_it_is_all_there(connect: Callable[[bytes], socket.socket]) -> None:
    length = b"Content-Length: 99999999999\r\nContent-Type: application/json\r\n\r\n"
    connection = connect(b"POST /api/v1/control/revoke HTTP/1.1\r\n" + HOST + length)
    try:
        for _ in range(64):
            connection.sendall(b"[" * 65_536)
    except ConnectionError:
        return
    assert connection.recv(12) in (b"HTTP/1.1 413", b"HTTP/1.1 503")
