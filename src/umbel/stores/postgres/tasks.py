"""The tasks of a commit: joined with what is stored of them, inside the commit's transaction.

Collectors that write about the same tasks at once neither lose anything nor wait for each other in a circle: new tasks
are inserted first, in order of their ids, then stored ones are locked, in order of parts and ids. Whoever waits for an
inserted row holds no lock on a stored one, and whoever waits for a lock waits only for somebody who is further on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from umbel.errors import StoreBusy
from umbel.model.merge import Task, join
from umbel.model.rollup import contribution
from umbel.model.task import Summary, summarize
from umbel.stores.postgres.copying import copy_rows
from umbel.stores.postgres.places import Places
from umbel.stores.postgres.rollups import Rollups
from umbel.stores.postgres.rows import COLUMNS, RECORD_COLUMNS, record_of, task_row
from umbel.stores.postgres.session import Session
from umbel.stores.postgres.text import stored
from umbel.stores.postgres.zones import Zones

_INSERT: Final = (
    f"INSERT INTO task ({RECORD_COLUMNS}) SELECT {RECORD_COLUMNS} FROM incoming ORDER BY id "  # noqa: S608 - built by us
    "ON CONFLICT (id, part) DO NOTHING RETURNING id"
)
_LOCK: Final = (
    f"SELECT {RECORD_COLUMNS} FROM task WHERE part = ANY(%s) AND id = ANY(%s) "  # noqa: S608 - built by us
    "ORDER BY part, id FOR NO KEY UPDATE"
)
_UPDATE: Final = (
    "UPDATE task SET "  # noqa: S608 - built by us
    + ", ".join(f"{name} = changed.{name}" for name in COLUMNS if name not in ("n", "part", "id"))
    + " FROM changed WHERE task.part = %s AND changed.part = %s AND task.id = changed.id"
)

Row = tuple[Any, ...]


class TaskWriter:
    """Joins the tasks of one commit; a new one for each."""

    def __init__(self, session: Session, places: Places, rollups: Rollups, newest: int) -> None:
        self._session = session
        self._places = places
        self._rollups = rollups
        self._newest = newest
        #: New tasks of each part that is touched.
        self.touched: dict[int, int] = {}
        self.zones = Zones()
        #: Names of the tasks that changed.
        self.names: set[str] = set()

    def join(self, tasks: Iterable[Task]) -> None:
        """Bring the tasks into the store, and what they add into the rollups."""
        wanted = {stored(task.id): task for task in tasks}
        if not wanted:
            return
        where = dict(self._places.of(list(wanted), self._newest))
        new = {id_: task for id_, task in wanted.items() if id_ not in where}
        inserted = self._insert(new) if new else set()
        # What is not ours although we did not find it was inserted by another collector meanwhile.
        where |= dict.fromkeys(new.keys() - inserted, self._newest)
        if where:
            self._join_stored(where, wanted)

    def _insert(self, new: Mapping[str, Task]) -> set[str]:
        """Insert tasks that are not stored; the ids of those that were still not."""
        numbers = [n for (n,) in self._session.execute("numbers", len(new))]
        places = dict(zip(new, numbers, strict=True))
        rows, summaries = [], {}
        for n, (id_, task) in zip(numbers, new.items(), strict=True):
            summary = summaries[id_] = summarize(task)
            rows.append(task_row(n, self._newest, task, summary))
        copy_rows(self._session, "incoming", COLUMNS.values(), rows)
        inserted = {id_ for (id_,) in self._session.connection.execute(_INSERT)}
        for id_ in inserted:
            self._change(self._newest, places[id_], None, new[id_], summaries[id_])
        if inserted:
            self.touched[self._newest] += len(inserted)
        return inserted

    def _join_stored(self, where: Mapping[str, int], wanted: Mapping[str, Task]) -> None:
        parts = sorted(set(where.values()))
        cursor = self._session.connection.cursor(binary=True)
        rows = cursor.execute(_LOCK, (parts, list(where))).fetchall()
        if len(rows) != len(where):
            raise StoreBusy(f"{self._session.target} has dropped a part that this commit touches; it comes again")
        changed: dict[int, list[Row]] = {}
        for row in rows:
            task, before = record_of(row)
            added = contribution(task, before)
            if join(task, wanted[row[2]]):
                summary = summarize(task)
                changed.setdefault(row[1], []).append(task_row(row[0], row[1], task, summary))
                self._change(row[1], row[0], added, task, summary)
        if changed:
            copy_rows(self._session, "changed", COLUMNS.values(), [row for rows in changed.values() for row in rows])
        for part in changed:
            self._session.connection.execute(_UPDATE, (part, part))

    def _change(self, part: int, n: int, before: Any, task: Task, summary: Summary) -> None:
        self._rollups.change(part, before, contribution(task, summary))
        self.touched.setdefault(part, 0)
        self.zones.widen(part, n, summary)
        self.names.add(summary.name)
