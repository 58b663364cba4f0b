"""Queues over the API: a look at their messages, throwing them away, dead letters."""

from __future__ import annotations

from base64 import b64encode
from typing import Annotated, Any, Final

import msgspec
from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response
from msgspec import Meta, Struct

from umbel.brokers.base import Message
from umbel.web.actions import actor
from umbel.web.api_bodies import answer, decoded, schema
from umbel.web.api_control_models import (
    DeadLetterOut,
    DeadLettersOut,
    MessageOut,
    MessagesOut,
    MovedOut,
    PurgedOut,
)
from umbel.web.api_document import problems
from umbel.web.contents import LOOK, MOVE, Contents

router = APIRouter(prefix="/api/v1/queues", tags=["queues"])
#: What a route with a body may answer.
_ERRORS: Final = problems(400, 413)

Name = Annotated[str, Meta(min_length=1, max_length=1_000)]


class Peek(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The next messages of a queue; on RabbitMQ they are marked as redelivered."""

    queue: Name
    limit: Annotated[int, Meta(ge=1, le=LOOK)] = 20


class Purge(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that waits in a queue."""

    queue: Name


class PutBack(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Dead letters: to where each came from, or all into one queue."""

    queue: Name
    limit: Annotated[int, Meta(ge=1, le=MOVE)] = MOVE
    into: Annotated[str, Meta(max_length=255)] = ""


@router.post(
    "/peek", response_model=MessagesOut, operation_id="peek_queue", responses=_ERRORS, openapi_extra=schema(Peek)
)
async def peek(request: Request) -> Response:
    """The next messages of a queue, the first to be delivered first; they stay, in their order."""
    wanted: Peek = await decoded(request, Peek)
    found = await _contents(request).peek(wanted.queue, wanted.limit, actor(request, "api"))
    return answer(MessagesOut([_message(message) for message in found]))


@router.post(
    "/purge", response_model=PurgedOut, operation_id="purge_queue", responses=_ERRORS, openapi_extra=schema(Purge)
)
async def purge(request: Request) -> Response:
    """Throw away what waits in a queue; what workers hold stays."""
    wanted: Purge = await decoded(request, Purge)
    return answer(PurgedOut(await _contents(request).purge(wanted.queue, actor(request, "api"))))


@router.post(
    "/put-back",
    response_model=MovedOut,
    operation_id="put_back_dead_letters",
    responses=_ERRORS,
    openapi_extra=schema(PutBack),
)
async def put_back(request: Request) -> Response:
    """Move messages of a queue of dead letters back, each confirmed by the broker before it leaves."""
    wanted: PutBack = await decoded(request, PutBack)
    moved = await _contents(request).put_back(wanted.queue, wanted.limit, wanted.into, actor(request, "api"))
    return answer(MovedOut(dict(moved.into), moved.left, moved.why or None))


@router.get("/dead-letters", response_model=DeadLettersOut, operation_id="list_dead_letters", responses=problems())
async def dead_letters(request: Request) -> Response:
    """The queues of dead letters and whose they take; `null` where the broker has none to be known."""
    found = await to_thread.run_sync(_contents(request).dead_letters)
    items = None if found is None else [DeadLetterOut(one.name, one.ready, list(one.sources)) for one in found]
    return answer(DeadLettersOut(items))


def _contents(request: Request) -> Contents:
    contents: Contents = request.app.state.contents
    return contents


def _message(message: Message) -> MessageOut:
    return MessageOut(
        headers=_plain(message.headers),
        body=b64encode(message.body).decode(),
        size=message.size,
        content_type=message.content_type or None,
        exchange=message.exchange,
        routing_key=message.routing_key,
        priority=message.priority,
        redelivered=message.redelivered,
    )


def _plain(value: Any) -> Any:
    """Headers as JSON can hold them."""
    return msgspec.to_builtins(value, enc_hook=repr, str_keys=True)
