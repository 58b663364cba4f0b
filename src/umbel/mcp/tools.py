"""What an assistant may ask and, where that is allowed, do: a method each, whose docstring the assistant reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

import msgspec
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from umbel.client import Client, ClientError
from umbel.client.api import Span
from umbel.client.records import Task
from umbel.control.commands import Revoke
from umbel.mcp.answers import marked

#: Tasks, names or kinds of failure in one answer.
ROWS: Final = 50

Query = Annotated[
    str,
    Field(description="A search such as `state:FAILURE name:shop.* received:>-1h`; see umbel://query-language."),
]
Rows = Annotated[int, Field(ge=1, le=ROWS, description="Items in the answer.")]
Id = Annotated[str, Field(min_length=1, max_length=1_000, description="The id of a task.")]
Range = Annotated[Span, Field(description="The span up to now.")]

#: What a list shows of a task; the rest is in `get_task`.
_LISTED: Final = ("id", "name", "state", "worker", "queue", "exception", "retries", "wait_seconds", "run_seconds")
_TIMES: Final = ("sent_at", "received_at", "started_at", "finished_at")
_TEXTS: Final = ("args", "kwargs", "result")


class Looks:
    """Tools that change nothing. Every method raises `ToolError` with what is wrong and the remedy."""

    def __init__(self, umbel: Client, *, texts: bool) -> None:
        """`texts`: arguments and results are shown."""
        self._umbel = umbel
        self._texts = texts

    def search_tasks(
        self,
        query: Query = "",
        limit: Rows = 20,
        cursor: Annotated[str, Field(max_length=500, description="`next` of the answer before.")] = "",
    ) -> str:
        """Tasks that match a search, the newest first, each with its state, times and exception."""

        def ask() -> dict[str, Any]:
            page = self._umbel.page(query, limit=limit, cursor=cursor)
            return {"items": [self._listed(task) for task in page.items], "next": page.next}

        return told(ask)

    def count_tasks(self, query: Query = "") -> str:
        """How many tasks match a search; `capped` means that there are more than `count`."""
        return told(lambda: _plain(self._umbel.count(query)))

    def get_task(self, task_id: Id) -> str:
        """One task with each of its attempts, its exception and traceback: why it failed."""

        def ask() -> dict[str, Any]:
            task = _plain(self._umbel.task(task_id))
            return {name: value for name, value in task.items() if self._texts or name not in _TEXTS}

        return told(ask)

    def task_names(
        self,
        span: Range = "1h",
        sort: Annotated[
            Literal["ended", "failed", "share", "run", "wait"],
            Field(description="What is greatest first: ended, failures, failure share, p95 of run or of wait."),
        ] = "ended",
        limit: Rows = ROWS,
    ) -> str:
        """Task names that ran: how often, failure share (0 to 1), percentiles of wait and run in seconds."""
        return told(lambda: {"items": [_plain(one) for one in self._umbel.names(span, sort=sort, limit=limit)]})

    def errors(
        self,
        span: Range = "1h",
        state: Annotated[Literal["open", "resolved", "all"], Field(description="Which kinds.")] = "open",
    ) -> str:
        """The newest failures put together by fingerprint (class, place, message), those back again and the new first.

        `latest_id` is a task that failed so: `get_task` shows its traceback.
        """
        return told(lambda: _plain(self._umbel.errors(span, state=state)))

    def what_changed(self, span: Range = "1h") -> str:
        """What is different from the day before: new failures, names slower or failing more, workers gone."""
        return told(lambda: _plain(self._umbel.changes(span)))

    def workers(self) -> str:
        """Worker processes: online or not, running tasks, versions, when last seen."""
        return told(lambda: {"items": [_plain(one) for one in self._umbel.workers()]})

    def queues(self) -> str:
        """How many messages wait in each queue and how many consumers it has."""
        return told(lambda: {"items": [_plain(one) for one in self._umbel.queues()]})

    def ingest_health(self) -> str:
        """Whether Umbel itself keeps up, and what it could not capture: how far its answers can be trusted."""

        def ask() -> dict[str, Any]:
            lost = self._umbel.ledger(limit=20)
            return {**_plain(self._umbel.ingest()), "ledger": [_plain(entry) for entry in lost]}

        return told(ask)

    def _listed(self, task: Task) -> dict[str, Any]:
        names = (*_LISTED, *_TIMES, *(_TEXTS if self._texts else ()))
        return {name: value for name in names if (value := getattr(task, name)) is not None}


class Deeds:
    """Tools that change something, past the permissions, rules and audit trail of the Umbel that is asked."""

    def __init__(self, umbel: Client) -> None:
        self._umbel = umbel

    def revoke_task(
        self,
        task_id: Id,
        terminate: Annotated[bool, Field(description="Also stop it where it runs now.")] = False,
    ) -> str:
        """Tell workers not to run a task. What each worker answered is told."""
        return told(lambda: _plain(self._umbel.control(Revoke(task_ids=(task_id,), terminate=terminate))))

    def run_task_again(
        self,
        task_id: Id,
        dry_run: Annotated[bool, Field(description="Only say what would be sent.")] = True,
    ) -> str:
        """Send a task once more with its true arguments, as a new task; only says what would be sent unless told."""
        return told(lambda: _plain(self._umbel.run_again(task_id, dry_run=dry_run)))


def told(ask: Callable[[], dict[str, Any]]) -> str:
    """What comes of asking, marked as data; raises `ToolError`, whose words the assistant reads."""
    try:
        return marked(ask())
    except ClientError as error:
        raise ToolError(str(error)) from error


def _plain(record: msgspec.Struct) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(record)
    return found
