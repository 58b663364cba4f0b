"""Requests as spans of Umbel's own traces, where those are asked for: by route, never by address."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from umbel.clock import Clock
from umbel.model.spans import Kind, Value
from umbel.telemetry.base import Tracer
from umbel.web.permits import PermitTable

#: Methods that are told by name; OpenTelemetry calls all others so.
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
OTHER: Final = "_OTHER"


class Traced:
    """ASGI middleware; a path or a search may hold what is nobody's business elsewhere, so neither is told."""

    def __init__(self, app: ASGIApp, tracer: Tracer, permits: PermitTable, clock: Clock, prefix: str) -> None:
        self._app = app
        self._tracer = tracer
        self._permits = permits
        self._clock = clock
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._tracer.wanted():
            await self._app(scope, receive, send)
            return
        began, beginning = self._clock.now(), self._clock.monotonic()
        status = 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else OTHER
            route = self._permits.route("GET" if method == "HEAD" else method, scope["path"].removeprefix(self._prefix))
            told: dict[str, Value] = {
                "http.request.method": method,
                "http.response.status_code": status,
                "url.scheme": scope["scheme"],
            }
            if route:
                told["http.route"] = route
            failure = None
            if status >= 500:
                failure, told["error.type"] = "", str(status)
            name = f"{'HTTP' if method == OTHER else method} {route}".strip()
            end = began + self._clock.monotonic() - beginning
            self._tracer.record(name, Kind.SERVER, began, end, told, failure=failure)
