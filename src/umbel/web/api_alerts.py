"""What fires, rules and silences, as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

import msgspec
from anyio import to_thread
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from umbel.alerts.records import Silence
from umbel.alerts.rules import Rule
from umbel.errors import SettingsError
from umbel.model.task import rfc3339
from umbel.web.alerting import Held, View
from umbel.web.api_bodies import answer, decoded, schema
from umbel.web.api_document import problems
from umbel.web.api_models import AlertOut, AlertRuleNameOut, AlertRuleOut, AlertsOut, AlertTrialOut, SilenceOut
from umbel.web.deps import Deps, Injected
from umbel.web.pages.alerts import Tried, ended, silenced, words
from umbel.web.pages.rule import dropped, kept

router = APIRouter(prefix="/api/v1", tags=["alerts"], responses=problems())

#: Bytes of a body, and things that a trial tells one by one.
BODY: Final = 16 * 1024
FOUND: Final = 100


class SilenceIn(msgspec.Struct, forbid_unknown_fields=True):
    """What is kept quiet: `*` in rule and subject stands for any run of characters."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    #: How long, seconds.
    seconds: Annotated[float, msgspec.Meta(gt=0, le=7_776_000)]
    rule: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] = "*"
    subject: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] = "*"


class AlertRuleIn(msgspec.Struct, forbid_unknown_fields=True):
    """A rule with the keys that a file of rules has; which of them it takes depends on `on`."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    on: Annotated[str, msgspec.Meta(max_length=20)]
    severity: str | msgspec.UnsetType = msgspec.UNSET
    hold: str | float | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="for")
    keep_firing_for: str | float | msgspec.UnsetType = msgspec.UNSET
    repeat: str | float | msgspec.UnsetType = msgspec.UNSET
    to: list[str] | msgspec.UnsetType = msgspec.UNSET
    text: str | msgspec.UnsetType = msgspec.UNSET
    search: str | msgspec.UnsetType = msgspec.UNSET
    over: str | int | float | msgspec.UnsetType = msgspec.UNSET
    under: int | msgspec.UnsetType = msgspec.UNSET
    within: str | float | msgspec.UnsetType = msgspec.UNSET
    at_least: int | msgspec.UnsetType = msgspec.UNSET
    percentile: float | msgspec.UnsetType = msgspec.UNSET
    of: str | msgspec.UnsetType = msgspec.UNSET
    per: str | msgspec.UnsetType = msgspec.UNSET
    task: str | msgspec.UnsetType = msgspec.UNSET
    queue: str | msgspec.UnsetType = msgspec.UNSET
    worker: str | msgspec.UnsetType = msgspec.UNSET
    entry: str | msgspec.UnsetType = msgspec.UNSET


@router.get("/alerts", response_model=AlertsOut, operation_id="list_alerts")
def alerts(deps: Injected) -> Response:
    """What fires or may yet, the gravest first; every rule with what it measured; silences."""
    return answer(_out(deps, deps.board.view()))


@router.post(
    "/alerts/silences",
    status_code=201,
    response_model=SilenceOut,
    operation_id="enter_silence",
    responses=problems(400, 404, 413),
    openapi_extra=schema(SilenceIn),
)
async def silence(request: Request, deps: Injected) -> Response:
    """Keep something quiet for a while: it is judged, and not told until the silence ends."""
    told: SilenceIn = await decoded(request, SilenceIn, BODY, what="is no silence")
    await _kept(deps)
    asked = {"rule": told.rule, "subject": told.subject, "reason": told.reason}
    key, made = await silenced(request, deps, asked, told.seconds, "api")
    return answer(_silence(key, made), 201)


@router.post(
    "/alerts/silences/{silence_id}/end",
    response_model=SilenceOut,
    operation_id="end_silence",
    responses=problems(404),
)
async def end(request: Request, silence_id: str, deps: Injected) -> Response:
    """End a silence before its time."""
    await _kept(deps)
    return answer(_silence(silence_id, await ended(request, deps, silence_id, "api")))


@router.post(
    "/alerts/rules",
    status_code=201,
    response_model=AlertRuleOut,
    operation_id="keep_alert_rule",
    responses=problems(400, 404, 413),
    openapi_extra=schema(AlertRuleIn),
)
async def keep_rule(request: Request, deps: Injected) -> Response:
    """Make a rule, or change the one of this name that was made here; those of the configuration are changed there."""
    table = await _table(request, deps)
    with _usable():
        rule = await kept(request, deps, table, "api")
    view = await to_thread.run_sync(deps.board.view)
    return answer(_rule(deps, view, rule), 201)


@router.post(
    "/alerts/rules/try",
    response_model=AlertTrialOut,
    operation_id="try_alert_rule",
    responses=problems(400, 404, 413),
    openapi_extra=schema(AlertRuleIn),
)
async def try_rule(request: Request, deps: Injected) -> Response:
    """What a rule finds now, and how often it would have fired; nothing is kept, nobody is told."""
    table = await _table(request, deps)
    with _usable():
        rule = deps.board.readable(table)
    tried = await to_thread.run_sync(lambda: Tried.of(deps, rule))
    past = tried.rehearsal
    return answer(
        AlertTrialOut(
            holds_where=words(rule),
            measured=tried.reading.now or None,
            problem=tried.reading.error or None,
            found={name: finding.detail for name, finding in list(tried.reading.found.items())[:FOUND]},
            destinations=list(tried.receivers),
            would_have_fired=len(past.times) if past else None,
            looked_since=rfc3339(past.since) if past else None,
        )
    )


@router.post(
    "/alerts/rules/{name:path}/delete",
    response_model=AlertRuleNameOut,
    operation_id="delete_alert_rule",
    responses=problems(404),
)
async def delete_rule(request: Request, name: str, deps: Injected) -> Response:
    """Delete a rule that was made here."""
    await _kept(deps)
    await dropped(request, deps, name, "api")
    return answer(AlertRuleNameOut(name))


@contextmanager
def _usable() -> Iterator[None]:
    """A rule that cannot be used is a bad request, with what is wrong and the remedy."""
    try:
        yield
    except SettingsError as error:
        raise HTTPException(400, f"{error}.") from error


async def _table(request: Request, deps: Deps) -> dict[str, Any]:
    told = await decoded(request, AlertRuleIn, BODY, what="is no rule")
    await _kept(deps)
    table: dict[str, Any] = msgspec.to_builtins(told)
    return table


async def _kept(deps: Deps) -> None:
    if not (await to_thread.run_sync(deps.board.view)).kept:
        raise HTTPException(404, "There are no alerts here: start Umbel with --alerts or --alert-to.")


def _out(deps: Deps, view: View) -> AlertsOut:
    return AlertsOut(
        items=[_alert(one) for one in view.held],
        rules=[_rule(deps, view, rule) for rule in view.rules],
        silences=[_silence(key, one) for key, one in view.silences.items()],
        judged_at=rfc3339(view.round.at) if view.round else None,
        problem=view.trouble or None,
    )


def _rule(deps: Deps, view: View, rule: Rule) -> AlertRuleOut:
    found = view.round.rules.get(rule.name) if view.round else None
    made = view.made.get(rule.name)
    return AlertRuleOut(
        name=rule.name,
        on=rule.on.value,
        severity=rule.severity.value,
        holds_where=words(rule),
        measured=(found.now or None) if found else None,
        problem=(found.error or None) if found else None,
        destinations=deps.board.receivers(rule),
        made_by=(made.made.who or "somebody") if made else None,
        made_at=rfc3339(made.at) if made else None,
    )


def _alert(one: Held) -> AlertOut:
    instance = one.instance
    return AlertOut(
        rule=one.rule.name,
        severity=one.rule.severity.value,
        subject=one.key or None,
        state=instance.phase.value,
        detail=instance.detail,
        since=rfc3339(instance.since),
        fired_at=rfc3339(instance.fired_at),
        told_at=rfc3339(instance.told_at),
        silenced=one.silence is not None,
        query=instance.query or None,
    )


def _silence(key: str, one: Silence) -> SilenceOut:
    return SilenceOut(key, one.rule, one.subject, one.reason, one.who or None, rfc3339(one.until))
