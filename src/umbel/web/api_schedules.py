"""What beat should run, as JSON."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from umbel.model.task import rfc3339
from umbel.web.api_bodies import answer
from umbel.web.api_document import problems
from umbel.web.api_models import ScheduleOut, SchedulesOut
from umbel.web.deps import Injected
from umbel.web.pages.schedules import load
from umbel.web.punctuality import Row

router = APIRouter(prefix="/api/v1", responses=problems())


@router.get("/schedules", response_model=SchedulesOut, operation_id="list_schedules", tags=["schedules"])
def schedules(deps: Injected) -> Response:
    """Every entry of beat that can be read, those that are missed or late first."""
    context = load(deps)
    out = SchedulesOut([_row(row) for row in context.rows], list(context.plan.sources), list(context.plan.problems))
    return answer(out)


def _row(row: Row) -> ScheduleOut:
    planned, verdict = row.planned, row.verdict
    return ScheduleOut(
        name=planned.name,
        task=planned.task,
        source=planned.source,
        schedule=planned.when,
        enabled=planned.enabled,
        state=verdict.state.value,
        last_run_at=rfc3339(verdict.last_at),
        last_task_id=row.last.id if row.last else None,
        next_run_at=rfc3339(verdict.next_at),
        late_seconds=verdict.late,
        missed=[moment for due in verdict.missed if (moment := rfc3339(due))],
        judged=verdict.judged,
    )
