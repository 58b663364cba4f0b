"""One workflow: its tasks, read from the store within bounds of number and time, with what their results add."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

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
#: Workflows that have ended are remembered: how many, how many tasks of all, seconds at most. Asked each time is
#: whether the newest so many of their tasks are still the same.
KEPT: Final = 8
KEPT_TASKS: Final = 20_000
AGE: Final = 60.0
NEWEST: Final = 50


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
    asked = _asked(reader, task_id)
    return None if asked is None else _fetched(reader, asked, clock)[0]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A workflow before its tasks are fetched."""

    root_id: str
    where: Node
    #: The task that is asked about, and the root where the store has it.
    known: Mapping[str, Summary]
    root_known: bool


def _asked(reader: StoreReader, task_id: str) -> _Asked | None:
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
    known = {one.id: one for one in (task, root) if one is not None}
    return _Asked(root_id, where, known, root is not None)


def _fetched(reader: StoreReader, asked: _Asked, clock: Clock) -> tuple[Family, Sequence[Summary]]:
    """All of it, and the newest of its tasks."""
    found = dict(asked.known)
    deadline = clock.monotonic() + SECONDS
    cursor: str | None = ""
    covered: float | None = None
    newest: Sequence[Summary] | None = None
    while cursor is not None and len(found) < TASKS and (left := deadline - clock.monotonic()) > 0:
        page = reader.tasks(asked.where, Page(PAGE, cursor, within=left))
        newest = page.items[:NEWEST] if newest is None else newest
        for item in page.items:
            found.setdefault(item.id, item)
        cursor, covered = page.next, None if page.complete else page.covered_since
    more = cursor is not None or len(found) > TASKS
    return Family(asked.root_id, list(found.values())[:TASKS], more, covered, asked.root_known), newest or ()


def workflow_of(deps: Deps, task_id: str, results: Results) -> tuple[Family, Workflow, Told] | None:
    """The workflow of a task, and what the result backend said of it; None where no task has that id."""
    asked = _asked(deps.reader, task_id)
    if asked is None:
        return None
    found, workflow = remembered.of(deps.reader, asked, deps.clock)
    told = results.of(wanted(workflow, task_id))
    if told.kinship != Kinship():
        workflow = build(found.tasks, found.root_id, deps.clock.now(), told.kinship)
        _name_bodies(workflow, told.kinship)
    return found, workflow, told


@dataclass(frozen=True, slots=True)
class _Ended:
    """A workflow all of whose tasks had ended, its newest tasks, and until when it is good (monotonic seconds)."""

    family: Family
    workflow: Workflow
    newest: Sequence[Summary]
    until: float


class _Remembered:
    """The workflows of a store that had ended when they were last looked at; may be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: WeakKeyDictionary[StoreReader, OrderedDict[str, _Ended]] = WeakKeyDictionary()

    def of(self, reader: StoreReader, asked: _Asked, clock: Clock) -> tuple[Family, Workflow]:
        """A workflow as it is now, but for changes of tasks that had ended, which take `AGE` seconds to be seen."""
        with self._lock:
            known = self._known.setdefault(reader, OrderedDict()).get(asked.root_id)
        good = (
            known is not None and clock.monotonic() < known.until and asked.known.keys() <= known.workflow.nodes.keys()
        )
        newest = reader.tasks(asked.where, Page(NEWEST, within=SECONDS)).items if known and good else ()
        if known and good and newest == known.newest:
            return known.family, known.workflow
        found, newest = _fetched(reader, asked, clock)
        workflow = build(found.tasks, found.root_id, clock.now())
        if not workflow.open and not found.more:
            self._keep(reader, _Ended(found, workflow, newest, clock.monotonic() + AGE))
        return found, workflow

    def _keep(self, reader: StoreReader, ended: _Ended) -> None:
        with self._lock:
            known = self._known.setdefault(reader, OrderedDict())
            known[ended.family.root_id] = ended
            known.move_to_end(ended.family.root_id)
            while len(known) > KEPT or sum(len(one.family.tasks) for one in known.values()) > KEPT_TASKS:
                known.popitem(last=False)


remembered: Final = _Remembered()


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
