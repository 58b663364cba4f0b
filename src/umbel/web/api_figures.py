"""Figures over a span of time as JSON: task names, kinds of failure, what is different now."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from umbel.model.task import rfc3339
from umbel.web.api_bodies import answer
from umbel.web.api_document import problems
from umbel.web.api_models import (
    ChangeOut,
    ChangesOut,
    ErrorKindOut,
    ErrorsOut,
    NameOut,
    NamesOut,
    PercentilesOut,
)
from umbel.web.deps import Injected
from umbel.web.pages import errors, overview
from umbel.web.pages.figures import Percentiles
from umbel.web.pages.names import Row as NameRow
from umbel.web.pages.names import ranked
from umbel.web.pages.spans import span_of

#: Names in one answer, at most.
NAMES: Final = 1_000

router = APIRouter(prefix="/api/v1", responses=problems(400))

Range = Annotated[Literal["15m", "1h", "6h", "24h"], Query(alias="range", description="The span up to now.")]


@router.get("/names", response_model=NamesOut, operation_id="list_names", tags=["figures"])
def names(
    deps: Injected,
    range_: Range = "1h",
    sort: Annotated[
        Literal["ended", "failed", "share", "run", "wait"],
        Query(description="What is greatest first: ended tasks, failures, failure share, p95 of run or of wait."),
    ] = "ended",
    limit: Annotated[int, Query(ge=1, le=NAMES, description="Items in the answer.")] = 100,
) -> Response:
    """Every task name that ran: how often, how long it took, how often it failed."""
    span = span_of(range_)
    rows = ranked(deps.reader, span, span.start(deps.clock.now()), sort)
    return answer(NamesOut([_name(row) for row in rows[:limit]], len(rows) > limit))


def _name(row: NameRow) -> NameOut:
    share = row.failure_share
    return NameOut(row.name, row.ended, row.rate, row.failed, row.retried, share, _seconds(row.wait), _seconds(row.run))


def _seconds(found: Percentiles) -> PercentilesOut:
    return PercentilesOut(found.p50, found.p95, found.p99)


@router.get("/errors", response_model=ErrorsOut, operation_id="list_errors", tags=["errors"])
def kinds(
    request: Request,
    deps: Injected,
    range_: Range = "1h",
    state: Annotated[
        Literal["open", "resolved", "all"], Query(description="`open` has those that failed again as well.")
    ] = "open",
) -> Response:
    """The newest failures put together by fingerprint."""
    span = span_of(range_)
    looked = errors.shared.get(
        request.app, span.name, errors.EVERY / 2, deps.clock, lambda: errors.looked_at(deps, span)
    )
    found = errors.load(deps, span.name, state, looked)
    items = [_kind(row) for row in found.rows]
    if state != "open":
        items += [_quiet(one) for one in found.quiet]
    return answer(ErrorsOut(items, found.failed, found.looked_at, not (found.hidden or found.unseen)))


def _kind(row: errors.Row) -> ErrorKindOut:
    kind, print_ = row.kind, row.kind.fingerprint
    return ErrorKindOut(
        key=print_.key,
        type=print_.type,
        message=print_.message,
        place=print_.place,
        state=row.state,
        new=row.new,
        count=row.count,
        estimated=row.rough,
        names=dict(kind.names),
        first_at=rfc3339(kind.first_at),
        last_at=rfc3339(kind.last_at),
        latest_id=kind.latest.id,
        resolved_at=rfc3339(row.resolved_at),
        resolved_by=row.resolved_by or None,
        search=kind.query,
    )


def _quiet(one: errors.Resolved) -> ErrorKindOut:
    return ErrorKindOut(
        key=one.key,
        type=one.type,
        message=one.message,
        place=one.place,
        state="resolved",
        new=False,
        count=0,
        estimated=False,
        names={},
        first_at=None,
        last_at=None,
        latest_id=None,
        resolved_at=rfc3339(one.at),
        resolved_by=one.who or None,
        search=None,
    )


@router.get("/changes", response_model=ChangesOut, operation_id="list_changes", tags=["figures"])
def changed(request: Request, deps: Injected, range_: Range = "1h") -> Response:
    """What is different from the day before the span: new failures, slower or worse names, workers gone."""
    found = overview.known_changes(request.app, deps, span_of(range_))
    items = [ChangeOut(one.kind, one.subject, one.detail, one.query or None) for one in found.found]
    return answer(ChangesOut(items, found.compared))
