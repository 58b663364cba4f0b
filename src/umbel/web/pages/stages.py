"""The way of an event as the pages draw it: broker, receiver, spool, collector, store, web."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from umbel import status
from umbel.web.filters import duration, number, size
from umbel.web.pipeline import Part, Pipeline
from umbel.web.readiness import Check, Level, Readiness

_RANK: Final = {Level.OK: 0, Level.DEGRADED: 1, Level.DOWN: 2}


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: how it fares, its figure, and a line about it."""

    name: str
    #: A `Level`, or "" where it is not known or not used.
    level: str
    value: str
    note: str
    #: How full it is, 0 to 1, where it can fill.
    fill: float | None = None


def stages(pipeline: Pipeline, readiness: Readiness, now: float) -> list[Stage]:
    """All six, in the order in which an event passes them; `now` is wall time, UTC seconds."""
    checks = readiness.checks
    receiver, collector = pipeline.part("receive"), pipeline.part("collect")
    return [
        _broker(pipeline, checks, now),
        _receiver(receiver, checks, spooled=bool(pipeline.spool_limit)),
        _spool(pipeline, checks),
        _collector(pipeline, collector, checks),
        _store(pipeline, checks, now),
        Stage("Web", Level.OK.value, "Serving", "this page"),
    ]


def _level(checks: Mapping[str, Check], *names: str) -> str:
    found = [checks[name].status for name in names if name in checks]
    return max(found, key=_RANK.__getitem__).value if found else ""


def _broker(pipeline: Pipeline, checks: Mapping[str, Check], now: float) -> Stage:
    if pipeline.connected is None:
        return Stage("Broker", "", "Unknown", "no part tells whether it is connected")
    again = f", {pipeline.reconnects:,} reconnects" if pipeline.reconnects else ""
    for_ = f"for {duration(max(0.0, now - pipeline.connected_since))}" if pipeline.connected_since else ""
    where = next((part.texts["broker"] for part in pipeline.parts if "broker" in part.texts), "")
    note = " · ".join(text for text in (where, f"{for_}{again}".strip(", ")) if text)
    return Stage("Broker", _level(checks, "broker"), "Connected" if pipeline.connected else "Not connected", note)


def _receiver(part: Part | None, checks: Mapping[str, Check], *, spooled: bool) -> Stage:
    if part is None and not spooled:
        return Stage("Receiver", "", "Not needed", "the broker's own queue holds events until they are stored")
    level = _level(checks, "receiver")
    if part is None or part.state == "absent":
        return Stage("Receiver", level, "Not running", "start it with umbel receive, or use umbel up")
    captured = f"{number(int(part.values.get(status.CAPTURED, 0)))} events since it began"
    return Stage("Receiver", level, part.state.capitalize(), part.error or f"pid {part.pid} · {captured}")


def _spool(pipeline: Pipeline, checks: Mapping[str, Check]) -> Stage:
    if not pipeline.spool_limit:
        return Stage("Spool", "", "Not needed", "no events wait on this machine's disk")
    share = pipeline.spool_share
    note = f"{size(pipeline.spool_bytes)} of {size(pipeline.spool_limit)}"
    return Stage("Spool", _level(checks, "spool"), f"{share:.1%} full" if share else "Empty", note, share)


def _collector(pipeline: Pipeline, part: Part | None, checks: Mapping[str, Check]) -> Stage:
    level = _level(checks, "collector", "lag")
    if part is None or part.state == "absent":
        return Stage("Collector", level, "Not running", "start it with umbel collect, or use umbel up")
    rate = "–" if pipeline.rate is None else number(round(pipeline.rate, 1))
    note = part.error or f"{duration(pipeline.lag_seconds)} behind · commit {duration(pipeline.commit_seconds)}"
    return Stage("Collector", level, f"{rate} events/s" if part.state == "running" else part.state.capitalize(), note)


def _store(pipeline: Pipeline, checks: Mapping[str, Check], now: float) -> Stage:
    level = _level(checks, "store", "damage")
    if pipeline.store_error:
        return Stage("Store", level, "Cannot be read", pipeline.store_error)
    since = f" · committed {duration(max(0.0, now - pipeline.committed_at))} ago" if pipeline.committed_at else ""
    return Stage("Store", level, f"{number(pipeline.tasks)} tasks", f"{size(pipeline.store_bytes)}{since}")
