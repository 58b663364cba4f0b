"""A workflow as the rows that are drawn: what is alike is folded by name, and it is said how much that is.

A page has room for some hundred rows. They go to the task that is looked at and what is below it, to the critical path,
and then level by level from the top; what finds no room is folded where it hangs, so every task is drawn or in a fold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Final

from umbel.model.task import State
from umbel.model.workflow import Link, Node, Workflow
from umbel.web.filters import quoted
from umbel.web.pages.timeline import Axis, Bar

#: Rows that are drawn.
ROWS: Final = 300
#: Tasks of one name below one parent, and steps of one chain, that are drawn one by one.
ALIKE: Final = 6
STEPS: Final = 30
#: Of those that are folded, the failures that are drawn all the same.
FAILURES: Final = 3
#: The rank of what hangs below the task that is looked at; smaller ones find room before.
BENEATH: Final = 2
#: Levels that are set in.
LEVELS: Final = 10


@dataclass(frozen=True, slots=True)
class Row:
    """One task."""

    node: Node
    level: int
    bars: Sequence[Bar]
    #: The group that it is a member of, and the one that it joins as a chord's body; "" where that is not known.
    group: str
    joins: str
    #: It is the task that the page was opened for.
    here: bool


@dataclass(frozen=True, slots=True)
class Fold:
    """Tasks that are not drawn one by one."""

    level: int
    #: What they are called, with how many of each name.
    names: Sequence[tuple[str, int]]
    #: "alike" (of one name below one parent), "steps" (of one chain), "others" (below one parent, for want of room)
    #: or "below" (all that hangs below a task).
    kind: str
    count: int
    #: Tasks below them.
    below: int
    states: Sequence[tuple[str, int]]
    bar: Bar
    #: The search that lists them.
    search: str
    #: The task whose own page of the workflow draws them; "" where none does.
    at: str = ""
    #: Those of `count`, for a fold that takes this one in.
    nodes: Sequence[Node] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Drawing:
    """All rows on one axis."""

    rows: Sequence[Row | Fold]
    #: Tasks in folds, those below them with them.
    folded: int
    #: Tasks that are neither drawn nor in a fold.
    left_out: int


def draw(workflow: Workflow, here: str, now: float, groups: dict[str, str], bodies: dict[str, str]) -> Drawing:
    """Lay the tree out from its roots down; `here` is the task that is marked and never folded."""
    return _Drawing(workflow, here, now, groups, bodies).draw()


class _Drawing:
    """One layout; the tree may be thousands deep, so it keeps a stack of its own."""

    def __init__(
        self, workflow: Workflow, here: str, now: float, groups: dict[str, str], bodies: dict[str, str]
    ) -> None:
        self._workflow = workflow
        self._now = now
        self._here = here
        self._groups, self._bodies = groups, bodies
        self._axis = Axis(workflow.start, max(workflow.end, workflow.start + 1e-3))
        self._kept = self._above(here)
        self._root = workflow.nodes[here].task.root_id or here
        self._room = ROWS
        #: By a task's id, what is drawn below it; of one that is missing all of it is one fold.
        self._opened: dict[str, list[Node | Fold]] = {}

    def draw(self) -> Drawing:
        """The rows, from the top down."""
        roots = self._fit(self._chains(self._workflow.roots, 0), 0, f"root:{quoted(self._root)}")
        self._share_out(roots)
        rows: list[Row | Fold] = []
        stack: list[tuple[Node | Fold, int]] = [(item, 0) for item in reversed(roots)]
        while stack and len(rows) < ROWS:
            item, level = stack.pop()
            if isinstance(item, Fold):
                rows.append(item)
                continue
            rows.append(self._row(item, level))
            inside = _inside(item)
            if inside:
                below = self._opened.get(item.task.id) or [self._closed(item, inside, level + 1)]
                stack += [(one, level + 1) for one in reversed(below)]
        folded = sum(row.count + row.below for row in rows if isinstance(row, Fold))
        drawn = sum(isinstance(row, Row) for row in rows)
        return Drawing(rows, folded, len(self._workflow.nodes) - folded - drawn)

    def _share_out(self, roots: Sequence[Node | Fold]) -> None:
        """Decide which tasks are drawn with what is below them, the most telling first, while there is room."""
        order = count()
        waiting: list[tuple[int, int, int, Node]] = []

        def wait(items: Sequence[Node | Fold], level: int, *, beneath: bool) -> None:
            for item in items:
                if isinstance(item, Node) and _inside(item):
                    heappush(waiting, (self._rank(item, beneath=beneath), level, next(order), item))

        wait(roots, 0, beneath=False)
        while waiting:
            rank, level, _, node = heappop(waiting)
            # The row of the fold that stands for them is theirs.
            self._room += 1
            chains = self._chains(_inside(node), level + 1)
            items = self._fit(chains, level + 1, f"parent:{quoted(node.task.id)}")
            if all(isinstance(item, Fold) and item.kind == "others" for item in items):
                self._room -= 1 - sum(map(_rows_of, items))
                continue
            self._opened[node.task.id] = items
            wait(items, level + 1, beneath=rank == BENEATH or node.task.id == self._here)

    def _rank(self, node: Node, *, beneath: bool) -> int:
        if node.task.id in self._kept:
            return 0
        if node.critical:
            return 1
        # Below a root that is looked at is everything.
        return BENEATH if beneath and self._here != self._root else 3

    def _chains(self, siblings: Sequence[Node], level: int) -> list[list[Node | Fold]]:
        """What is drawn of tasks below one parent: each with the steps that follow it."""
        items = self._alike(siblings, level)
        return [[item] if isinstance(item, Fold) else self._chain(item, level) for item in items]

    def _fit(self, chains: Sequence[list[Node | Fold]], level: int, search: str) -> list[Node | Fold]:
        """As many of them as there is room for, in their order; a fold of the others. Takes the room."""
        whole = sum(_rows_of(item) for chain in chains for item in chain)
        if whole <= self._room:
            self._room -= whole
            return [item for chain in chains for item in chain]
        self._room -= 1
        kept = set()
        for n in sorted(range(len(chains)), key=lambda n: not any(map(self._telling, chains[n]))):
            size = sum(map(_rows_of, chains[n]))
            if size <= self._room:
                self._room -= size
                kept.add(n)
        hidden = [chain[0] for n, chain in enumerate(chains) if n not in kept]
        nodes = [node for item in hidden for node in (item.nodes if isinstance(item, Fold) else (item,))]
        others = self._fold("others", nodes, sum(node.below for node in nodes), level, search)
        return [*(item for n, chain in enumerate(chains) if n in kept for item in chain), others]

    def _telling(self, item: Node | Fold) -> bool:
        """Whether it is drawn before others of its level."""
        if isinstance(item, Fold):
            return False
        return item.critical or item.task.id in self._kept or item.task.state is State.FAILURE

    def _closed(self, node: Node, inside: Sequence[Node], level: int) -> Fold:
        """A fold of all that hangs below a task."""
        id_ = node.task.id
        below, at = sum(child.below for child in inside), "" if id_ == self._here else id_
        return self._fold("below", inside, below, level, f"parent:{quoted(id_)}", at=at)

    def _above(self, task_id: str) -> set[str]:
        """The task and all that it hangs on."""
        kept = set()
        node = self._workflow.nodes.get(task_id)
        while node is not None:
            kept.add(node.task.id)
            node = node.parent
        return kept

    def _chain(self, head: Node, level: int) -> list[Node | Fold]:
        """A task and what follows it step by step; the middle of a long chain is folded."""
        chain = [head]
        while (step := chain[-1].then) is not None:
            chain.append(step)
        if len(chain) <= STEPS:
            return [*chain]
        first, last = chain[: STEPS // 2], chain[-STEPS // 2 :]
        middle = chain[STEPS // 2 : -STEPS // 2]
        shown = [node for node in middle if node.task.id == self._here]
        hidden = [node for node in middle if node.task.id != self._here]
        below = sum(child.below + 1 for node in hidden for child in _inside(node))
        root = middle[0].task.root_id or head.task.id
        return [*first, self._fold("steps", hidden, below, level, f"root:{quoted(root)}"), *shown, *last]

    def _alike(self, siblings: Sequence[Node], level: int) -> list[Node | Fold]:
        """Tasks below one parent, many of one name as one fold where the first of them would stand."""
        by_name: dict[str, list[Node]] = {}
        for node in siblings:
            by_name.setdefault(node.task.name, []).append(node)
        drawn: list[Node | Fold] = []
        for name, nodes in by_name.items():
            if len(nodes) <= ALIKE:
                drawn += nodes
                continue
            failed = [node for node in nodes if node.task.state is State.FAILURE][:FAILURES]
            shown = {id(node) for node in failed}
            shown |= {id(node) for node in nodes if node.critical or node.task.id in self._kept}
            hidden = [node for node in nodes if id(node) not in shown][1:]
            out = {id(node) for node in hidden}
            kept: list[Node | Fold] = [node for node in nodes if id(node) not in out]
            if hidden:
                below = sum(node.below for node in hidden)
                kept.insert(1, self._fold("alike", hidden, below, level, _search(hidden[0], name)))
            drawn += kept
        return drawn

    def _fold(self, kind: str, nodes: Sequence[Node], below: int, level: int, search: str, *, at: str = "") -> Fold:
        names = Counter(node.task.name for node in nodes)
        states = Counter(node.task.state.value for node in nodes)
        start = min(node.first_at for node in nodes)
        end = max(node.end_at(self._now) for node in nodes)
        bar = self._axis.bar("fold", start, end, nodes[0].task.state)
        told = names.most_common(3), kind, len(nodes), below, states.most_common(), bar, search, at
        return Fold(min(level, LEVELS), *told, nodes=nodes)

    def _row(self, node: Node, level: int) -> Row:
        id_ = node.task.id
        return Row(
            node,
            min(level, LEVELS),
            self._bars(node),
            self._groups.get(id_, ""),
            self._bodies.get(id_, ""),
            id_ == self._here,
        )

    def _bars(self, node: Node) -> list[Bar]:
        task, first, end = node.task, node.first_at, node.end_at(self._now)
        started = task.started_at
        if started is None:
            return [self._axis.bar("wait", first, end, task.state)]
        bars = [self._axis.bar("wait", first, started, task.state)] if started > first else []
        return [*bars, self._axis.bar("run", started, max(started, end), task.state)]


def _rows_of(item: Node | Fold) -> int:
    """Rows that it takes: of a task with others below it one more, the fold that stands for them."""
    return 2 if isinstance(item, Node) and _inside(item) else 1


def _inside(node: Node) -> list[Node]:
    """What hangs below a task besides the step that follows it."""
    then = node.then
    return [child for child in node.children if child is not then]


def _search(node: Node, name: str) -> str:
    above = f"parent:{quoted(node.parent.task.id)}" if node.parent is not None and node.link is not Link.ADRIFT else ""
    return " ".join(part for part in (above, f"name:={quoted(name)}") if part)
