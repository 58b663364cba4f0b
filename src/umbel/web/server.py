"""Serves the app: binds before it says so, stops within a second though streams are open."""

from __future__ import annotations

import errno
import logging
import socket
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import FastAPI

from umbel.errors import ProcessError
from umbel.settings import Settings
from umbel.web.hints import Hub
from umbel.web.patience import HEADERS, Patient

log = logging.getLogger(__name__)

#: Connections at once; more are answered 503.
CONNECTIONS: Final = 2_000
#: Seconds that answers under way may take once the server stops.
FAREWELL: Final = 3


def _say(url: str) -> None:
    sys.stdout.write(f"Umbel is at {url}\n")
    sys.stdout.flush()


def serve(app: FastAPI, settings: Settings, stop: threading.Event, announce: Callable[[str], None] = _say) -> int:
    """Serve until `stop` is set, by a signal's handler or another thread; the exit status.

    Binds first, then calls `announce` with the address once requests are answered. Raises `ProcessError` naming the
    remedy if the address cannot be used.
    """
    config = _config(app, settings)
    hub: Hub = app.state.hub
    if settings.unix_socket:
        place = Path(settings.unix_socket)
        listener = bind_unix(place)
        try:
            _Server(config, stop, hub, lambda: announce(f"unix:{place}")).run([listener])
        finally:
            place.unlink(missing_ok=True)
        return 0
    listener = bind(settings.host, settings.port)
    scheme = "https" if settings.certfile else "http"
    url = f"{scheme}://{_shown(settings.host)}:{listener.getsockname()[1]}{settings.url_prefix}/"
    _Server(config, stop, hub, lambda: announce(url)).run([listener])
    return 0


class _Server(uvicorn.Server):
    """uvicorn, with streams ended before it waits for connections to close."""

    def __init__(self, config: uvicorn.Config, stop: threading.Event, hub: Hub, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._stop = stop
        self._hub = hub
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second."""
        if self._stop.is_set():
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            self._hub.close()
        except Exception:
            # The streams that stay open are cut off when the farewell is over.
            log.exception("ending the live hints failed")
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        # The process has handlers of its own, which set `stop`; uvicorn's would raise the signal again at the end.
        yield


def _config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        http=Patient,
        h11_max_incomplete_event_size=HEADERS,
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=FAREWELL,
        ssl_certfile=settings.certfile or None,
        ssl_keyfile=settings.keyfile or None,
    )
    try:
        config.load()
    except OSError as error:
        # ssl.SSLError is one: what the files hold is no certificate or key, or they do not belong together.
        raise ProcessError(
            f"--certfile {settings.certfile} and --keyfile {settings.keyfile} cannot be used: {error.strerror or error}"
        ) from error
    return config


def bind_unix(place: Path) -> socket.socket:
    """A socket file that every user of this machine may use; one that nobody listens on any more is replaced."""
    listener = socket.socket(socket.AF_UNIX)
    try:
        if place.is_socket() and not _answers(place):
            place.unlink()
        listener.bind(str(place))
        place.chmod(0o666)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        why = "another program listens there" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise ProcessError(f"--unix-socket {place} cannot be used: {why}") from error
    return listener


def _answers(place: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(place)) == 0


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to the address (port 0: a free one); raises `ProcessError` in plain words."""
    try:
        family, address = _address(host, port)
        listener = socket.create_server(address, family=family, dualstack_ipv6=_dual(family, host), backlog=1024)
        # Accepted connections inherit it; asyncio sets it only on sockets that were made with a protocol number.
        # Without it every other answer on a connection waits 40 ms for the browser's acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        raise ProcessError(_plain(host, port, error)) from error
    return listener


def _address(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # IPv4 first: what `localhost` means to most.
    family, _type, _protocol, _name, address = min(found, key=_is_ipv6)
    return family, (str(address[0]), port)


def _is_ipv6(found: Sequence[object]) -> bool:
    return found[0] is socket.AF_INET6


def _dual(family: socket.AddressFamily, host: str) -> bool:
    return family is socket.AF_INET6 and host.strip("[]") == "::" and socket.has_dualstack_ipv6()


def _plain(host: str, port: int, error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"--host {host} is not a name or address that this machine knows"
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken by another program. Choose another one with --port, or 0 for a free one"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"--host {host} is not an address of this machine. Use 127.0.0.1, or 0.0.0.0 for every interface"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} on {host} is not allowed to this user. Choose one above 1023 with --port"
    return f"cannot listen on {host} port {port}: {error.strerror}"


def _shown(host: str) -> str:
    """The host of an address that a browser on this machine can open."""
    if host in ("0.0.0.0", "::", "[::]", ""):  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
