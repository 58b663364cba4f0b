"""Reads a task's arguments from the result backend and sends a task as it stands, through Celery."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kombu import Exchange, Queue
from kombu.utils import json as kombu_json

from umbel.control.runs import WrongArguments
from umbel.model.message import Outgoing, Parcel


class _Straight:
    """A router that leaves everything as it is: the message goes where the first one went."""

    def route(self, options: dict[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        return options


def of_meta(meta: Mapping[str, Any]) -> Parcel | None:
    """What a backend with `result_extended` tells; None without it, or where JSON cannot hold the arguments."""
    name, args, kwargs = meta.get("name"), meta.get("args"), meta.get("kwargs")
    if not (isinstance(name, str) and isinstance(args, list | tuple) and isinstance(kwargs, Mapping)):
        return None
    try:
        plain = json.loads(kombu_json.dumps([args, kwargs]))
    except (TypeError, ValueError, RecursionError):
        return None
    key = meta.get("queue")
    return Parcel(
        name=name,
        args=plain[0],
        kwargs=plain[1],
        routing_key=key if isinstance(key, str) else "",
        woven=bool(meta.get("group_id")),
    )


def publish(app: Any, outgoing: Outgoing, **options: Any) -> str:
    """Send it; the new task's id. Raises `WrongArguments` for arguments in a notation that kombu does not know."""
    parcel = outgoing.parcel
    try:
        args, kwargs = kombu_json.loads(json.dumps([list(parcel.args), dict(parcel.kwargs)]))
    except (TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise WrongArguments(f"the arguments cannot be read: {str(error) or repr(error)}"[:300]) from error
    given = {
        "priority": parcel.priority,
        "shadow": parcel.shadow or None,
        "headers": dict(outgoing.headers),
        "task_id": outgoing.task_id or None,
        "root_id": outgoing.root_id or None,
        "parent_id": outgoing.parent_id or None,
        "countdown": outgoing.countdown,
        "eta": outgoing.eta or None,
        **{name: value for name, value in _limits(outgoing).items() if value is not None},
        **_where(parcel),
        **options,
    }
    return str(app.send_task(parcel.name, args, kwargs, **given).id)


def _limits(outgoing: Outgoing) -> dict[str, float | None]:
    """What is left out is the task's own."""
    parcel = outgoing.parcel
    return {
        "time_limit": parcel.time_limit,
        "soft_time_limit": parcel.soft_time_limit,
        "expires": outgoing.expires_in,
    }


def _where(parcel: Parcel) -> dict[str, Any]:
    """The address. Nothing is declared: a queue that is there may have properties of its own."""
    straight = {"router": _Straight(), "declare": (), "serializer": "json"}
    if parcel.exchange:
        return {**straight, "exchange": parcel.exchange, "routing_key": parcel.routing_key, "exchange_type": "direct"}
    return {**straight, "queue": Queue(parcel.routing_key, Exchange(""), no_declare=True)}
