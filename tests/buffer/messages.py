"""Kombu envelopes as Celery's workers publish them to Redis, each event with a number of its own."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from typing import Any

from umbel.model.decode import Decoder
from umbel.model.event import EventClass, class_of_type

TYPES = {
    EventClass.HEARTBEAT: "worker-heartbeat",
    EventClass.QUEUED: "task-received",
    EventClass.RUNNING: "task-started",
    EventClass.TERMINAL: "task-succeeded",
}
CLASSES = list(TYPES)


def event(event_class: EventClass, number: int, *, padding: int = 0, worker: int = 0) -> dict[str, Any]:
    """An event of a class; its `clock` is its number."""
    fields: dict[str, Any] = {
        "type": TYPES[event_class],
        "hostname": f"w{worker}@host",
        "pid": 100 + worker,
        "clock": number,
        "utcoffset": 0,
        "timestamp": 1_750_000_000.0 + number,
    }
    if event_class is not EventClass.HEARTBEAT:
        fields["uuid"] = f"task-{number}"
    if event_class is EventClass.TERMINAL:
        fields["result"] = "r" * padding
    if event_class is EventClass.QUEUED:
        fields["args"] = "ä" * (padding // 2)
    return fields


def envelope(events: Sequence[dict[str, Any]], *, single: bool = False) -> bytes:
    """One message; with `single` its body is the event itself."""
    body = events[0] if single else list(events)
    return json.dumps(
        {
            "body": base64.b64encode(json.dumps(body).encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"hostname": "w0@host"},
            "properties": {"delivery_mode": 1, "body_encoding": "base64", "delivery_tag": "tag"},
        }
    ).encode()


def one(event_class: EventClass, number: int, **options: Any) -> bytes:
    """A message with one event."""
    return envelope([event(event_class, number, **options)], single=True)


def decoded(messages: Iterable[bytes]) -> list[tuple[int, EventClass]]:
    """Number and class of every event, in order; everything must be decodable."""
    found = Decoder().envelopes(messages)
    assert found.refused == []
    return [(item.clock or 0, class_of_type(str(item.__struct_config__.tag))) for item in found.events]
