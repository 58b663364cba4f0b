"""An app of ours asked without a network: the same routes, permissions and audit trail, no port and no login."""

from __future__ import annotations

import asyncio
import threading

import httpx2
from fastapi import FastAPI

#: Where requests come from, as the audit trail tells it.
ORIGIN = ("umbel mcp", 0)


class Inside(httpx2.BaseTransport):
    """Carries requests to the app on an event loop of its own; answers are held whole, so ask for bounded ones."""

    def __init__(self, app: FastAPI) -> None:
        self._asgi = httpx2.ASGITransport(app, raise_app_exceptions=False, client=ORIGIN)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="umbel-inside", daemon=True)
        self._thread.start()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        status, headers, body = asyncio.run_coroutine_threadsafe(self._ask(request), self._loop).result()
        return httpx2.Response(status, headers=headers, content=body, request=request)

    async def _ask(self, request: httpx2.Request) -> tuple[int, httpx2.Headers, bytes]:
        response = await self._asgi.handle_async_request(request)
        return response.status_code, response.headers, await response.aread()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
