"""Errors: the failures of all names, put together by fingerprint; resolved ones come back when they recur."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from umbel.model.rollup import RollupPoint, Series
from umbel.stores.journal import Entry
from umbel.stores.journal import Kind as Entered
from umbel.web.deps import Deps, get_deps
from umbel.web.pages.failure_cells import Whole, whole
from umbel.web.pages.failures import Kind, sample
from umbel.web.pages.figures import failure_share, merged
from umbel.web.pages.shared import Shared
from umbel.web.pages.spans import SPANS, Span, span_of
from umbel.web.pages.spark import Bar, bars
from umbel.web.render import page

router = APIRouter()
shared: Shared[Looked] = Shared()

#: Kinds that are shown.
ROWS: Final = 100
#: Share of the span, its end, in which a kind must have begun to be called new.
NEW: Final = 0.25
#: Seconds between refreshes.
EVERY: Final = 5.0


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of failure."""

    kind: Kind
    #: Failures of this kind in the span, and whether that is only about right.
    count: int
    rough: bool
    #: It was first seen in the last part of the span.
    new: bool
    spark: Sequence[Bar]
    #: When it was called resolved, UTC seconds, and by whom; None where it was not.
    resolved_at: float | None
    resolved_by: str

    @property
    def regressed(self) -> bool:
        """It was called resolved, and failed again since."""
        return self.resolved_at is not None and self.kind.last_at > self.resolved_at

    @property
    def state(self) -> str:
        """open, regressed or resolved."""
        return "open" if self.resolved_at is None else "regressed" if self.regressed else "resolved"


@dataclass(frozen=True, slots=True)
class Resolved:
    """A kind that was called resolved and of which none was looked at in the span."""

    key: str
    type: str
    place: str
    message: str
    at: float
    who: str


@dataclass(frozen=True, slots=True)
class Context:
    """What the template shows."""

    span: Span
    spans: Sequence[Span]
    #: "" (open and regressed) or "resolved".
    show: str
    rows: Sequence[Row]
    #: Kinds that are not shown because there are too many.
    hidden: int
    regressed: int
    resolved: int
    #: Of those resolved, the ones of which nothing was seen in the span.
    quiet: Sequence[Resolved]
    #: Whether they can be called resolved, and reopened.
    changeable: bool
    #: Failures in the span, by the rollups; how many were looked at, the rest being counted alone.
    failed: int
    failure_share: float | None
    looked_at: int
    more: bool
    #: Exceptions of names that were counted, and of which none could be looked at in time.
    unseen: int
    every: float


@dataclass(frozen=True, slots=True)
class Looked:
    """What the store knows of a span: the failures that the page speaks of, and what the rollups count."""

    failures: Whole
    points: Sequence[RollupPoint]


@router.get("/errors", response_class=HTMLResponse)
def show(
    request: Request,
    deps: Annotated[Deps, Depends(get_deps)],
    range_: Annotated[str, Query(alias="range")] = "",
    show_: Annotated[str, Query(alias="show")] = "",
) -> HTMLResponse:
    """The page; `range` as on the overview, `show` is resolved, or what is open."""
    span = span_of(range_)
    found = shared.get(
        request.app, span.name, max(EVERY / 2, 3 * span.every), deps.clock, lambda: looked_at(deps, span)
    )
    return page(request, "errors", load(deps, span.name, show_, found))


def looked_at(deps: Deps, span: Span) -> Looked:
    """What is the same for everybody who looks, whatever they call resolved meanwhile."""
    start = span.start(deps.clock.now())
    end = start + span.length
    failures = whole(deps.reader, sample(deps.reader, start), start, end, deps.clock)
    return Looked(failures, deps.reader.rollup(start, end, span.step))


def load(deps: Deps, range_: str = "", show_: str = "", looked: Looked | None = None) -> Context:
    """Everything that the page shows, read from the store; `looked` spares looking for failures."""
    now, span = deps.clock.now(), span_of(range_)
    start = span.start(now)
    looked = looked_at(deps, span) if looked is None else looked
    failures, points = looked.failures, looked.points
    found = failures.sample
    fresh = now - (now - start) * NEW
    # Where the history itself has only begun, everything would be new.
    compared = any(point.at < now - 2 * (now - fresh) for point in points)
    entries = {entry.key: entry for entry in deps.entries.read(Entered.RESOLVED)}
    every = [_row(kind, failures, entries, new=compared and kind.first_at >= fresh) for kind in found.kinds]
    # Back again first, then new; the rest by how often it failed.
    every.sort(key=lambda row: (not row.regressed, not row.new, -row.count))
    seen = {row.kind.fingerprint.key for row in every}
    resolved = [row for row in every if row.state == "resolved"]
    chosen = {"resolved": resolved, "all": every}
    rows = chosen[show_] if show_ in chosen else [row for row in every if row.state != "resolved"]
    quiet = [_resolved(entry) for entry in entries.values() if entry.key not in seen]
    whole = merged(points)
    return Context(
        span=span,
        spans=tuple(SPANS.values()),
        show="resolved" if show_ == "resolved" else "",
        rows=rows[:ROWS],
        hidden=max(0, len(rows) - ROWS),
        regressed=sum(row.regressed for row in every),
        resolved=len(resolved) + len(quiet),
        quiet=quiet[:ROWS],
        changeable=deps.entries.kept and not deps.settings.read_only,
        failed=whole.counts.get(Series.FAILED, 0),
        failure_share=failure_share(whole),
        looked_at=len(found.tasks),
        more=found.more,
        unseen=failures.unseen,
        every=EVERY,
    )


def _row(kind: Kind, failures: Whole, entries: Mapping[str, Entry], *, new: bool) -> Row:
    key = kind.fingerprint.key
    entry = entries.get(key)
    count, rough = failures.totals[key]
    trend = failures.trends[key]
    who = entry.texts.get("who", "") if entry else ""
    return Row(kind, count, rough, new, bars(trend, trend), entry.at if entry else None, who)


def _resolved(entry: Entry) -> Resolved:
    texts = entry.texts
    return Resolved(
        entry.key,
        texts.get("type", ""),
        texts.get("place", ""),
        texts.get("message", ""),
        entry.at,
        texts.get("who", ""),
    )
