"""A task's message: what must be known of one to send it once more, and how to read that from what tells of it.

Arguments are kept in kombu's JSON, where a datetime is `{"__type__": "datetime", "__value__": "2026-…"}`: it is exact,
can be shown and corrected, and is decoded only where the message is made. A `repr` is never evaluated: it may have been
cut.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from umbel.errors import ControlError
from umbel.model.delayed import undelayed

#: The header of a new run that names the task that it is a run of.
HEADER: Final = "umbel_run_again_of"
#: Bytes of one message's body that are read.
BODY: Final = 8 * 1024 * 1024


class Unreadable(ControlError):
    """A message is not what Celery sends as JSON."""


class Source(StrEnum):
    """Where arguments were found; those of `TEXT` are no more than what a person may begin with."""

    RESULT = "result"
    WORKER = "worker"
    QUEUE = "queue"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Parcel:
    """A task as its message has it; what is not known is None or ""."""

    #: As it is registered, not its shadow.
    name: str
    #: In kombu's JSON.
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    #: None: not known. "" is the default exchange, whose routing key is the queue's name.
    exchange: str | None = None
    routing_key: str = ""
    priority: int | None = None
    #: Limits of its run, seconds.
    time_limit: float | None = None
    soft_time_limit: float | None = None
    shadow: str = ""
    #: It was part of a group, chord or chain, or others were to be called after it.
    woven: bool = False


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A task to be sent as it stands, to where it says, past all routes."""

    parcel: Parcel
    #: The id of the task; "": one is made.
    task_id: str = ""
    #: Seconds from now; None: at once, or never.
    countdown: float | None = None
    expires_in: float | None = None
    #: UTC, ISO 8601; "" for none.
    eta: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    root_id: str = ""
    parent_id: str = ""


def of_message(
    headers: Mapping[str, Any], body: bytes, exchange: str, routing_key: str, priority: int | None = None
) -> Parcel:
    """From a message in a queue; raises `Unreadable` for one that is not Celery's second protocol in JSON."""
    if len(body) > BODY:
        raise Unreadable(f"its message has {len(body):,} bytes, and at most {BODY:,} are read")
    try:
        args, kwargs, embedded = json.loads(body)
    except (ValueError, TypeError, RecursionError) as error:
        raise Unreadable(f"its message cannot be read as JSON: {error}") from error
    if not (isinstance(args, list) and isinstance(kwargs, dict) and isinstance(headers.get("task"), str)):
        raise Unreadable("its message is not one that Celery sends")
    exchange, routing_key = undelayed(exchange, routing_key)
    limits = headers.get("timelimit")
    hard, soft = limits if isinstance(limits, list | tuple) and len(limits) == 2 else (None, None)
    after = embedded if isinstance(embedded, dict) else {}
    return Parcel(
        name=headers["task"],
        args=args,
        kwargs=kwargs,
        exchange=exchange,
        routing_key=routing_key,
        priority=_whole(priority),
        time_limit=_seconds(hard),
        soft_time_limit=_seconds(soft),
        shadow=str(headers.get("shadow") or ""),
        woven=bool(headers.get("group") or any(after.values())),
    )


def of_info(info: Mapping[str, Any]) -> Parcel:
    """From what a worker tells of a task that it holds; raises `Unreadable` where it tells too little."""
    args, kwargs, name = info.get("args"), info.get("kwargs"), info.get("type") or info.get("name")
    if not (isinstance(args, list) and isinstance(kwargs, dict) and isinstance(name, str)):
        raise Unreadable("the worker does not tell its arguments")
    delivery = info.get("delivery_info")
    where: Mapping[str, Any] = delivery if isinstance(delivery, Mapping) else {}
    exchange, routing_key = where.get("exchange"), where.get("routing_key")
    known = isinstance(exchange, str) and isinstance(routing_key, str)
    exchange, routing_key = undelayed(str(exchange), str(routing_key)) if known else (None, "")
    shown = str(info.get("name") or "")
    return Parcel(
        name=name,
        args=args,
        kwargs=kwargs,
        exchange=exchange,
        routing_key=routing_key,
        priority=_whole(where.get("priority")),
        shadow=shown if shown != name else "",
    )


def suggestion(text: str, empty: str) -> tuple[str, bool]:
    """What a person may begin with, from the `repr` of arguments: JSON where it can be read as such, else the text.

    The second is whether it is JSON. Only literals are read (`ast.literal_eval`), nothing is called.
    """
    if not text:
        return empty, True
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return text, False
    try:
        return json.dumps(value, ensure_ascii=False, default=_refuse), True
    except (TypeError, ValueError, RecursionError):
        return text, False


def _refuse(value: object) -> Any:
    raise TypeError(f"{type(value).__name__} has no JSON")


def cut(text: str) -> bool:
    """Whether a `repr` may have been shortened where it was made."""
    return "..." in text or "…" in text


def _seconds(value: Any) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    return float(value) if usable else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
