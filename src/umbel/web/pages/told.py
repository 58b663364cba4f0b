"""What workers answer to inspection, made safe to show: their JSON has Celery's shape, or any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from umbel.model.task import epoch, rfc3339

#: Characters of one value.
CUT: Final = 300
#: No count, time or size is that great.
BEYOND: Final = 1e15


@dataclass(frozen=True, slots=True)
class Held:
    """A task that a worker holds."""

    id: str
    name: str
    #: Its arguments as the worker wrote them, cut.
    args: str
    #: UTC seconds: when it started, or is due.
    at: float | None
    pid: int | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What `stats` says; None where it does not."""

    #: Its short name, such as prefork; processes or threads, and those that may be.
    pool: str
    size: int | None
    prefetch: int | None
    uptime: float | None
    pid: int | None
    broker: str
    #: Seconds of CPU time in user and system mode, and the greatest resident size in bytes.
    user_seconds: float | None
    system_seconds: float | None
    resident: float | None
    #: Tasks it has taken, by name, the most first.
    totals: Sequence[tuple[str, int]]


def facts(value: Any) -> Facts:
    """What is to be known of the answer to `stats`."""
    told = _mapping(value)
    pool, usage, broker = _mapping(told.get("pool")), _mapping(told.get("rusage")), _mapping(told.get("broker"))
    counts = {str(name)[:CUT]: _whole(count) or 0 for name, count in _mapping(told.get("total")).items()}
    resident = _real(usage.get("maxrss"))
    size = _whole(pool.get("max-concurrency"))
    return Facts(
        pool=str(pool.get("implementation") or "").replace(":TaskPool", "").rpartition(".")[2][:CUT],
        size=size,
        prefetch=_whole(told.get("prefetch_count")),
        uptime=_real(told.get("uptime")),
        pid=_whole(told.get("pid")),
        broker=_address(broker),
        user_seconds=_real(usage.get("utime")),
        system_seconds=_real(usage.get("stime")),
        # Linux counts KiB.
        resident=resident * 1024 if resident is not None else None,
        totals=sorted(counts.items(), key=lambda item: -item[1])[:10],
    )


def held(value: Any) -> list[Held] | None:
    """The tasks of `active`, `reserved` or `scheduled`; None where it is no list."""
    if not isinstance(value, list):
        return None
    return [_held(item) for item in value if isinstance(item, Mapping)]


def _held(item: Mapping[str, Any]) -> Held:
    inner = _mapping(item.get("request")) or item
    eta = item.get("eta")
    start = _real(inner.get("time_start")) or (epoch(eta) if isinstance(eta, str) else None)
    # What no calendar holds is no time.
    start = start if rfc3339(start) else None
    args = " ".join(text for key in ("args", "kwargs") if (text := _text(inner.get(key))) not in ("", "()", "[]", "{}"))
    return Held(
        id=_text(inner.get("id")),
        name=_text(inner.get("name") or inner.get("type")),
        args=args[:CUT],
        at=start,
        pid=_whole(inner.get("worker_pid")),
    )


def texts(value: Any, key: str, limit: int) -> list[str]:
    """The texts of a list, or `key` of each of its objects."""
    if not isinstance(value, list):
        return []
    return [_text(_mapping(item).get(key)) if key else _text(item) for item in value[:limit]]


def pairs(value: Any, limit: int) -> list[tuple[str, str]]:
    """Names and values of an object, by name."""
    return sorted((str(name)[:CUT], _text(one)) for name, one in list(_mapping(value).items())[:limit])


def _address(broker: Mapping[str, Any]) -> str:
    transport, host, port = (_text(broker.get(name)) for name in ("transport", "hostname", "port"))
    return " ".join(part for part in (transport, f"{host}:{port}" if port else host) if part)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _real(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < BEYOND
    return float(value) if known else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < BEYOND else None


def _text(value: Any) -> str:
    if value is None:
        return ""
    return (value if isinstance(value, str) else msgspec.json.encode(value).decode())[:CUT]
