"""A workflow as a tree: tasks of one root put below the tasks that sent them, and the path that made it last so long.

Events name a task's root and its parent, and nothing else: whether a task was called, or is the next step of a chain or
the body of a chord, is told apart by when it was first seen. Trees may be thousands deep, so nothing here recurses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from umbel.model.task import ENDED, State, Summary


class Link(StrEnum):
    """How a task hangs in the tree."""

    #: Nothing is above it.
    ROOT = "root"
    #: First seen while its parent ran: the parent called it.
    CALLED = "called"
    #: First seen after its parent's run: a chain's next step, or a chord's body.
    AFTER = "after"
    #: Its parent is known, when it was sent is not.
    CHILD = "child"
    #: Its own parent is not known, so it hangs below the root: a retry's events name the task itself as its parent.
    ADRIFT = "adrift"


@dataclass(slots=True, eq=False)
class Node:
    """A task in the tree; times are UTC seconds."""

    task: Summary
    link: Link = Link.ROOT
    parent: Node | None = None
    #: In the order in which they were first seen.
    children: list[Node] = field(default_factory=list)
    #: Tasks below it.
    below: int = 0
    #: On the critical path.
    critical: bool = False
    #: When it was first seen; asked for many times, so worked out once.
    first_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.first_at = first_at(self.task)

    def end_at(self, now: float) -> float:
        """When it ended; `now` where it goes on."""
        if self.task.finished_at is not None:
            return self.task.finished_at
        return max(self.task.updated_at, now)

    @property
    def then(self) -> Node | None:
        """The one task that follows it, as in a chain."""
        found: Node | None = None
        for child in self.children:
            if child.link is Link.AFTER:
                if found is not None:
                    return None
                found = child
        return found


@dataclass(frozen=True, slots=True)
class Step:
    """A task of the critical path with the time that it alone cost, in seconds."""

    node: Node
    #: From the end of the step before to its being sent.
    idle: float
    #: From being sent to its start.
    wait: float
    #: From its start to the next step's being sent, or to its own end.
    run: float


@dataclass(slots=True)
class Workflow:
    """The tree, or trees where what holds them together is not known."""

    roots: Sequence[Node]
    nodes: dict[str, Node]
    #: UTC seconds.
    start: float
    end: float
    #: From a root to the task that ended last.
    path: Sequence[Step]

    @property
    def open(self) -> int:
        """Tasks that have not ended."""
        return sum(node.task.state not in ENDED for node in self.nodes.values())


@dataclass(frozen=True, slots=True)
class Kinship:
    """What a result backend knows and events do not tell, by task id."""

    #: The group that a task is a member of.
    group_of: dict[str, str] = field(default_factory=dict)
    #: The group that a chord's body joins.
    body_of: dict[str, str] = field(default_factory=dict)
    #: Who sent a task.
    parent_of: dict[str, str] = field(default_factory=dict)


def first_at(task: Summary) -> float:
    """When a task was first seen, by its own events; UTC seconds."""
    found: float | None = None
    for at in (task.sent_at, task.received_at, task.started_at, task.finished_at):
        if at is not None and (found is None or at < found):
            found = at
    return task.updated_at if found is None else found


def build(tasks: Iterable[Summary], root_id: str, now: float, kinship: Kinship | None = None) -> Workflow:
    """Put the tasks together (at least one); `now` (UTC seconds) is where those that go on have come to."""
    kin = kinship or Kinship()
    found = sorted(map(Node, tasks), key=lambda node: (node.first_at, node.task.id))
    nodes = {node.task.id: node for node in found}
    for node in nodes.values():
        _hang(node, nodes, root_id, kin)
    _break_circles(nodes)
    roots = [node for node in nodes.values() if node.parent is None]
    _weigh(roots)
    start = min(node.first_at for node in nodes.values())
    path = _critical(nodes, now)
    # The path ends with the task that ended last.
    return Workflow(roots, nodes, start, max(path[-1].node.end_at(now), start), path)


def _hang(node: Node, nodes: dict[str, Node], root_id: str, kin: Kinship) -> None:
    task = node.task
    parent_id = task.parent_id if task.parent_id != task.id else ""
    parent = nodes.get(parent_id) or nodes.get(kin.parent_of.get(task.id, ""))
    if parent is node:
        parent = None
    if parent is None and task.id != root_id and not parent_id:
        root = nodes.get(root_id)
        if root is not None:
            node.parent, node.link = root, Link.ADRIFT
            root.children.append(node)
        return
    if parent is not None:
        node.parent, node.link = parent, _link(task, parent.task)
        parent.children.append(node)


def _link(task: Summary, parent: Summary) -> Link:
    if parent.state not in ENDED or parent.finished_at is None:
        return Link.CALLED
    begun = parent.finished_at
    if parent.state is State.SUCCESS and parent.started_at is not None and parent.run_seconds is not None:
        # The worker times the body itself: what follows is sent after the body and before the event of its end.
        begun = min(begun, parent.started_at + parent.run_seconds)
    if task.sent_at is not None:
        return Link.AFTER if task.sent_at >= begun else Link.CALLED
    if task.received_at is None:
        return Link.CHILD
    # Without task-sent only this much is certain: what a worker had before the end was called.
    return Link.AFTER if task.received_at >= begun else Link.CALLED


def _break_circles(nodes: dict[str, Node]) -> None:
    """Cut what hangs below itself, as forged or mistaken ids can make it."""
    safe: set[str] = set()
    for node in nodes.values():
        way: dict[str, Node] = {}
        at: Node | None = node
        while at is not None and at.task.id not in safe:
            if at.task.id in way:
                _cut(at)
                break
            way[at.task.id] = at
            at = at.parent
        safe.update(way)


def _cut(node: Node) -> None:
    if node.parent is not None:
        node.parent.children.remove(node)
        node.parent, node.link = None, Link.ROOT


def _weigh(roots: Sequence[Node]) -> None:
    order = list(roots)
    for node in order:
        order.extend(node.children)
    for node in reversed(order):
        if node.parent is not None:
            node.parent.below += node.below + 1


def _critical(nodes: dict[str, Node], now: float) -> list[Step]:
    """From the task that ended last up to its root; each step costs what no later one covers."""
    at: Node | None = max(nodes.values(), key=lambda node: (node.end_at(now), -node.first_at))
    chain: list[Node] = []
    while at is not None:
        at.critical = True
        chain.append(at)
        at = at.parent
    chain.reverse()
    steps = []
    reached = chain[0].first_at
    for node, following in zip(chain, [*chain[1:], None], strict=True):
        own_end = node.end_at(now)
        end = own_end if following is None else min(own_end, following.first_at)
        begun = max(node.first_at, reached)
        # What has not started waits still.
        started = end if node.task.started_at is None else min(node.task.started_at, end)
        started = max(begun, started)
        steps.append(Step(node, begun - reached, started - begun, max(0.0, end - started)))
        reached = max(started, end)
    return steps
