"""The history that is asked: tasks of two weeks, and two workflows at its end; filled once and kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from stores.engines import sqlite
from stores.history import END, START, WORKERS, windows
from umbel.model.event import AnyEvent, TaskReceived, TaskSent, TaskStarted, TaskSucceeded
from umbel.model.gather import gather
from umbel.stores.base import Commit, Position

#: Tasks of a commit.
WINDOW: Final = 2_000
#: Tasks of the workflows, by the id of their root.
WORKFLOWS: Final = {f"0000000{n}-0000-4000-8000-000000000000": tasks for n, tasks in ((1, 1_000), (2, 10_000))}
#: Children of a task in a workflow.
CHILDREN: Final = 8


def fill(directory: Path, count: int) -> None:
    """Commit the history, and seal what is full."""
    engine = sqlite(directory)
    for number, events in enumerate(_commits(count)):
        done = min(count, (number + 1) * WINDOW)
        at = START + (END - START) * done / count
        engine.write(Commit(at, gather(events), stored=len(events), position=Position("bench", str(number))))
        engine.upkeep()
    engine.settle()
    engine.close()


def copied(kept: Path, home: Path) -> Path:
    """A copy of the history that may be written to; the path of its catalog."""
    for found in kept.iterdir():
        if found.is_dir():
            shutil.copytree(found, home / found.name)
        elif found.suffix != ".tmp":
            shutil.copy2(found, home / found.name)
    return home / "umbel.db"


def _commits(count: int) -> Iterator[list[AnyEvent]]:
    yield from windows(count, WINDOW, 0.02, 2.0)
    for root, tasks in WORKFLOWS.items():
        events = list(_workflow(root, tasks))
        for first in range(0, len(events), 4 * WINDOW):
            yield events[first : first + 4 * WINDOW]


def _workflow(root: str, tasks: int) -> Iterator[AnyEvent]:
    """A tree of `tasks`, each with up to `CHILDREN` of its own, within ten minutes; breadth first."""
    for number in range(tasks):
        at = END - 600 + 500 * number / tasks
        id_ = _id(root, number)
        parent = _id(root, (number - 1) // CHILDREN) if number else None
        worker, name = WORKERS[number % len(WORKERS)], f"shop.flow.step_{number % 7}"
        what: dict[str, Any] = {"name": name, "args": f"({number},)", "kwargs": "{}", "root_id": root}
        yield TaskSent(timestamp=at, uuid=id_, hostname="gen17@web-0", queue="celery", parent_id=parent, **what)
        yield TaskReceived(hostname=worker, pid=7, timestamp=at + 0.01, uuid=id_, parent_id=parent, **what)
        yield TaskStarted(hostname=worker, pid=7, timestamp=at + 0.1, uuid=id_)
        yield TaskSucceeded(hostname=worker, pid=7, timestamp=at + 1.1, uuid=id_, result=f"{number}", runtime=1.0)


def _id(root: str, number: int) -> str:
    return root[:-12] + f"{number:012x}"
