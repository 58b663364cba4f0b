"""One workflow: its tasks, read from the store within bounds of number and time, with what their results add."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from umbel.clock import Clock
from umbel.model.query import TIMES, And, Compare, Field, Node, Op, Or, Page
from umbel.model.task import Summary, summarize
from umbel.model.workflow import Kinship, Link, Workflow, build, first_at
from umbel.stores.base import StoreReader
from umbel.web.deps import Deps
from umbel.web.kinship import Results, Told, wanted

#: Tasks that are fetched of one workflow, and how many at once.
TASKS: Final = 10_000
PAGE: Final = 1_000
#: Seconds after which the tasks found so far are shown.
SECONDS: Final = 2.0
#: Clocks of different hosts may differ by so much (seconds) that a task seems to precede its root.
SKEW: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class Family:
    """The tasks that share a root."""

    root_id: str
    tasks: Sequence[Summary]
    #: There are more than were fetched.
    more: bool
    #: Where the time was up: tasks first seen since then have been looked at (UTC seconds).
    covered_since: float | None
    #: The store has the root itself.
    root_known: bool


def family(reader: StoreReader, task_id: str, clock: Clock) -> Family | None:
    """The workflow that a task belongs to; None where no task has that id."""
    record = reader.task(task_id)
    if record is None:
        return None
    task = summarize(record)
    root_id = task.root_id or task.id
    kept = reader.task(root_id) if root_id != task.id else record
    root = summarize(kept) if kept is not None else None
    where: Node = Compare(Field.ROOT, Op.EQ, root_id)
    if root is not None:
        # What is older than the root need not be looked at.
        since = first_at(root) - SKEW
        where = And((where, Or(tuple(Compare(field, Op.GE, since) for field in sorted(TIMES)))))
    found = {known.id: known for known in (task, root) if known is not None}
    deadline = clock.monotonic() + SECONDS
    cursor: str | None = ""
    covered: float | None = None
    while cursor is not None and len(found) < TASKS and (left := deadline - clock.monotonic()) > 0:
        page = reader.tasks(where, Page(PAGE, cursor, within=left))
        for item in page.items:
            found.setdefault(item.id, item)
        cursor, covered = page.next, None if page.complete else page.covered_since
    more = cursor is not None or len(found) > TASKS
    return Family(root_id, list(found.values())[:TASKS], more, covered, root is not None)


def workflow_of(deps: Deps, task_id: str, results: Results) -> tuple[Family, Workflow, Told] | None:
    """The workflow of a task, and what the result backend said of it; None where no task has that id."""
    found = family(deps.reader, task_id, deps.clock)
    if found is None:
        return None
    now = deps.clock.now()
    workflow = build(found.tasks, found.root_id, now)
    told = results.of(wanted(workflow, task_id))
    if told.kinship != Kinship():
        workflow = build(found.tasks, found.root_id, now, told.kinship)
        _name_bodies(workflow, told.kinship)
    return found, workflow, told


def _name_bodies(workflow: Workflow, kinship: Kinship) -> None:
    """The only task that follows any member of a group is taken for the body of its chord: no result says so."""
    following: dict[str, list[str]] = {}
    for id_, node in workflow.nodes.items():
        group = kinship.group_of.get(node.parent.task.id, "") if node.parent else ""
        if group and node.link is Link.AFTER and kinship.group_of.get(id_) != group:
            following.setdefault(group, []).append(id_)
    for group, ids in following.items():
        if len(ids) == 1:
            kinship.body_of.setdefault(ids[0], group)
