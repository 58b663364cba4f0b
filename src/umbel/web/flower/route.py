"""What every route of Flower's API has: the gate in front, its way to tell errors, its JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request
from fastapi.responses import PlainTextResponse, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from umbel.errors import BrokerError, ControlError, StoreError
from umbel.web.deps import Deps, get_deps

JSON: Final = "application/json; charset=UTF-8"
TEXT: Final = "text/plain; charset=UTF-8"
HTML: Final = "text/html; charset=UTF-8"
CLOSED: Final = "FLOWER_UNAUTHENTICATED_API environment variable is required to enable API without authentication"
READ_ONLY: Final = "Read only mode is enabled"
UNAVAILABLE: Final = "Broker or result backend unavailable"


class Refusal(Exception):
    """An answer that is no success, as Flower words it."""

    def __init__(self, status: int, text: str, media: str = TEXT) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.media = media


Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class FlowerRoute(APIRoute):
    """Tells errors as Flower does: a line of text, and 503 where Flower answers 500."""

    def get_route_handler(self) -> Handler:
        original = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await original(request)
            except Refusal as refusal:
                return Response(refusal.text, refusal.status, media_type=refusal.media)
            except (StoreError, ControlError, BrokerError):
                return PlainTextResponse(UNAVAILABLE, 503, media_type=TEXT)
            except HTTPException as error:
                return PlainTextResponse(str(error.detail), error.status_code, media_type=TEXT)

        return handle


class GatedRoute(FlowerRoute):
    """A route under /api: closed without authentication unless it was opened on purpose."""

    def get_route_handler(self) -> Handler:
        original = super().get_route_handler()

        async def handle(request: Request) -> Response:
            if not is_open(request):
                return PlainTextResponse(CLOSED, 401, media_type=TEXT)
            return await original(request)

        return handle


def is_open(request: Request) -> bool:
    """Whether this request may use Flower's API: somebody has signed in, or it is open to all."""
    deps: Deps = get_deps(request)
    return bool(request.scope.get("umbel.user")) or deps.settings.unauthenticated_api


def writes(deps: Deps) -> None:
    """Refuse what would change something while read-only."""
    if deps.settings.read_only:
        raise Refusal(403, READ_ONLY)


def answer(value: object, status: int = 200) -> Response:
    """JSON as Flower writes it; the order of keys is kept."""
    return Response(json.dumps(value), status, {"Cache-Control": "no-store"}, JSON)
