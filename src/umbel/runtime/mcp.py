"""`umbel mcp`: what an assistant may ask, of a store here or of another Umbel, over pipes or HTTP."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import httpx2

from umbel import logs
from umbel.client import Client, NotAccepted
from umbel.clock import SystemClock
from umbel.errors import SettingsError
from umbel.runtime.inside import Inside
from umbel.runtime.serving import opened
from umbel.runtime.stores import open_vault
from umbel.settings import Settings
from umbel.web.app import create_app
from umbel.web.login import Login
from umbel.web.security import is_loopback

#: Whence the app within this process is asked.
HOST: Final = "127.0.0.1"
#: Seconds of silence of another Umbel: an assistant does not wait for longer.
PATIENCE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for on the command line."""

    #: Of another Umbel; "": the store of the settings.
    url: str = ""
    token: str = ""
    #: Arguments and results are shown.
    texts: bool = False
    #: It may change something.
    control: bool = False
    #: stdio or http.
    transport: str = "stdio"
    #: Elsewhere than on loopback every request needs an API token.
    host: str = HOST
    port: int = 8765


def main(settings: Settings, wanted: Wanted) -> int:
    """Serve until the assistant goes; the exit status."""
    # Standard output is the assistant's; the log goes to standard error.
    logs.setup(settings.log_level, settings.log_format)
    try:
        home: Any = importlib.import_module("umbel.mcp.server")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("umbel"):
            raise
        raise SettingsError(
            f"umbel mcp needs the package mcp ({error}). Install it: pip install 'umbel[mcp]'"
        ) from error
    with _remote(wanted, home) if wanted.url else _local(settings, wanted, home) as (umbel, known):
        server = home.server(umbel, texts=wanted.texts, control=wanted.control)
        try:
            if wanted.transport == "http":
                needed = not is_loopback(wanted.host)
                asyncio.run(home.serve(server, wanted.host, wanted.port, needed=needed, known=known))
            else:
                server.run("stdio")
        except KeyboardInterrupt:
            return 130
    return 0


#: Whether a token is known; None: the other Umbel says it.
Known = Callable[[str], Awaitable[bool]] | None


@contextmanager
def _remote(wanted: Wanted, home: Any) -> Iterator[tuple[Client, Known]]:
    """With this process's own token, or the one that an assistant's request brings."""
    way = httpx2.HTTPTransport() if wanted.transport == "http" else None
    try:
        client = Client(
            wanted.url,
            token=wanted.token,
            timeout=PATIENCE,
            hide=not wanted.texts,
            transport=home.Bearing(way, way) if way else None,
        )
    except NotAccepted as error:
        raise SettingsError(f"--url, --token: {error}") from error
    with client:
        yield client, None


@contextmanager
def _local(settings: Settings, wanted: Wanted, home: Any) -> Iterator[tuple[Client, Known]]:
    """The app itself, within this process: whoever may read the store's files needs no login for them."""
    clock = SystemClock()
    inner = replace(
        settings,
        host=HOST,
        unix_socket="",
        url_prefix="",
        read_only=settings.read_only or not wanted.control,
    )
    login = Login(inner, clock, open_vault(inner, clock)) if wanted.transport == "http" else None

    async def known(token: str) -> bool:
        return login is not None and await asyncio.to_thread(login.by_token, token) is not None

    with ExitStack() as stack:
        plain = Inside(create_app(stack.enter_context(opened(inner, clock, None))))
        # Whoever brings a token is the one that it stands for, and may what its role may.
        tokens = plain if login is None else Inside(create_app(stack.enter_context(opened(inner, clock, login))))
        with Client(f"http://{HOST}", hide=not wanted.texts, transport=home.Bearing(plain, tokens)) as client:
            yield client, known
