"""A task's workflow as JSON."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import Response

from umbel.model.task import rfc3339
from umbel.model.workflow import Node
from umbel.web.api_bodies import answer
from umbel.web.api_document import problems
from umbel.web.api_models import StepOut, WorkflowOut, WorkflowTaskOut
from umbel.web.deps import Injected
from umbel.web.families import TASKS, workflow_of
from umbel.web.kinship import Told

router = APIRouter(prefix="/api/v1", responses=problems(400, 404))


@router.get("/tasks/{task_id:path}/workflow", response_model=WorkflowOut, operation_id="get_workflow", tags=["tasks"])
def workflow(
    request: Request,
    deps: Injected,
    task_id: str,
    limit: Annotated[int, Query(ge=1, le=TASKS, description="Tasks in the answer, those first seen first.")] = 1_000,
) -> Response:
    """The tasks that share a root with this one, how each hangs below another, and the critical path.

    Events do not tell groups and chords; `group_id` and `joins_group_id` come from the result backend, where there is
    one, and `results_read` of `results_wanted` results were there to be read.
    """
    known = workflow_of(deps, task_id, request.app.state.results)
    if known is None:
        raise HTTPException(404, f"There is no task {task_id[:200]!r}: never seen, or older than what is kept.")
    family, found, told = known
    nodes = list(found.nodes.values())
    out = WorkflowOut(
        root_id=family.root_id,
        started_at=rfc3339(found.start),
        ended_at=None if found.open else rfc3339(found.end),
        count=len(nodes),
        complete=not family.more,
        items=[_task(node, told) for node in nodes[:limit]],
        critical_path=[StepOut(step.node.task.id, step.idle, step.wait, step.run) for step in found.path],
        result_backend=told.backend,
        results_read=told.read,
        results_wanted=told.wanted,
        problem=told.problem or None,
    )
    return answer(out)


def _task(node: Node, told: Told) -> WorkflowTaskOut:
    task = node.task
    return WorkflowTaskOut(
        id=task.id,
        name=task.name or None,
        state=task.state.value,
        link=node.link.value,
        parent_id=node.parent.task.id if node.parent else None,
        group_id=told.kinship.group_of.get(task.id),
        joins_group_id=told.kinship.body_of.get(task.id),
        critical=node.critical,
        worker=task.worker or None,
        sent_at=rfc3339(task.sent_at),
        received_at=rfc3339(task.received_at),
        started_at=rfc3339(task.started_at),
        finished_at=rfc3339(task.finished_at),
        wait_seconds=task.wait_seconds,
        run_seconds=task.run_seconds,
    )
