"""A task's summary as the row of `task`, and back, exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

from umbel.model.task import ENDED, Summary, exception_type
from umbel.stores.kinds import STATE_NUMBER, STATES
from umbel.stores.sqlite.ids import BoundKey, bound_key, to_text

ENDED_NUMBERS: Final = frozenset(STATE_NUMBER[state] for state in ENDED)


#: Many tasks have the same root and parent.
_kin_text: Final = lru_cache(1024)(to_text)

#: What stands for NULL in a parameter of `put_task` (looking for an adapter of None is what would cost most there).
NONE: Final = 0
ITSELF: Final = 0


def task_row(n: int, key: BoundKey, summary: Summary, word: Callable[[str], int]) -> tuple[Any, ...]:
    """The parameters of `put_task`."""
    root, parent = summary.root_id, summary.parent_id
    return (
        n,
        key,
        word(summary.name),
        STATE_NUMBER[summary.state],
        word(summary.worker),
        word(summary.queue),
        summary.sent_at,
        summary.received_at,
        summary.started_at,
        summary.finished_at,
        summary.wait_seconds,
        summary.run_seconds,
        summary.retries,
        summary.updated_at,
        int(summary.rerun),
        ITSELF if root == summary.id else bound_key(root),
        bound_key(parent) if parent else NONE,
        summary.exception,
    )


#: The columns that `summary_of` wants, in its order; to be selected from `task`.
SUMMARY_COLUMNS: Final = (
    "task.n, task.id, coalesce((SELECT word FROM word WHERE word.id = task.name), ''), task.state, "
    "coalesce((SELECT word FROM word WHERE word.id = task.worker), ''), "
    "coalesce((SELECT word FROM word WHERE word.id = task.queue), ''), task.sent_at, task.received_at, "
    "task.started_at, task.finished_at, task.wait, task.run, task.retries, "
    "coalesce(task.updated_at, task.finished_at), task.rerun, task.root, task.parent, coalesce(task.exception, '')"
)


def summary_of(row: Sequence[Any]) -> Summary:
    """The summary from `SUMMARY_COLUMNS`."""
    _, key, name, state, worker, queue, sent, received, started, finished, wait, run, retries, updated, rerun, *rest = (
        row
    )
    root, parent, exception = rest
    id_ = to_text(key)
    return Summary(
        id=id_,
        name=name,
        state=STATES[state],
        worker=worker,
        queue=queue,
        sent_at=sent,
        received_at=received,
        started_at=started,
        finished_at=finished,
        wait_seconds=wait,
        run_seconds=run,
        retries=retries,
        exception=exception,
        exception_type=exception_type(exception),
        root_id=id_ if root is None else _kin_text(root),
        parent_id="" if parent is None else _kin_text(parent),
        updated_at=updated,
        rerun=bool(rerun),
    )
