"""How long a client may take to ask: slow requests must not hold the connections that others need.

uvicorn bounds only idle time between requests. Here the head of a request has `HEAD` seconds from the connection, or
from its own first byte, and its body `BODY` seconds from the end of the head, however it is split.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from umbel.logs import Limited

log = logging.getLogger(__name__)
limited = Limited(log)

#: Seconds.
HEAD: Final = 15.0
BODY: Final = 60.0
#: Bytes of a request's line and headers.
HEADERS: Final = 32 * 1024

_LATE: Final = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Patient(H11Protocol):
    """uvicorn's connection, with an end to its patience."""

    _timer: asyncio.TimerHandle | None = None
    #: What is waited for: head, body, or nothing of the client's.
    _awaited: str = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._await("head")

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self._await("")
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def _look(self) -> None:
        """See what the client owes us now."""
        state: Any = self.conn.their_state
        if state is h11.SEND_BODY:
            self._await("body")
        elif state is h11.IDLE and (self.conn.trailing_data[0] or self.cycle is None):
            self._await("head")
        else:
            self._await("")

    def _await(self, what: str) -> None:
        if what == self._awaited:
            return
        self._awaited = what
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if what:
            self._timer = self.loop.call_later(HEAD if what == "head" else BODY, self._late)

    def _late(self) -> None:
        what, self._awaited, self._timer = self._awaited, "", None
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            # We are slow, not the client.
            self._await(what)
            return
        limited.warning("slow-request", f"a client was too slow with the {what} of its request and is cut off")
        begun = self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE)
        if not begun and (what == "body" or self.conn.trailing_data[0]):
            self.transport.write(_LATE)
        self.transport.close()
