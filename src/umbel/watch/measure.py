"""What each kind of rule finds when it looks."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final
from urllib.parse import quote

from umbel.access.identity import glob
from umbel.alerts.machine import Finding, Reading
from umbel.alerts.rules import Kind, Rule, span
from umbel.errors import UmbelError
from umbel.logs import Limited
from umbel.model.latency import quantile
from umbel.model.query import And, Compare, Field, Op, Or, Order, Page
from umbel.model.rollup import RollupPoint, Series
from umbel.model.search import parse
from umbel.model.task import State, epoch
from umbel.model.worker import Worker
from umbel.watch.sight import Look
from umbel.web.filters import duration, number, quoted
from umbel.web.pages.figures import ended, failure_share, merged
from umbel.web.readiness import Level, judge

limited = Limited(logging.getLogger(__name__))

#: Tasks looked at to find the one that has waited longest in a queue: those before it wait for their time.
WAITING: Final = 40
#: Tasks counted beyond a threshold, so that whoever is told sees by how much.
COUNTED: Final = 1_000
#: Times of a task, of which one must lie in the span of a search.
TIMES: Final = (Field.FINISHED, Field.STARTED, Field.RECEIVED, Field.SENT)


def measure(rule: Rule, look: Look) -> Reading:
    """What the rule holds for at this moment; raises nothing: what cannot be judged is an error of the reading."""
    try:
        return _MEASURES[rule.on](rule, look)
    except UmbelError as error:
        return Reading(error=str(error))
    except Exception as error:  # noqa: BLE001 - a fault in one rule's way must not end the watch of all others
        limited.warning(rule.name, f"rule {rule.name!r} could not be judged: {error!r}")
        return Reading(error=repr(error))


def _search(rule: Rule, look: Look) -> Reading:
    since = look.now - rule.within
    times = Or(tuple(Compare(field, Op.GE, since) for field in TIMES))
    where = And((parse(rule.search, look.now), times))
    bound = int(rule.under if rule.under is not None else rule.over + 1 + COUNTED)
    count = look.reader.count(where, bound)
    shown = f"{count.n:,}{'+' if count.capped else ''} in {span(rule.within)}"
    # Capped below the threshold: the time was up before all had been looked at.
    if count.capped and count.n < (rule.under if rule.under is not None else rule.over + 1):
        return Reading(now=shown, error="the tasks could not be counted in time; a shorter `within` can")
    within = " OR ".join(f"{field.value}:>-{span(rule.within)}" for field in TIMES)
    query = f"({rule.search}) ({within})"
    if rule.under is None:
        if count.n <= rule.over:
            return Reading(now=shown)
        return Reading({"": Finding(f"{shown}, over {rule.over:,.0f}", count.n, "/tasks", query)}, shown)
    if count.n >= rule.under:
        return Reading(now=shown)
    if why := look.blind():
        return Reading(now=shown, error=f"{why}, so tasks may be missing")
    finding = Finding(f"{shown}, fewer than {rule.under:,.0f}", rule.under - count.n, "/tasks", query)
    return Reading({"": finding}, shown)


def _points(rule: Rule, look: Look) -> dict[str, RollupPoint]:
    """What the rule is about: by task name, or all together under "*"."""
    matches = glob(rule.pattern)
    points = {point.name: point for point in look.names(rule.within) if matches.match(point.name)}
    return points if rule.per_name else {"*": merged(points.values())}


def _named(rule: Rule, key: str) -> tuple[str, str]:
    """The key of what is found, and the term of a search that it stands for."""
    if key != "*":
        return key, f"name:={quoted(key)}"
    return "", "" if rule.pattern == "*" else f"name:{rule.pattern}"


def _failures(rule: Rule, look: Look) -> Reading:
    found: dict[str, Finding] = {}
    worst: tuple[float, str] | None = None
    for key, point in _points(rule, look).items():
        share = failure_share(point)
        if share is None or ended(point) < rule.at_least:
            continue
        percent, failed = share * 100, point.counts.get(Series.FAILED, 0)
        worst = max(worst or (percent, key), (percent, key))
        if percent > rule.over:
            name, term = _named(rule, key)
            detail = f"{percent:.1f} % fail ({failed:,} of {ended(point):,} in {span(rule.within)})"
            query = f"state:FAILURE finished:>-{span(rule.within)} {term}".strip()
            found[name] = Finding(detail, percent, "/tasks", query)
    return Reading(found, f"{worst[0]:.1f} %{_worst(worst[1])}" if worst else "too few tasks")


def _worst(key: str) -> str:
    return "" if key == "*" else f", {key}"


def _latency(rule: Rule, look: Look) -> Reading:
    found: dict[str, Finding] = {}
    worst: tuple[float, str] | None = None
    for key, point in _points(rule, look).items():
        histogram = point.run if rule.of == "run" else point.wait
        seconds = quantile(histogram, rule.percentile / 100)
        if seconds is None or sum(histogram.values()) < rule.at_least:
            continue
        worst = max(worst or (seconds, key), (seconds, key))
        if seconds > rule.over:
            name, term = _named(rule, key)
            detail = f"p{rule.percentile:g} of {rule.of} is {duration(seconds)}, over {duration(rule.over)}"
            at = "finished" if rule.of == "run" else "started"
            query = f"{rule.of}:>{rule.over:g}s {at}:>-{span(rule.within)} {term}".strip()
            found[name] = Finding(detail, seconds, "/tasks", query)
    return Reading(found, f"{duration(worst[0])}{_worst(worst[1])}" if worst else "too few tasks")


def _exact(pattern: str) -> tuple[str, ...]:
    return () if "*" in pattern else (pattern,)


def _queue(rule: Rule, look: Look) -> Reading:
    matches = glob(rule.pattern)
    depths = {
        name: depth.ready
        for name, depth in look.depths(_exact(rule.pattern)).items()
        if matches.match(name) and depth.ready is not None
    }
    found = {
        name: Finding(f"{ready:,} messages wait, over {rule.over:,.0f}", ready, "/queues")
        for name, ready in depths.items()
        if ready > rule.over
    }
    longest = max(depths, key=lambda name: depths[name], default="")
    return Reading(found, f"{depths[longest]:,}, {longest}" if depths else "no queue")


def _queue_age(rule: Rule, look: Look) -> Reading:
    matches = glob(rule.pattern)
    ages: dict[str, float] = {}
    for name, depth in look.depths(_exact(rule.pattern)).items():
        # What nobody knows the end of is no task that waits, once the broker says that the queue is empty.
        if matches.match(name) and (depth.ready or 0) > 0 and (since := _oldest(rule, look, name)) is not None:
            ages[name] = look.now - since
    found = {
        name: Finding(
            f"a task has waited for {duration(age)}, over {duration(rule.over)}",
            age,
            "/tasks",
            f"(state:PENDING OR state:RECEIVED) queue:={quoted(name)}",
        )
        for name, age in ages.items()
        if age > rule.over
    }
    longest = max(ages, key=lambda name: ages[name], default="")
    return Reading(found, f"{duration(ages[longest])}, {longest}" if ages else "nothing waits")


def _oldest(rule: Rule, look: Look, queue: str) -> float | None:
    """Since when the task has waited that waits longest, of those whose time has come; UTC seconds."""
    waiting = Or(tuple(Compare(Field.STATE, Op.EQ, state.value) for state in (State.PENDING, State.RECEIVED)))
    recent = Or(tuple(Compare(field, Op.GE, look.now - rule.within) for field in (Field.SENT, Field.RECEIVED)))
    where = And((Compare(Field.QUEUE, Op.EQ, queue), waiting, recent))
    tasks = look.reader.tasks(where, Page(WAITING, order=Order.OLDEST)).items
    records = look.reader.records([task.id for task in tasks])
    since = []
    for task in tasks:
        record = records.get(task.id)
        due = epoch(record.description.eta) if record and record.description else None
        began = max(task.sent_at or task.received_at or task.updated_at, due or 0.0)
        if began <= look.now:
            since.append(began)
    return min(since, default=None)


def _worker(rule: Rule, look: Look) -> Reading:
    if why := look.blind():
        return Reading(error=f"{why}, so workers may seem to be gone")
    matches, online, newest = glob(rule.pattern), set[str](), dict[str, Worker]()
    for worker in look.workers():
        if not worker.heartbeat or not matches.match(worker.hostname):
            continue
        if worker.online(look.now):
            online.add(worker.hostname)
        known = newest.get(worker.hostname)
        newest[worker.hostname] = worker if known is None or worker.seen_at > known.seen_at else known
    found = {
        name: _silent(name, look.now - worker.seen_at)
        for name, worker in newest.items()
        if name not in online and not worker.said_goodbye and look.now - worker.seen_at <= rule.within
    }
    return Reading(found, f"{len(online)} online, {len(found)} gone")


def _silent(name: str, seconds: float) -> Finding:
    return Finding(f"silent for {duration(seconds)}", seconds, f"/workers/{quote(name, safe='@')}")


def _schedule(rule: Rule, look: Look) -> Reading:
    if why := look.blind():
        return Reading(error=f"{why}, so runs may not have been seen")
    matches = glob(rule.pattern)
    rows = [row for row in look.schedules() if row.planned.enabled and matches.match(row.planned.name)]
    found: dict[str, Finding] = {}
    for row in rows:
        late = row.verdict.late
        if late is not None and late > rule.over:
            found[row.planned.name] = Finding(
                f"{row.planned.task} was due {duration(late)} ago and has not run", late, "/schedules"
            )
    return Reading(found, f"{len(found)} of {len(rows)} entries" if rows else "no schedule can be read")


def _exception(rule: Rule, look: Look) -> Reading:
    matches = glob(rule.pattern)
    found = {
        key: Finding(
            f"{failure.type or 'failure'} in {failure.name or 'a task of unknown name'}: {failure.message[:160]}"
            + (f" ({failure.place})" if failure.place else ""),
            failure.first_at,
            f"/tasks/{quote(failure.task, safe='')}",
        )
        for key, failure in look.known.items()
        if look.now - failure.first_at < rule.within and matches.match(failure.name)
    }
    return Reading(found, f"{len(found)} new in {span(rule.within)}, {len(look.known):,} known")


def _events(rule: Rule, look: Look) -> Reading:
    since = look.now - rule.within
    lost: Counter[str] = Counter()
    for entry in look.ledger(since):
        if entry.last_at >= since:
            lost[entry.reason.value.replace("_", " ")] += entry.count
    found = {
        reason: Finding(f"about {number(count)} events in {span(rule.within)}", count, "/ingest")
        for reason, count in lost.items()
        if count > rule.over
    }
    return Reading(found, f"{number(lost.total())} in {span(rule.within)}")


def _umbel(_rule: Rule, look: Look) -> Reading:
    readiness = judge(look.pipeline(), look.now)
    found = {
        name: Finding(check.detail, 2.0 if check.status is Level.DOWN else 1.0, "/ingest")
        for name, check in readiness.checks.items()
        if check.status is not Level.OK
    }
    return Reading(found, readiness.status.value)


_MEASURES: Final[Mapping[Kind, Callable[[Rule, Look], Reading]]] = {
    Kind.SEARCH: _search,
    Kind.FAILURES: _failures,
    Kind.LATENCY: _latency,
    Kind.QUEUE: _queue,
    Kind.QUEUE_AGE: _queue_age,
    Kind.WORKER: _worker,
    Kind.SCHEDULE: _schedule,
    Kind.EXCEPTION: _exception,
    Kind.EVENTS: _events,
    Kind.UMBEL: _umbel,
}


def needs_failures(rules: Iterable[Rule]) -> bool:
    """Whether any of the rules asks which kinds of failure are known."""
    return any(rule.on is Kind.EXCEPTION for rule in rules)
