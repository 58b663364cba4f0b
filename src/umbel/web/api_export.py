"""Any search as a file: `GET /api/v1/tasks/export`, streamed, a page of tasks in memory at a time.

Once an answer has begun, nothing can be added to it that would not be taken for a row. So how much is to come is told
before, in `X-Umbel-Tasks`, and completeness by HTTP itself: an export that fails ends without the last chunk, which
every client reports as a broken answer; a Parquet file lacks its footer then.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from umbel.errors import StoreError
from umbel.export.columns import COLUMNS, columns_of
from umbel.export.rows import rows
from umbel.export.sheets import Sheet
from umbel.model.search import parse
from umbel.web.api_document import problems
from umbel.web.deps import Injected

log = logging.getLogger(__name__)

#: Exports at once; more are told to come again.
EXPORTS: Final = 2
#: Seconds after which to come again.
RETRY: Final = 10
#: Seconds that a client may take to accept a piece before it is cut off.
PATIENCE: Final = 60.0
#: How many tasks are to come is counted up to here.
COUNTED: Final = 10_000


class Exports:
    """The exports under way in one app, with threads of their own, so that pages never wait for them."""

    def __init__(self, closed: Callable[[], bool], *, limit: int = EXPORTS) -> None:
        self._lock = threading.Lock()
        self.limit = limit
        #: Those under way.
        self.streams: set[ExportStream] = set()
        #: Whether the server is stopping.
        self.closed = closed

    def begin(self, stream: ExportStream) -> bool:
        """Whether there is room for one more; then `end` is to follow."""
        with self._lock:
            if self.closed() or len(self.streams) >= self.limit:
                return False
            self.streams.add(stream)
            return True

    def end(self, stream: ExportStream) -> None:
        """An export has ended, however it did."""
        with self._lock:
            self.streams.discard(stream)


class ExportStream(Response):
    """Sends pieces until they end, the client goes or is too slow, the store fails or the server stops."""

    def __init__(self, exports: Exports, pieces: Iterator[bytes], headers: dict[str, str]) -> None:
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._exports = exports
        self._pieces = pieces
        #: Whether the client has gone.
        self.gone = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        if not self._exports.begin(self):
            raise HTTPException(
                503,
                f"{self._exports.limit} exports are under way, which is all that this Umbel makes at once. Try again.",
                {"Retry-After": str(RETRY)},
            )
        watcher = asyncio.get_running_loop().create_task(self._watch(receive), name="export-client")
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await self._send_pieces(send)
        except StoreError as error:
            # Returning without the end of the answer makes the server close the connection: the client knows.
            log.warning("an export was cut off: %s", error)
        except TimeoutError:
            log.warning("an export was cut off: its client took nothing for %d seconds", PATIENCE)
        finally:
            watcher.cancel()
            self._exports.end(self)

    async def _send_pieces(self, send: Send) -> None:
        limiter = CapacityLimiter(1)
        while not self.gone and not self._exports.closed():
            piece = await to_thread.run_sync(next, self._pieces, None, limiter=limiter)
            if piece:
                async with asyncio.timeout(PATIENCE):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            elif piece is None:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone = True


def _pieces(sheet: Sheet, pages: Iterator[list[Any]]) -> Iterator[bytes]:
    yield sheet.begin()
    for page in pages:
        yield sheet.add(page)
    yield sheet.end()


_FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The file.",
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            "application/jsonl": {"schema": {"type": "string", "description": "An object a line."}},
            "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
        },
        "headers": {
            "X-Umbel-Tasks": {
                "description": "How many tasks matched when it began; `10000+` for more than that.",
                "schema": {"type": "string"},
            },
        },
    }
}

router = APIRouter(prefix="/api/v1", responses=problems(400, 501))


@router.get("/tasks/export", response_class=Response, operation_id="export_tasks", responses=_FILE, tags=["tasks"])
def export(
    request: Request,
    deps: Injected,
    q: Annotated[str, Query(description="A search in the query language.")] = "",
    form: Annotated[str, Query(alias="format", description="csv, jsonl or parquet.")] = "csv",
    columns: Annotated[
        str, Query(max_length=1_000, description=f"Names with commas between; all unless given: {', '.join(COLUMNS)}.")
    ] = "",
    *,
    limit: Annotated[int | None, Query(ge=1, description="Tasks at most; no limit unless given.")] = None,
) -> Response:
    """Every task that matches, the newest first, as a file.

    `X-Umbel-Tasks` says how many matched when it began, `10000+` for more than that; the limit is not counted in.
    """
    now = deps.clock.now()
    chosen = columns_of(columns)
    where = parse(q, now)
    sheet = deps.sheet(form, chosen)
    count = deps.reader.count(where, COUNTED)
    date = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {
        "Content-Type": sheet.media_type,
        "Content-Disposition": f'attachment; filename="umbel-tasks-{date}.{sheet.suffix}"',
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",
        "X-Umbel-Tasks": f"{count.n}{'+' if count.capped else ''}",
    }
    exports: Exports = request.app.state.exports
    return ExportStream(exports, _pieces(sheet, rows(deps.reader, where, chosen, limit)), headers)
