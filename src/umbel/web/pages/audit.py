"""Audit: who had Umbel change what, what each worker answered, and who was refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from umbel.control.audit import DENIED, Recorded, Told
from umbel.web.deps import Deps, get_deps
from umbel.web.render import page

router = APIRouter()

#: Rows of one page, and replies of each that stand open.
ROWS: Final = 50
REPLIES: Final = 100
#: Characters of a row's arguments.
ARGUMENTS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Row:
    """One action."""

    item: Recorded
    #: As JSON, cut.
    arguments: str
    #: How many replies of each outcome.
    outcomes: Sequence[tuple[str, int]]
    replies: Sequence[Told]
    more: int
    #: Why somebody was not allowed it; "" where they were.
    denied: str


@dataclass(frozen=True, slots=True)
class Context:
    """What the template shows."""

    #: Whether this process keeps a trail at all.
    kept: bool
    rows: Sequence[Row]
    first: bool
    #: What `before` says on the next page.
    next: int | None
    read_only: bool


@router.get("/audit", response_class=HTMLResponse)
def show(
    request: Request,
    deps: Annotated[Deps, Depends(get_deps)],
    before: Annotated[int | None, Query(ge=1, le=2**62)] = None,
) -> HTMLResponse:
    """The page; `before`: only actions with a smaller number."""
    return page(request, "audit", load(deps, before))


def load(deps: Deps, before: int | None = None) -> Context:
    """Everything that the page shows, read from the trail, the newest first."""
    found = deps.audit.read(ROWS + 1, before) if deps.audit is not None else ()
    shown = found[:ROWS]
    return Context(
        kept=deps.audit is not None,
        rows=[_row(item) for item in shown],
        first=before is None,
        next=shown[-1].id if len(found) > ROWS else None,
        read_only=deps.settings.read_only,
    )


def _row(item: Recorded) -> Row:
    counts: dict[str, int] = {}
    for reply in item.replies:
        counts[reply.outcome] = counts.get(reply.outcome, 0) + 1
    text = msgspec.json.encode(item.action.arguments).decode() if item.action.arguments else ""
    return Row(
        item=item,
        arguments=text if len(text) <= ARGUMENTS else text[:ARGUMENTS] + "…",
        outcomes=list(counts.items()),
        replies=item.replies[:REPLIES],
        more=max(0, len(item.replies) - REPLIES),
        denied=next((reply.text for reply in item.replies if reply.outcome == DENIED), ""),
    )
