"""What the result backend says of who belongs to whom: asked on a thread apart, remembered, hardly waited for."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from umbel.control.runs import Kin, NoBackend, Runs
from umbel.errors import UmbelError
from umbel.model.task import ENDED
from umbel.model.workflow import Kinship, Link, Workflow

#: Results asked for of one workflow, and remembered of all; ids remembered, of 200 characters at most.
ASKED: Final = 300
RESULTS: Final = 20_000
IDS: Final = 200_000
#: Seconds that the backend is given for one workflow, and that a page waits for it.
PATIENCE: Final = 3.0
WAIT: Final = 0.4


@dataclass(frozen=True, slots=True)
class Told:
    """What is known from results just now."""

    kinship: Kinship
    #: Tasks whose results were read, and those that would have to be.
    read: int
    wanted: int
    #: There is a backend to ask.
    backend: bool
    #: Why it could not be asked, in words.
    problem: str


class Results:
    """One for each app; used by several threads."""

    def __init__(self, runs: Callable[[], Runs | None]) -> None:
        self._runs = runs
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Kin] = OrderedDict()
        self._ids = 0
        self._asking = False
        self._problem = ""
        self._backend = True

    def of(self, ids: Sequence[str]) -> Told:
        """What the results of these tasks say, as far as it is known within `WAIT` seconds."""
        unknown = self._unknown(ids)
        if unknown:
            answered = self._ask(unknown)
            if answered is not None:
                answered.wait(WAIT)
        with self._lock:
            found = {id_: self._known[id_] for id_ in ids if id_ in self._known}
            return Told(together(found), len(found), len(ids), self._backend, self._problem)

    def _unknown(self, ids: Iterable[str]) -> list[str]:
        with self._lock:
            return [id_ for id_ in ids if id_ not in self._known]

    def _ask(self, ids: Sequence[str]) -> threading.Event | None:
        """Begin to ask; None where somebody else's question is still under way."""
        with self._lock:
            if self._asking:
                return None
            self._asking = True
        answered = threading.Event()
        # A daemon: a backend that hangs keeps nobody from stopping.
        threading.Thread(target=self._read, args=(ids, answered), name="results", daemon=True).start()
        return answered

    def _read(self, ids: Sequence[str], answered: threading.Event) -> None:
        problem, backend, found = "", True, dict[str, Kin]()
        try:
            runs = self._runs()
            if runs is None:
                backend = False
            else:
                found.update(runs.kin(ids, PATIENCE))
        except NoBackend:
            backend = False
        except UmbelError as error:
            problem = str(error)
        finally:
            with self._lock:
                self._problem, self._backend, self._asking = problem, backend, False
                self._remember(found)
            answered.set()

    def _remember(self, found: Mapping[str, Kin]) -> None:
        for id_, kin in found.items():
            if id_ not in self._known:
                self._known[id_] = kin
                self._ids += _size(kin)
        while len(self._known) > RESULTS or self._ids > IDS:
            _, oldest = self._known.popitem(last=False)
            self._ids -= _size(oldest)


def _size(kin: Kin) -> int:
    return 1 + len(kin.children) + len(kin.bodies) + sum(map(len, kin.groups.values()))


def wanted(workflow: Workflow, task_id: str) -> list[str]:
    """Whose results say something: the task that is looked at, then those that sent others, the widest first."""
    inner = [node for node in workflow.nodes.values() if node.children]
    adrift = {node.parent.task.id for node in workflow.nodes.values() if node.link is Link.ADRIFT and node.parent}
    inner.sort(key=lambda node: (node.task.id not in adrift, -len(node.children)))
    ids = [task_id, *(node.task.id for node in inner if node.task.id != task_id)]
    return [id_ for id_ in ids if workflow.nodes[id_].task.state in ENDED][:ASKED]


def together(found: Mapping[str, Kin]) -> Kinship:
    """What several results say, put together."""
    kinship = Kinship()
    for id_, kin in found.items():
        if kin.group_id:
            kinship.group_of[id_] = kin.group_id
        for group_id, members in kin.groups.items():
            kinship.group_of.update(dict.fromkeys(members, group_id))
        kinship.body_of.update(kin.bodies)
        for child in kin.children:
            kinship.parent_of.setdefault(child, id_)
    return kinship
