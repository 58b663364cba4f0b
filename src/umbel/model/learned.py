"""Ends that no worker told of: the event was lost, and the result backend knows what became of the task.

Such an end is a value of the same registers as one that was told, so merging it is the same join: order and duplicates
do not matter, and whoever learns it twice learns the same. It bears the pid `LEARNED`, which no process has. An end
that a worker tells of later comes after it in time, as results are stored before the event is sent, and displaces it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from umbel.model.merge import LEARNED, Failed, Revoked, Succeeded, Task
from umbel.model.redact import Redactor
from umbel.model.task import State, end_of

#: Characters kept of a result, an exception and a traceback; of that its end.
RESULT: Final = 1_000
EXCEPTION: Final = 300
TRACEBACK: Final = 1_000


class End(Struct, frozen=True):
    """What the result backend says of a task that has ended; absent texts are ""."""

    task_id: str
    #: SUCCESS, FAILURE or REVOKED.
    state: str
    #: When its result was stored, UTC seconds.
    at: float
    #: The worker that held it last, as far as is known.
    worker: str = ""
    #: As `repr`.
    result: str = ""
    exception: str = ""
    traceback: str = ""

    def texts(self, redactor: Redactor | None = None) -> dict[str, str]:
        """As the journal keeps it: cut, and with what is secret hidden first."""
        hide = redactor.text if redactor is not None else str
        return {
            "task_id": self.task_id,
            "state": self.state,
            "at": repr(self.at),
            "worker": self.worker,
            "result": _cut(hide(self.result), RESULT),
            "exception": _cut(hide(self.exception), EXCEPTION),
            "traceback": hide(self.traceback)[-TRACEBACK:],
        }

    @classmethod
    def of(cls, texts: Mapping[str, str]) -> End:
        """Back from there; raises `ValueError` for what is no end."""
        try:
            end = cls(**{**texts, "at": float(texts["at"])})  # type: ignore[arg-type]  # all others are texts
        except (TypeError, KeyError) as error:
            raise ValueError(f"no end of a task: {sorted(texts)}") from error
        if end.state not in (State.SUCCESS, State.FAILURE, State.REVOKED) or not 0 <= end.at < float("inf"):
            raise ValueError(f"no end of a task: {end.state} at {end.at}")
        return end

    def record(self) -> Task:
        """What is joined into the task's record."""
        task = Task(self.task_id)
        if self.state == State.SUCCESS:
            task.succeeded = Succeeded(self.at, self.worker, LEARNED, self.result)
        elif self.state == State.FAILURE:
            task.failed = Failed(self.at, self.worker, LEARNED, self.exception, self.traceback)
        else:
            task.revoked = Revoked(self.at, self.worker, LEARNED)
        return task


def learned(task: Task) -> bool:
    """Whether the end that the task's state follows from was told by the result backend alone."""
    end = end_of(task)
    return end is not None and end.pid == LEARNED


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
