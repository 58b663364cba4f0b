"""Alerts: what fires and why, the rules and what they measure, silences, and what was told to whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

from anyio import to_thread
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from umbel.access.identity import Role
from umbel.alerts.config import Destination
from umbel.alerts.machine import Reading
from umbel.alerts.made import Kept
from umbel.alerts.records import Measured, Silence, Total
from umbel.alerts.rules import Kind, Rule, span
from umbel.control.audit import Told
from umbel.retention import parse_duration
from umbel.web.actions import Actions, actor
from umbel.web.alerting import Rehearsal, View
from umbel.web.deps import Deps, get_deps, identity_of
from umbel.web.filters import duration, number
from umbel.web.forms import form
from umbel.web.render import page

router = APIRouter()

T = TypeVar("T")

#: Bytes of a form; seconds between refreshes.
FORM: Final = 8 * 1024
EVERY: Final = 5.0
#: The longest silence, seconds, and characters of its texts.
LONGEST: Final = 90 * 86_400.0
TEXT: Final = 200
#: What the form of silences offers.
SPANS: Final = ("30m", "2h", "8h", "1d", "7d")


@dataclass(frozen=True, slots=True)
class RuleRow:
    """A rule and what it measured in the latest round."""

    rule: Rule
    #: What it watches, in words.
    words: str
    measured: Measured | None
    #: Things for which it fires, and things that may yet.
    firing: int
    pending: int
    receivers: Sequence[str]
    #: Who made it on the page, and when; None: it stands in the configuration.
    made: Kept | None


@dataclass(frozen=True, slots=True)
class Place:
    """A destination and what became of what was sent there."""

    destination: Destination
    total: Total
    waiting: int


@dataclass(frozen=True, slots=True)
class Tried:
    """What a rule found when it was tried just now, and what it would have done."""

    rule: Rule
    reading: Reading
    rehearsal: Rehearsal | None
    receivers: Sequence[str]

    @classmethod
    def of(cls, deps: Deps, rule: Rule) -> Tried:
        """Try it; raises `StoreError`."""
        trial = deps.board.trial(rule, deps)
        return cls(rule, trial.reading, trial.rehearsal, deps.board.receivers(rule))


@dataclass(frozen=True, slots=True)
class Context:
    """What the template shows."""

    view: View
    rules: Sequence[RuleRow]
    places: Sequence[Place]
    trial: Tried | None
    #: Where a test was sent just now, "" for nowhere.
    tested: str
    spans: Sequence[str]
    #: Whether whoever looks may silence, and try.
    silencing: bool
    trying: bool
    every: float


@router.get("/alerts", response_class=HTMLResponse)
def show(request: Request, deps: Annotated[Deps, Depends(get_deps)], tested: str = "") -> HTMLResponse:
    """The page."""
    return page(request, "alerts", load(request, deps, tested=tested))


@router.post("/alerts/silences")
async def silence(request: Request, deps: Annotated[Deps, Depends(get_deps)]) -> Response:
    """Keep something quiet for a while."""
    fields = await form(request, FORM)
    try:
        seconds = parse_duration(fields.get("for", ""))
    except ValueError as error:
        raise HTTPException(400, f"for: {error}.") from error
    await silenced(request, deps, fields, seconds, "page")
    return _back(deps)


@router.post("/alerts/silences/end")
async def end(request: Request, deps: Annotated[Deps, Depends(get_deps)]) -> Response:
    """End a silence."""
    await ended(request, deps, (await form(request, FORM)).get("silence", ""), "page")
    return _back(deps)


@router.post("/alerts/try", response_class=HTMLResponse)
async def trial(request: Request, deps: Annotated[Deps, Depends(get_deps)]) -> Response:
    """Send a test to a destination, or see what a rule finds now and what would follow."""
    fields = await form(request, FORM)
    place, name = fields.get("destination", ""), fields.get("rule", "")
    if place:
        if place not in {one.name for one in deps.board.config.destinations}:
            raise HTTPException(404, f"There is no destination named {place[:50]!r}.")
        who = identity_of(request).name
        await changed(request, "try_destination", {"destination": place}, lambda: deps.board.test(place, who), "page")
        return RedirectResponse(f"{deps.settings.url_prefix}/alerts?tested=yes", 303)
    rule = next((one for one in deps.board.view().rules if one.name == name), None)
    if rule is None:
        raise HTTPException(404, f"There is no rule named {name[:50]!r}.")

    def found() -> HTMLResponse:
        return page(request, "alerts", load(request, deps, tried=Tried.of(deps, rule)))

    return await to_thread.run_sync(found)


async def silenced(
    request: Request, deps: Deps, asked: Mapping[str, str], seconds: float, via: str
) -> tuple[str, Silence]:
    """Keep quiet what `rule` and `subject` match, for so many seconds and a `reason`; its key, and the silence.

    Raises 400 for what cannot be.
    """
    rule, subject, reason = (asked.get(key, "") for key in ("rule", "subject", "reason"))
    if not reason or not 0 < seconds <= LONGEST or max(map(len, (rule, subject, reason))) > TEXT:
        raise HTTPException(
            400, f"A silence needs a reason and lasts up to 90 days; a text has {TEXT} characters at most."
        )
    by = actor(request, via)
    made = Silence(deps.clock.now() + seconds, by.who, reason, rule or "*", subject or "*")
    arguments = {"rule": made.rule, "subject": made.subject, "reason": reason, "seconds": seconds}
    return await changed(request, "silence", arguments, lambda: deps.board.silence(made), via), made


async def ended(request: Request, deps: Deps, key: str, via: str) -> Silence:
    """End a silence; raises 404 for one that there is not."""
    who = identity_of(request).name
    found = await changed(request, "unsilence", {"silence": key[:50]}, lambda: deps.board.end(key, who), via)
    if found is None:
        raise HTTPException(404, "There is no such silence: it has ended already.")
    return found


async def changed(request: Request, what: str, arguments: Mapping[str, object], work: Callable[[], T], via: str) -> T:
    """Do what changes alerts, as the audit trail is to tell it."""
    actions: Actions = request.app.state.actions
    return await actions.change(what, arguments, actor(request, via), lambda: (work(), [Told("", "ok", "")]))


def load(request: Request, deps: Deps, *, tested: str = "", tried: Tried | None = None) -> Context:
    """Everything that the page shows."""
    view, config, who = deps.board.view(), deps.board.config, identity_of(request)
    may = view.kept and not deps.settings.read_only
    return Context(
        view=view,
        rules=[_row(deps, view, rule) for rule in view.rules],
        places=[_place(view, one) for one in config.destinations],
        trial=tried,
        tested=tested,
        spans=SPANS,
        silencing=may and deps.rules.anything(who),
        trying=may and who.role is Role.ADMIN,
        every=EVERY,
    )


def _row(deps: Deps, view: View, rule: Rule) -> RuleRow:
    mine = [one for one in view.held if one.rule is rule]
    firing = sum(one.firing for one in mine)
    return RuleRow(
        rule,
        words(rule),
        view.round.rules.get(rule.name) if view.round else None,
        firing,
        len(mine) - firing,
        deps.board.receivers(rule),
        view.made.get(rule.name),
    )


def _place(view: View, one: Destination) -> Place:
    waiting = sum(notice.to == one.name for _at, notice in view.waiting)
    return Place(one, view.totals.get(one.name, Total()), waiting)


def _short(seconds: float) -> str:
    return span(seconds) if seconds >= 1 else duration(seconds)


def words(rule: Rule) -> str:
    """What a rule watches, for people."""
    within, what = span(rule.within), "" if rule.pattern == "*" else f" of {rule.pattern}"
    least = f" (of {rule.at_least} at least)"
    per = " of a task" if rule.per_name else ""
    bound = f"fewer than {rule.under or 0:,.0f}" if rule.under is not None else f"more than {rule.over:,.0f}"
    said = {
        Kind.SEARCH: f"{bound} in {within}: {rule.search}",
        Kind.FAILURES: f"more than {rule.over:g} % fail{per}{what} in {within}{least}",
        Kind.LATENCY: f"p{rule.percentile:g} of {rule.of}{per}{what} over {_short(rule.over)} in {within}{least}",
        Kind.QUEUE: f"more than {number(rule.over)} messages wait in a queue{what}",
        Kind.QUEUE_AGE: f"a task waits for more than {_short(rule.over)} in a queue{what}",
        Kind.WORKER: f"a worker{what} is silent and said no goodbye",
        Kind.SCHEDULE: f"an entry of beat{what} is late by more than {_short(rule.over)}",
        Kind.EXCEPTION: f"a kind of failure{what} that was never seen before, for {within}",
        Kind.EVENTS: f"more than {number(rule.over)} events lost in {within}",
        Kind.UMBEL: "Umbel is behind, disconnected or down",
    }[rule.on]
    return said + (f", for {span(rule.hold)}" if rule.hold else "")


def _back(deps: Deps) -> Response:
    return RedirectResponse(f"{deps.settings.url_prefix}/alerts", 303)
