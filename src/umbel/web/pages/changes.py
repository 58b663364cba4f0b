"""What is different now: failures never seen before, names slower or failing more than they used to, workers gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from umbel.model.latency import quantile
from umbel.model.rollup import RollupPoint
from umbel.model.worker import Worker
from umbel.stores.base import ExceptionCount, StoreReader
from umbel.web.filters import duration, quoted
from umbel.web.pages.failures import search_of
from umbel.web.pages.figures import ended, failure_share
from umbel.web.pages.spans import Span

#: Seconds before the span that it is compared with.
PAST: Final = 86_400
HOUR: Final = 3_600
#: Tasks that must have been measured, now and in the past, for a comparison to mean anything.
ENOUGH: Final = 20
#: How many times as slow, and at least how many seconds slower, a name's p95 must be.
SLOWER: Final = 2.0
SLOWER_BY: Final = 0.05
#: How many times as many of its tasks must fail, and at least how much more of them.
WORSE: Final = 2.0
WORSE_BY: Final = 0.02
#: Kinds of failure that are compared, the most frequent.
KINDS: Final = 500
#: Workers that are listed one by one; more of them are one change.
LISTED: Final = 2


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is different."""

    #: new, slower, failing or gone: its icon and its word.
    kind: str
    #: What it is about, and what is different about it.
    subject: str
    detail: str
    #: Where to look: a path, and the search to put there, "" for none.
    path: str
    query: str = ""
    #: How much it matters; the greatest stands first.
    weight: float = 0.0


@dataclass(frozen=True, slots=True)
class Changes:
    """All of them, the weightiest first; `compared` is False where there is no past to compare with yet."""

    found: Sequence[Change]
    compared: bool


def past_of(reader: StoreReader, span: Span, now: float) -> dict[str, RollupPoint]:
    """The day before the span, in whole hours (of which there are sums), by task name."""
    end = span.start(now) // HOUR * HOUR
    return {point.name: point for point in reader.rollup_names(end - PAST, end)}


def changes(
    reader: StoreReader, workers: Sequence[Worker], span: Span, now: float, before: Mapping[str, RollupPoint]
) -> Changes:
    """The span (UTC seconds) against the day before it, as `past_of` gives it."""
    start = span.start(now)
    end = start + span.length
    gone = _gone(workers, start, now)
    if not before:
        return Changes(gone, compared=False)
    points = reader.rollup_names(start, end)
    new = _new(reader.exceptions(start, end, KINDS), reader.exceptions(start - PAST, start, KINDS), span)
    found = [*new, *_slower(points, before), *_failing(points, before, span), *gone]
    return Changes(sorted(found, key=lambda change: -change.weight), compared=True)


def _new(now: Iterable[ExceptionCount], past: Iterable[ExceptionCount], span: Span) -> list[Change]:
    known = {(count.exception_type, count.name) for count in past}
    return [
        Change(
            "new",
            f"{count.exception_type or 'failure'} in {count.name or 'a task of unknown name'}",
            f"{count.count:,} {'time' if count.count == 1 else 'times'}, never in the day before",
            "/tasks",
            f"state:FAILURE {search_of(count, span)}",
            weight=10.0 + count.count,
        )
        for count in now
        if (count.exception_type, count.name) not in known
    ]


def _slower(points: Iterable[RollupPoint], before: Mapping[str, RollupPoint]) -> list[Change]:
    found = []
    for point in points:
        past = before.get(point.name)
        if past is None or min(sum(point.run.values()), sum(past.run.values())) < ENOUGH:
            continue
        now, was = quantile(point.run, 0.95) or 0.0, quantile(past.run, 0.95) or 0.0
        if now >= was * SLOWER and now >= was + SLOWER_BY:
            detail = f"p95 of its run is {duration(now)}, was {duration(was)} in the day before"
            found.append(Change("slower", point.name, detail, f"/names/{point.name}", weight=now / max(was, 1e-4)))
    return found


def _failing(points: Iterable[RollupPoint], before: Mapping[str, RollupPoint], span: Span) -> list[Change]:
    found = []
    for point in points:
        past = before.get(point.name)
        now, was = failure_share(point), failure_share(past) if past else None
        if past is None or now is None or was is None or min(ended(point), ended(past)) < ENOUGH:
            continue
        if now >= was * WORSE and now >= was + WORSE_BY:
            detail = f"{now * 100:.1f} % of it fails, was {was * 100:.1f} % in the day before"
            query = f"state:FAILURE finished:>-{span.name} name:{quoted(point.name)}"
            found.append(Change("failing", point.name, detail, "/tasks", query, weight=10.0 + now * 100))
    return found


def _gone(workers: Sequence[Worker], start: float, now: float) -> list[Change]:
    """Worker names that fell silent within the span without saying so, whatever process of theirs it was."""
    online = {worker.hostname for worker in workers if worker.online(now)}
    newest: dict[str, Worker] = {}
    for worker in workers:
        known = newest.get(worker.hostname)
        if worker.heartbeat and (known is None or worker.seen_at > known.seen_at):
            newest[worker.hostname] = worker
    lost = sorted(
        name
        for name, worker in newest.items()
        if name not in online and worker.seen_at >= start and not worker.said_goodbye
    )
    if len(lost) > LISTED:
        rest = f"{', '.join(lost[:LISTED])} and {len(lost) - LISTED} more are silent"
        return [Change("gone", f"{len(lost)} workers", rest, "/workers", weight=50.0)]
    return [
        Change("gone", name, f"silent for {duration(now - newest[name].seen_at)}", "/workers", weight=50.0)
        for name in lost
    ]
