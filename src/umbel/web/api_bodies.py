"""What the API's routes take and give: JSON bodies with a bound, their schemas, answers that nobody caches."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from fastapi import HTTPException, Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect

from umbel.web.api_document import body

#: Bytes of a body.
BODY: Final = 1024 * 1024


async def read_body(request: Request, limit: int = BODY) -> bytes:
    """The body of a request; 413 where it is longer than `limit` bytes."""
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise HTTPException(413, f"The body is longer than {limit:,} bytes.")
            parts.append(part)
    except ClientDisconnect as gone:
        raise HTTPException(400, "The body has no end.") from gone
    return b"".join(parts)


async def decoded(request: Request, kind: type[Any], limit: int = BODY, *, what: str = "cannot be used") -> Any:
    """The body as `kind`, an empty one as `{}`; 400 where it is none, saying so by `what`."""
    try:
        return msgspec.json.decode(await read_body(request, limit) or b"{}", type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise HTTPException(400, f"The body {what}: {error}.") from error


def schema(kind: type[Any]) -> dict[str, Any]:
    """The `openapi_extra` of a route whose body is `kind`."""
    _, components = msgspec.json.schema_components([kind], ref_template="#/components/schemas/{name}")
    return body(components, kind.__name__)


def answer(value: object, status: int = 200) -> Response:
    """The value as JSON."""
    return Response(msgspec.json.encode(value), status, {"Cache-Control": "no-store"}, "application/json")
