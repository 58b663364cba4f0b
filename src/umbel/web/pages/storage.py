"""Storage: what the history takes on disk, piece by piece, and what another retention would drop of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from umbel.model.holdings import Dropped, Part
from umbel.retention import Retention, parse_retention
from umbel.settings_option import parse_size
from umbel.web.deps import Deps, get_deps
from umbel.web.render import page

router = APIRouter()

#: Pieces that are listed, the newest.
ROWS: Final = 200


@dataclass(frozen=True, slots=True)
class Piece:
    """One segment or partition; `share` of the largest one's bytes, 0 to 1."""

    part: Part
    share: float
    bytes_a_task: float | None


@dataclass(frozen=True, slots=True)
class Effect:
    """What one rule of a retention drops."""

    rule: str
    dropped: Dropped


@dataclass(frozen=True, slots=True)
class Preview:
    """What a retention would drop, rule by rule; not complete where the time was up before all was looked at."""

    effects: Sequence[Effect]
    tasks: int
    bytes: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Context:
    """What the template shows."""

    pieces: Sequence[Piece]
    hidden: int
    tasks: int
    bytes: int
    sealed: int
    #: The earliest time of any task that is kept, UTC seconds.
    first_at: float | None
    #: What is set, as `--retention` and `--retention-bytes` say it.
    keep: str
    keep_bytes: str
    #: What was asked for, and what it would do; `problem` where it cannot be understood.
    asked: str
    asked_bytes: str
    preview: Preview | None
    problem: str


@router.get("/storage", response_class=HTMLResponse)
def show(
    request: Request,
    deps: Annotated[Deps, Depends(get_deps)],
    keep: Annotated[str, Query(max_length=2_000)] = "",
    bytes_: Annotated[str, Query(alias="bytes", max_length=50)] = "",
) -> HTMLResponse:
    """The page; `keep` and `bytes` are a retention to try, as `--retention` and `--retention-bytes` take it."""
    context = load(deps, keep, bytes_)
    return page(request, "storage", context, 400 if context.problem else 200)


def load(deps: Deps, keep: str = "", bytes_: str = "") -> Context:
    """Everything that the page shows, read from the store."""
    settings, reader = deps.settings, deps.reader
    parts = reader.parts()
    largest = max((part.bytes for part in parts), default=0)
    preview, problem = None, ""
    if keep or bytes_:
        try:
            retention = _retention(keep or str(settings.retention), bytes_ or str(settings.retention_bytes))
            preview = _preview(deps, retention)
        except ValueError as error:
            problem = str(error)
    return Context(
        pieces=[_piece(part, largest) for part in parts[:ROWS]],
        hidden=max(0, len(parts) - ROWS),
        tasks=sum(part.tasks for part in parts),
        bytes=reader.state().bytes,
        sealed=sum(part.sealed for part in parts),
        first_at=min((part.first_at for part in parts if part.first_at is not None), default=None),
        keep=str(settings.retention),
        keep_bytes=str(settings.retention_bytes) if settings.retention_bytes else "",
        asked=keep,
        asked_bytes=bytes_,
        preview=preview,
        problem=problem,
    )


def _piece(part: Part, largest: int) -> Piece:
    return Piece(part, part.bytes / largest if largest else 0.0, part.bytes / part.tasks if part.tasks else None)


def _retention(keep: str, bytes_: str) -> Retention:
    return replace(parse_retention(keep), size=parse_size(bytes_) or None)


def _preview(deps: Deps, retention: Retention) -> Preview:
    found = deps.reader.preview(retention, deps.clock.now())
    effects = [Effect(str(rule), dropped) for rule, dropped in zip(retention.rules, found.rules, strict=True)]
    if retention.age is not None:
        effects.append(Effect(f"older than {str(retention).rsplit(', ', 1)[-1]}", found.age))
    if retention.size is not None:
        effects.append(Effect("beyond the bound of bytes, the oldest first", found.size))
    return Preview(
        effects=effects,
        tasks=sum(effect.dropped.tasks for effect in effects),
        bytes=sum(effect.dropped.bytes for effect in effects),
        complete=found.complete,
    )
