"""RedBeat's entries, read from the Redis that it keeps them in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from umbel.errors import BrokerError
from umbel.settings import Settings
from umbel.sources.redis_client import ERRORS, connect, explain
from umbel.sources.redis_url import RedisOptions

#: Entries that are read, and seconds for each step.
ENTRIES: Final = 1_000
TIMEOUT: Final = 1.5
#: Bytes of one entry's definition.
BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class BeatEntry:
    """What Redis holds of one entry; times are UTC seconds."""

    name: str
    definition: Mapping[str, Any]
    next_at: float
    last_run_at: float | None


def redbeat_entries(settings: Settings, prefix: str = "redbeat:") -> list[BeatEntry]:
    """The entries of `<prefix>:schedule`, those due first; empty where there is no such key; raises `BrokerError`."""
    options = RedisOptions.from_settings(settings)
    options = replace(
        options, connect_timeout=min(TIMEOUT, options.connect_timeout), timeout=min(TIMEOUT, options.timeout)
    )
    client = None
    try:
        client = connect(options, "umbel-beat", 0)
        members: Any = client.zrange(f"{prefix}:schedule", 0, ENTRIES - 1, withscores=True)
        pipeline = client.pipeline(transaction=False)
        for key, _ in members:
            pipeline.hmget(key, ["definition", "meta"])
        hashes = pipeline.execute() if members else []
    except ERRORS as error:
        raise BrokerError(explain(error, options)) from error
    finally:
        if client is not None:
            client.close()
    found = [
        _entry(key, due, definition, meta, prefix)
        for (key, due), (definition, meta) in zip(members, hashes, strict=True)
    ]
    return [entry for entry in found if entry is not None]


def _entry(key: bytes | str, due: float, definition: Any, meta: Any, prefix: str) -> BeatEntry | None:
    told = _object(definition)
    if told is None:
        # Dropped between the two questions, or none of RedBeat's.
        return None
    name = (key.decode(errors="replace") if isinstance(key, bytes) else key).removeprefix(prefix)
    return BeatEntry(name, told, float(due), _moment((_object(meta) or {}).get("last_run_at")))


def _object(raw: Any) -> dict[str, Any] | None:
    try:
        value = json.loads(raw) if raw and len(raw) <= BYTES else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _moment(value: Any) -> float | None:
    """RedBeat's way to write a time: its parts; None for one in another zone than UTC."""
    if not isinstance(value, dict):
        return None
    if value.get("timezone", "UTC") != "UTC":
        return None
    units = ("year", "month", "day", "hour", "minute", "second", "microsecond")
    try:
        told: dict[str, Any] = {unit: int(value.get(unit) or 0) for unit in units}
        return datetime(**told, tzinfo=UTC).timestamp()
    except (TypeError, ValueError):
        return None
