"""Ingest: the pipeline's own health, stage by stage, and what it could not keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from umbel import status
from umbel.errors import StoreError
from umbel.model.ledger import LedgerEntry, Quarantined, Reason
from umbel.web.deps import Deps, get_deps
from umbel.web.pages.stages import Stage, stages
from umbel.web.pipeline import Part, Pipeline
from umbel.web.readiness import Check
from umbel.web.render import page

router = APIRouter()

#: Rows of the ledger and of the quarantine that are shown.
LEDGER: Final = 200
QUARANTINE: Final = 50
#: Bytes of a quarantined event that are shown.
RAW: Final = 2_000

#: What each reason means, for people.
REASONS: Final = {
    Reason.SPOOL_FULL: "The spool was full; the least important events went first",
    Reason.QUEUE_FULL: "The broker's queue was full and dropped its oldest",
    Reason.DISCONNECTED: "The broker was away or cut us off",
    Reason.NOT_SENT: "A worker started more tasks than it told of",
    Reason.CONTENT_TYPE: "A serializer that Umbel refuses to run",
    Reason.MALFORMED: "Not a Celery event; see the quarantine",
    Reason.DAMAGED: "A damaged file; see what was set aside",
}


@dataclass(frozen=True, slots=True)
class Poison:
    """A quarantined event, its bytes made safe to show."""

    event: Quarantined
    text: str
    cut: bool


@dataclass(frozen=True, slots=True)
class PartRow:
    """One process of Umbel."""

    part: Part
    check: Check | None
    captured: int
    buffer: int


@dataclass(frozen=True, slots=True)
class Context:
    """What the template shows."""

    pipeline: Pipeline
    stages: Sequence[Stage]
    ledger: Sequence[LedgerEntry]
    ledger_full: bool
    quarantine: Sequence[Poison]
    parts: Sequence[PartRow]
    reasons: dict[Reason, str]
    missed: Sequence[tuple[str, int]]
    #: Why ledger and quarantine cannot be shown, or "".
    unreadable: str


@router.get("/ingest", response_class=HTMLResponse)
def show(request: Request, deps: Annotated[Deps, Depends(get_deps)]) -> HTMLResponse:
    """The page; it shows what it can while the store cannot be read."""
    return page(request, "ingest", load(deps))


def load(deps: Deps) -> Context:
    """Everything that the page shows, read from the parts' status and the store."""
    pipeline, readiness = deps.pipeline(), deps.readiness()
    ledger: Sequence[LedgerEntry] = ()
    poison: Sequence[Quarantined] = ()
    unreadable = ""
    try:
        ledger = deps.reader.ledger(LEDGER)
        poison = deps.reader.quarantine(QUARANTINE)
    except StoreError as error:
        unreadable = str(error)
    return Context(
        pipeline=pipeline,
        stages=stages(pipeline, readiness, deps.clock.now()),
        ledger=ledger,
        ledger_full=len(ledger) >= LEDGER,
        quarantine=[_poison(event) for event in poison],
        parts=[_row(part, readiness.checks) for part in pipeline.parts],
        reasons=REASONS,
        missed=sorted(pipeline.missed.items(), key=lambda item: -item[1]),
        unreadable=unreadable,
    )


def _row(part: Part, checks: Mapping[str, Check]) -> PartRow:
    name = {"receive": "receiver", "collect": "collector"}.get(part.name, part.name)
    check = checks.get(name)
    captured = int(part.values.get(status.CAPTURED, 0))
    return PartRow(part, check, captured, int(part.values.get(status.BUFFER, 0)))


def _poison(event: Quarantined) -> Poison:
    """Bytes as text: what is not printable ASCII or UTF-8 stands as its escape."""
    text = event.raw[:RAW].decode("utf-8", "backslashreplace")
    safe = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return Poison(event, safe, len(event.raw) > RAW)
