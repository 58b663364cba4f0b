"""Readiness: the pipeline judged, check by check, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from umbel.web.pipeline import ABSENT, STALE, Part, Pipeline

#: Seconds of lag, and share of the spool, from which the pipeline counts as behind.
LAG: Final = 10.0
SPOOL: Final = 0.8
#: Seconds without a word after which a collector counts as dead; a shorter silence may be a pause.
DEAD: Final = 30.0


class Level(StrEnum):
    """How a check ended, the worst last."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"


_RANK: Final = {level: rank for rank, level in enumerate(Level)}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    status: Level
    #: One line for people.
    detail: str


@dataclass(frozen=True, slots=True)
class Readiness:
    """Every check by its name, and the worst of them."""

    status: Level
    checks: Mapping[str, Check]

    @property
    def trouble(self) -> list[Check]:
        """The checks that are not ok, the worst first."""
        found = [check for check in self.checks.values() if check.status is not Level.OK]
        return sorted(found, key=lambda check: -_RANK[check.status])


def judge(pipeline: Pipeline, now: float) -> Readiness:
    """Look at every part of the pipeline; `now` is wall time, UTC seconds."""
    checks = dict(_checks(pipeline, now))
    worst = max((check.status for check in checks.values()), key=_RANK.__getitem__)
    return Readiness(worst, checks)


def _checks(pipeline: Pipeline, now: float) -> Iterator[tuple[str, Check]]:
    yield "store", _store(pipeline)
    for part in pipeline.parts:
        name = {"receive": "receiver", "collect": "collector", "alert": "alerting"}.get(part.name, part.name)
        yield name, _part(name, part, now)
    if pipeline.connected is not None:
        yield "broker", _broker(pipeline, now)
    if pipeline.spool_limit:
        yield "spool", _over(f"the spool is {pipeline.spool_share:.0%} full", over=pipeline.spool_share > SPOOL)
    yield "lag", _over(f"the store is {pipeline.lag_seconds:.1f} s behind", over=pipeline.lag_seconds > LAG)
    if pipeline.known:
        yield "books", _books(pipeline)
    yield "damage", _damage(pipeline)


def _over(detail: str, *, over: bool) -> Check:
    return Check(Level.DEGRADED if over else Level.OK, detail)


def _store(pipeline: Pipeline) -> Check:
    if pipeline.store_error:
        return Check(Level.DOWN, f"the store cannot be read: {pipeline.store_error}")
    return Check(Level.OK, f"{pipeline.tasks:,} tasks")


def _part(name: str, part: Part, now: float) -> Check:
    vital, where = part.name == "collect", f" on {part.host}" if part.host else ""
    if part.state == ABSENT:
        return Check(Level.DOWN if vital else Level.DEGRADED, f"the {name} does not run")
    if part.state == STALE:
        silence = now - part.at
        level = Level.DOWN if vital and silence > DEAD else Level.DEGRADED
        return Check(level, f"the {name} (pid {part.pid}{where}) has said nothing for {silence:.0f} s")
    if part.error:
        return Check(Level.DEGRADED, f"the {name} says: {part.error}")
    return Check(Level.OK, f"runs as pid {part.pid}{where}")


def _broker(pipeline: Pipeline, now: float) -> Check:
    for_ = f" for {max(0.0, now - pipeline.connected_since):.0f} s" if pipeline.connected_since else ""
    if pipeline.connected:
        return Check(Level.OK, f"connected{for_}")
    why = f": {pipeline.broker_error}" if pipeline.broker_error else ""
    return Check(Level.DEGRADED, f"the broker does not deliver{for_}{why}")


def _books(pipeline: Pipeline) -> Check:
    if pipeline.balanced:
        return Check(Level.OK, "the books balance")
    return Check(Level.DEGRADED, "the books do not balance: received is not stored + discarded")


def _damage(pipeline: Pipeline) -> Check:
    if not pipeline.set_aside:
        return Check(Level.OK, "nothing was set aside")
    newest = pipeline.set_aside[0]
    return Check(
        Level.DEGRADED, f"{len(pipeline.set_aside)} files that could not be used were set aside, the newest {newest}"
    )
