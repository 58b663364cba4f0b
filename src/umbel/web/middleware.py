"""ASGI middleware: the path prefix of a proxy, and HEAD for every page."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Prefix:
    """Serves the app under `/prefix`, whether the proxy in front strips the prefix or not."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._prefix and scope["type"] == "http":
            path = scope["path"]
            if path == self._prefix:
                path += "/"
            elif not path.startswith(f"{self._prefix}/"):
                path = self._prefix + path
            scope = {**scope, "path": path, "root_path": self._prefix}
        await self._app(scope, receive, send)


class Head:
    """Answers HEAD as GET without the body; an endless answer ends after its headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        ended = False

        async def headers_only(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.start":
                await send(message)
            elif not ended:
                ended = True
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        # Once the answer has ended, the server tells `receive` that the client is gone: streams stop by that.
        await self._app({**scope, "method": "GET"}, receive, headers_only)
