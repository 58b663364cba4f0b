"""Workflow: the tasks of one root as a tree on one axis of time, and the path that made it last so long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from umbel.model.task import State, Summary
from umbel.model.workflow import Link, Step, Workflow
from umbel.web.deps import Deps, get_deps
from umbel.web.families import Family, workflow_of
from umbel.web.kinship import Results, Told
from umbel.web.pages.task import Missing
from umbel.web.pages.workflow_rows import Drawing, draw
from umbel.web.render import page

router = APIRouter()

#: Names of the critical path that are listed by what they cost.
COSTS: Final = 6


@dataclass(frozen=True, slots=True)
class Cost:
    """What the tasks of one name cost on the critical path, in seconds."""

    name: str
    tasks: int
    idle: float
    wait: float
    run: float

    @property
    def whole(self) -> float:
        return self.idle + self.wait + self.run


@dataclass(frozen=True, slots=True)
class Context:
    """What the template shows."""

    task: Summary
    family: Family
    workflow: Workflow
    drawing: Drawing
    states: Sequence[tuple[str, int]]
    failed: int
    #: Tasks that have not ended.
    open: int
    #: Tasks whose own parent is not known.
    adrift: int
    path: Sequence[Step]
    #: Sums over the path, seconds.
    idle: float
    wait: float
    run: float
    costs: Sequence[Cost]
    told: Told
    #: From the first event to the last, seconds.
    length: float


@router.get("/tasks/{task_id:path}/workflow", response_class=HTMLResponse)
def show(request: Request, task_id: str, deps: Annotated[Deps, Depends(get_deps)]) -> HTMLResponse:
    """The page; it is the same for all tasks of a workflow but for the one that is marked."""
    context = load(deps, task_id, request.app.state.results)
    if context is None:
        return page(request, "missing", Missing(task_id[:200], deps.pipeline().tasks > 0), 404)
    return page(request, "workflow", context)


def load(deps: Deps, task_id: str, results: Results) -> Context | None:
    """Everything that the page shows; None where no task has that id."""
    answer = workflow_of(deps, task_id, results)
    if answer is None:
        return None
    found, workflow, told = answer
    path = workflow.path
    states = Counter(node.task.state.value for node in workflow.nodes.values())
    kin = told.kinship
    return Context(
        task=workflow.nodes[task_id].task,
        # The tasks themselves are in the workflow.
        family=replace(found, tasks=()),
        workflow=workflow,
        drawing=draw(workflow, task_id, deps.clock.now(), kin.group_of, kin.body_of),
        states=states.most_common(),
        failed=states[State.FAILURE.value],
        open=workflow.open,
        adrift=sum(node.link is Link.ADRIFT for node in workflow.nodes.values()),
        path=path,
        idle=sum(step.idle for step in path),
        wait=sum(step.wait for step in path),
        run=sum(step.run for step in path),
        costs=_costs(path),
        told=told,
        length=workflow.end - workflow.start,
    )


def _costs(path: Sequence[Step]) -> list[Cost]:
    """By name, the dearest first."""
    sums: dict[str, Cost] = {}
    for step in path:
        name = step.node.task.name
        cost = sums.get(name, Cost(name, 0, 0.0, 0.0, 0.0))
        sums[name] = Cost(name, cost.tasks + 1, cost.idle + step.idle, cost.wait + step.wait, cost.run + step.run)
    return sorted(sums.values(), key=lambda cost: -cost.whole)[:COSTS]
