"""Server-sent hints: a browser is told that something changed, and fetches what it shows again.

A hint is `{"version": text, "books": {"received", "stored", "discarded", "missed"}, "trouble": bool}`; it says nothing
that the pages do not say, so a lost one is harmless: each client has room for one, and the latest wins.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from umbel.errors import StoreError
from umbel.logs import Limited
from umbel.web.deps import Deps
from umbel.web.readiness import Level

limited = Limited(logging.getLogger(__name__))

#: Seconds between two looks at the store while somebody listens.
INTERVAL: Final = 0.3
#: Seconds until the next look where the store sends word of its commits and has sent none: parts may be in trouble.
QUIET: Final = 1.0
#: Seconds of silence after which a comment shows that the connection lives.
HEARTBEAT: Final = 15.0
#: Seconds that a client may take to accept a hint before it is cut off.
PATIENCE: Final = 10.0
#: Clients at once.
CLIENTS: Final = 1_000
#: Milliseconds that a browser waits before it connects again.
RETRY: Final = 2_000


class Hint(msgspec.Struct, frozen=True):
    """What changed."""

    version: str
    books: dict[str, int]
    trouble: bool


def look(deps: Deps) -> Hint:
    """The hint of this moment; reads the store, so it runs in a thread."""
    try:
        version = deps.reader.version()
    except StoreError:
        # The pipeline's view has the reason, and the pages show it.
        version = ""
    pipeline = deps.pipeline()
    books = {
        "received": pipeline.received,
        "stored": pipeline.stored,
        "discarded": pipeline.discarded_total,
        "missed": pipeline.missed_total,
    }
    trouble = pipeline.losing or deps.readiness().status is not Level.OK
    return Hint(version, books, trouble)


class Slot:
    """One client's room for one message."""

    def __init__(self) -> None:
        self._message = b""
        self._ended = False
        self._ready = asyncio.Event()

    def put(self, message: bytes) -> bool:
        """Replace what waits; whether something did."""
        waited = bool(self._message)
        self._message = message
        self._ready.set()
        return waited

    def end(self) -> None:
        self._ended = True
        self._ready.set()

    async def take(self, patience: float) -> bytes | None:
        """What waits, b"" after `patience` seconds of nothing, None at the end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._ready.wait()
        self._ready.clear()
        message, self._message = self._message, b""
        return None if self._ended else message


class Hub:
    """Looks at the store for all clients together, only while there are any; belongs to one event loop."""

    def __init__(
        self,
        look: Callable[[], Hint],
        *,
        limit: int = CLIENTS,
        interval: float = INTERVAL,
        news: Callable[[float], None] | None = None,
    ) -> None:
        self._look = look
        #: Returns when the store has changed or after so many seconds; None where one must look to know.
        self._news = news
        self._limit = limit
        self._interval = interval
        self._slots: set[Slot] = set()
        self._task: asyncio.Task[None] | None = None
        self._told: Hint | None = None
        self.closed = False
        #: Hints that a newer one took the place of before their client took them.
        self.replaced = 0

    def __len__(self) -> int:
        return len(self._slots)

    def join(self) -> Slot | None:
        """Room for one more client, which is told the latest hint at once; None when full or closed."""
        if self.closed or len(self._slots) >= self._limit:
            return None
        slot = Slot()
        self._slots.add(slot)
        if self._told is not None:
            slot.put(_frame(self._told))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="hints")
        return slot

    def leave(self, slot: Slot) -> None:
        """Forget a client."""
        self._slots.discard(slot)

    def close(self) -> None:
        """End every stream and take no more; call it in the event loop before the server stops."""
        self.closed = True
        for slot in self._slots:
            slot.end()

    async def _run(self) -> None:
        # A thread of its own: hints never wait for pages that wait for the store.
        limiter = CapacityLimiter(1)
        while self._slots and not self.closed:
            try:
                hint = await to_thread.run_sync(self._look, limiter=limiter)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next look may work
                limited.warning("hints", f"no hint could be made: {error!r}")
            else:
                self._tell(hint)
            await asyncio.sleep(self._interval)
            if self._news is not None:
                await to_thread.run_sync(self._news, QUIET, limiter=limiter)
        self._task, self._told = None, None

    def _tell(self, hint: Hint) -> None:
        told = self._told
        if told is not None and (told.version, told.trouble) == (hint.version, hint.trouble):
            return
        self._told = hint
        message = _frame(hint)
        for slot in self._slots:
            self.replaced += slot.put(message)


def _frame(hint: Hint) -> bytes:
    return b"data: " + msgspec.json.encode(hint) + b"\n\n"


class HintStream(Response):
    """Sends what comes into a slot until the client goes, the hub closes or the client is too slow."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, slot: Slot, *, heartbeat: float = HEARTBEAT, patience: float = PATIENCE) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._hub = hub
        self._slot = slot
        self._heartbeat = heartbeat
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        watcher = asyncio.get_running_loop().create_task(self._watch(receive), name="hints-client")
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await self._body(send, f"retry: {RETRY}\n\n".encode())
            while (message := await self._slot.take(self._heartbeat)) is not None:
                await self._body(send, message or b":\n\n")
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            # Returning without the end of the answer makes the server close the connection.
            limited.warning("slow", "a browser took no hint for too long and was cut off; it will connect again")
        finally:
            watcher.cancel()
            self._hub.leave(self._slot)

    async def _body(self, send: Send, body: bytes) -> None:
        async with asyncio.timeout(self._patience):
            await send({"type": "http.response.body", "body": body, "more_body": True})

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._slot.end()


router = APIRouter()


@router.get("/hints", include_in_schema=False)
async def hints(request: Request) -> Response:
    """The stream for one browser."""
    hub: Hub = request.app.state.hub
    slot = hub.join()
    if slot is None:
        raise HTTPException(503, "Too many browsers listen, or Umbel is stopping. The page still works when reloaded.")
    return HintStream(hub, slot)
