"""`umbel mcp`: what an assistant may ask, of a store here or of another Umbel, over pipes or HTTP."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from umbel import logs
from umbel.client import Client, NotAccepted
from umbel.clock import SystemClock
from umbel.errors import SettingsError
from umbel.runtime.inside import Inside
from umbel.runtime.serving import opened
from umbel.settings import Settings
from umbel.web.app import create_app

#: HTTP is served to this machine only: there is no login in front of it.
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
    with _remote(wanted) if wanted.url else _local(settings, wanted) as umbel:
        server = home.server(umbel, texts=wanted.texts, control=wanted.control)
        try:
            if wanted.transport == "http":
                server.run("streamable-http", host=HOST, port=wanted.port)
            else:
                server.run("stdio")
        except KeyboardInterrupt:
            return 130
    return 0


@contextmanager
def _remote(wanted: Wanted) -> Iterator[Client]:
    try:
        client = Client(wanted.url, token=wanted.token, timeout=PATIENCE, hide=not wanted.texts)
    except NotAccepted as error:
        raise SettingsError(f"--url, --token: {error}") from error
    with client:
        yield client


@contextmanager
def _local(settings: Settings, wanted: Wanted) -> Iterator[Client]:
    """The app itself, within this process: whoever may read the store's files needs no login for them."""
    inner = replace(
        settings,
        host=HOST,
        unix_socket="",
        url_prefix="",
        read_only=settings.read_only or not wanted.control,
    )
    with opened(inner, SystemClock(), None) as deps:
        transport = Inside(create_app(deps))
        with Client(f"http://{HOST}", hide=not wanted.texts, transport=transport) as client:
            yield client
