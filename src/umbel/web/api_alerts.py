"""What fires, and silences, as JSON."""

from __future__ import annotations

from typing import Annotated

import msgspec
from anyio import to_thread
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from umbel.alerts.records import Silence
from umbel.model.task import rfc3339
from umbel.web.alerting import Held, View
from umbel.web.api_bodies import answer, decoded, schema
from umbel.web.api_document import problems
from umbel.web.api_models import AlertOut, AlertRuleOut, AlertsOut, SilenceOut
from umbel.web.deps import Deps, Injected
from umbel.web.pages.alerts import ended, silenced, words

router = APIRouter(prefix="/api/v1", tags=["alerts"], responses=problems())

#: Bytes of a silence's body.
BODY = 16 * 1024


class SilenceIn(msgspec.Struct, forbid_unknown_fields=True):
    """What is kept quiet: `*` in rule and subject stands for any run of characters."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    #: How long, seconds.
    seconds: Annotated[float, msgspec.Meta(gt=0, le=7_776_000)]
    rule: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] = "*"
    subject: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] = "*"


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


async def _kept(deps: Deps) -> None:
    if not (await to_thread.run_sync(deps.board.view)).kept:
        raise HTTPException(404, "There are no alerts here: start Umbel with --alerts or --alert-to.")


def _out(deps: Deps, view: View) -> AlertsOut:
    measured = view.round.rules if view.round else {}
    return AlertsOut(
        items=[_alert(one) for one in view.held],
        rules=[
            AlertRuleOut(
                name=rule.name,
                on=rule.on.value,
                severity=rule.severity.value,
                holds_where=words(rule),
                measured=(found.now or None) if (found := measured.get(rule.name)) else None,
                problem=(found.error or None) if found else None,
                destinations=[one.name for one in deps.board.config.receivers(rule)],
            )
            for rule in deps.board.config.rules
        ],
        silences=[_silence(key, one) for key, one in view.silences.items()],
        judged_at=rfc3339(view.round.at) if view.round else None,
        problem=view.trouble or None,
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
