"""Serves the protocol over HTTP: whoever asks brings an API token, which goes on to the API that the tools ask."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from typing import Any, Final

import uvicorn
from mcp.server import MCPServer

log = logging.getLogger(__name__)

#: The token of the request that is being answered, "" for none; tools run in copies of its context.
TOKEN: Final[ContextVar[str]] = ContextVar("token", default="")
#: Characters of a header that are looked at.
HEADER: Final = 500

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
#: Whether a token is known; None: whoever is asked with it will say.
Known = Callable[[str], Awaitable[bool]] | None


class Door:
    """ASGI middleware: 401 for a request without a token where one is needed, and for one that is not known."""

    def __init__(self, app: App, *, needed: bool, known: Known) -> None:
        self._app = app
        self._needed = needed
        self._known = known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        token = _bearer(scope)
        if token is None or (self._needed and not token):
            await _refuse(send, "An API token is needed: Authorization: Bearer umbel_...")
        elif token and self._known is not None and not await self._known(token):
            await _refuse(send, "This token is not known, or has expired.")
        else:
            TOKEN.set(token)
            await self._app(scope, receive, send)


def _bearer(scope: Scope) -> str | None:
    """The token of a request, "" where there is none; None for a header that holds something else."""
    given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    if not given:
        return ""
    scheme, _, token = given[:HEADER].decode("latin-1").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


async def _refuse(send: Send, message: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"www-authenticate", b"Bearer")]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": message.encode()})


async def serve(made: MCPServer, host: str, port: int, *, needed: bool, known: Known) -> None:
    """Serve at /mcp until a signal comes. Each request stands for itself, so that it is its own token that counts."""
    app = made.streamable_http_app(stateless_http=True, host=host)
    door = Door(app, needed=needed, known=known)
    await uvicorn.Server(uvicorn.Config(door, host=host, port=port, log_level="warning", server_header=False)).serve()
