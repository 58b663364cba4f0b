"""`Client`: everything that programs ask of an Umbel, typed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from types import TracebackType
from typing import Any, Final, Literal, Self
from urllib.parse import quote

import httpx2
import msgspec

from umbel.access.identity import HIDE
from umbel.client.errors import NotAccepted, ServerFailed, Unreachable
from umbel.client.records import (
    AlertRule,
    AlertRuleName,
    Alerts,
    AlertTrial,
    BulkLine,
    Changes,
    Control,
    Count,
    Deploy,
    Errors,
    ErrorState,
    Ingest,
    Items,
    Ledger,
    Name,
    Outcome,
    Queue,
    RuleTable,
    Run,
    Silence,
    Started,
    Task,
    TaskPage,
    Worker,
)
from umbel.client.session import Session
from umbel.clock import Clock, SystemClock
from umbel.control.commands import Command

#: Seconds of silence after which an answer is given up: a search may look for long before it finds a task.
TIMEOUT: Final = 120.0
RETRIES: Final = 2

Span = Literal["15m", "1h", "6h", "24h"]
Sort = Literal["ended", "failed", "share", "run", "wait"]
ErrorStates = Literal["open", "resolved", "all"]


@dataclass(frozen=True, slots=True)
class Export:
    """A file as it comes: `pieces` are to be read within the `with`, each once."""

    #: How many tasks matched when it began: "12", or "10000+" for more than that.
    total: str
    pieces: Iterator[bytes]


class Client:
    """One Umbel, by its address; may be used from several threads. Every method raises `ClientError`.

    What only looks is tried again (`retries` times, with growing waits) where the connection fails or the server says
    when to come again; what changes something is tried once.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:5555",
        *,
        token: str = "",
        auth: tuple[str, str] | None = None,
        timeout: float = TIMEOUT,
        retries: int = RETRIES,
        hide: bool = False,
        transport: httpx2.BaseTransport | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`token`: an API token; `auth`: user and password instead; `timeout`: seconds of silence.

        `hide`: be shown no arguments and results, whatever the role sees. `transport` takes the place of the network.
        """
        headers = {"Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {_header(token)}"
        if hide:
            headers[HIDE] = "data"
        self._session = Session(
            url, headers, auth, clock or SystemClock(), timeout=timeout, retries=retries, transport=transport
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    # Tasks

    def tasks(self, q: str = "", *, limit: int | None = None, page: int = 200) -> Iterator[Task]:
        """Tasks that match, newest first, `page` of them asked for at a time; `limit` at most."""
        return islice(self._every(q, page if limit is None else max(1, min(page, limit))), limit)

    def _every(self, q: str, page: int) -> Iterator[Task]:
        cursor: str | None = ""
        while cursor is not None:
            found = self.page(q, limit=page, cursor=cursor)
            yield from found.items
            cursor = found.next

    def page(self, q: str = "", *, limit: int = 50, cursor: str = "") -> TaskPage:
        """One page of tasks; `cursor` is `next` of the page before."""
        return self._session.get("tasks", TaskPage, {"q": q, "limit": limit, "cursor": cursor})

    def task(self, task_id: str) -> Task:
        """One task with its attempts; raises `NotFound`."""
        return self._session.get(f"tasks/{_segment(task_id)}", Task)

    def count(self, q: str = "") -> Count:
        """How many tasks match, counted up to a bound."""
        return self._session.get("tasks/count", Count, {"q": q})

    @contextmanager
    def export(
        self, q: str = "", *, form: str = "jsonl", columns: Sequence[str] = (), limit: int | None = None
    ) -> Iterator[Export]:
        """Every task that matches, newest first, as a file: csv, jsonl or parquet; all columns unless named."""
        query = {"q": q, "format": form, "columns": ",".join(columns) or None, "limit": limit}
        with self._session.stream("GET", "tasks/export", query=query) as response:
            yield Export(response.headers.get("X-Umbel-Tasks", ""), response.iter_bytes())

    # Figures

    def names(self, span: Span = "1h", *, sort: Sort = "ended", limit: int = 100) -> list[Name]:
        """Task names that ran in the span: how often, how long, how often they failed."""
        return self._session.get("names", Items[Name], {"range": span, "sort": sort, "limit": limit}).items

    def errors(self, span: Span = "1h", *, state: ErrorStates = "open") -> Errors:
        """The newest failures of the span put together by fingerprint."""
        return self._session.get("errors", Errors, {"range": span, "state": state})

    def changes(self, span: Span = "1h") -> Changes:
        """What is different from the day before the span."""
        return self._session.get("changes", Changes, {"range": span})

    def workers(self) -> list[Worker]:
        """Worker processes seen within retention, the most recently seen first."""
        return self._session.get("workers", Items[Worker]).items

    def queues(self, *names: str) -> list[Queue]:
        """How many messages wait; of the queues of the latest tasks unless some are named."""
        return self._session.get("queues", Items[Queue], {"name": names or None}).items

    def ingest(self) -> Ingest:
        """The books, and how the flow stands."""
        return self._session.get("ingest", Ingest)

    def ledger(self, *, limit: int = 200, since: datetime | None = None) -> list[Ledger]:
        """What was lost: when, why, how much; the newest first."""
        query = {"limit": limit, "since": None if since is None else since.timestamp()}
        return self._session.get("ledger", Items[Ledger], query).items

    def deploys(self, *, limit: int = 100) -> list[Deploy]:
        """Deploys that were entered, the newest first."""
        return self._session.get("deploys", Items[Deploy], {"limit": limit}).items

    def alerts(self) -> Alerts:
        """What fires or may yet, every rule with what it measured, silences; all empty where no alerts are set up."""
        return self._session.get("alerts", Alerts)

    def try_rule(self, rule: RuleTable) -> AlertTrial:
        """What a rule of alerts finds now, and how often it would have fired in the last day; nothing is kept.

        Raises `NotAccepted` where it cannot be used.
        """
        return self._session.post("alerts/rules/try", AlertTrial, rule)

    # What changes something

    def keep_rule(self, rule: RuleTable) -> AlertRule:
        """Make a rule of alerts, or change the one of this name; raises `NotAccepted` where it cannot be used."""
        return self._session.post("alerts/rules", AlertRule, rule)

    def delete_rule(self, name: str) -> str:
        """Delete a rule that was made on the page or here; its name. Raises `NotFound`."""
        return self._session.post(f"alerts/rules/{_segment(name)}/delete", AlertRuleName, {}).name

    def silence(self, reason: str, seconds: float, *, rule: str = "*", subject: str = "*") -> Silence:
        """Keep alerts quiet for so long: `*` in `rule` and `subject` stands for any run of characters."""
        body = {"reason": reason, "seconds": seconds, "rule": rule, "subject": subject}
        return self._session.post("alerts/silences", Silence, body)

    def end_silence(self, silence_id: str) -> Silence:
        """End a silence before its time; raises `NotFound`."""
        return self._session.post(f"alerts/silences/{_segment(silence_id)}/end", Silence, {})

    def deploy(self, version: str, *, service: str = "", text: str = "", at: datetime | None = None) -> Deploy:
        """Enter a deploy, which the charts then mark; now unless `at` says otherwise."""
        body = {"version": version, "service": service, "text": text, "at": _moment(at) or ""}
        return self._session.post("deploys", Deploy, body)

    def resolve(self, key: str) -> ErrorState:
        """Call a kind of failure resolved, by its fingerprint; it comes back by itself when it fails again."""
        return self._session.post(f"errors/{_segment(key)}/resolve", ErrorState, {})

    def reopen(self, key: str) -> ErrorState:
        """Take that back."""
        return self._session.post(f"errors/{_segment(key)}/reopen", ErrorState, {})

    def control(self, command: Command, *, timeout: float = 5.0) -> Control:
        """Have workers do or tell something (see `umbel.control.commands`), waiting `timeout` s for the slowest."""
        path, body = f"control/{command.method}", msgspec.json.encode(command)
        with self._session.stream("POST", path, query={"timeout": timeout}, body=body, patience=timeout) as response:
            return self._session.decoded(response, Control)

    def run_again(
        self,
        task_id: str,
        *,
        dry_run: bool = False,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        queue: str | None = None,
        countdown: float | None = None,
        expires_in: float | None = None,
    ) -> Run:
        """Send a task once more, with its true arguments or those given; `dry_run`: only say what would be sent.

        Raises `NotFound`, and `NotAccepted` where its true arguments are not known.
        """
        given = {"args": args, "kwargs": kwargs, "queue": queue, "countdown": countdown, "expires_in": expires_in}
        body = {"dry_run": dry_run, **{name: value for name, value in given.items() if value is not None}}
        return self._session.post(f"tasks/{_segment(task_id)}/run-again", Run, body)

    def run_many_again(
        self,
        *,
        ids: Sequence[str] | None = None,
        q: str | None = None,
        limit: int = 1_000,
        rate: float = 10.0,
        dry_run: bool = False,
    ) -> Iterator[Outcome]:
        """Run tasks again, by ids or the newest that a search finds, `rate` a second; what became of each as it comes.

        Leaving the iterator leaves the rest.
        """
        body = {"ids": ids, "q": q, "limit": limit, "rate": rate, "dry_run": dry_run}
        sent = msgspec.json.encode(body)
        with self._session.stream("POST", "run-again", body=sent, patience=1 / rate) as response:
            for line in response.iter_lines():
                told = msgspec.json.decode(line, type=BulkLine)
                if told.error:
                    raise ServerFailed(f"{self._session.base} broke off: {told.error}")
                if told.seconds is not None:
                    return
                yield Outcome(told.task_id, told.outcome, told.new_id, told.text)
        raise Unreachable(f"{self._session.base} broke its answer off, what came is not the whole; its log says why")

    def start(
        self,
        name: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        queue: str | None = None,
        countdown: float | None = None,
        eta: datetime | None = None,
    ) -> str:
        """Send a task by its name; its id."""
        body: dict[str, Any] = {"name": name, "args": args, "kwargs": kwargs or {}, "countdown": countdown}
        body |= {} if queue is None else {"queue": queue}
        body |= {} if eta is None else {"eta": _moment(eta)}
        return self._session.post("tasks", Started, body).id


def _segment(text: str) -> str:
    """An id as one segment of a path; one of dots alone would lead elsewhere."""
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")


def _header(token: str) -> str:
    if not token.isascii() or not token.isprintable():
        raise NotAccepted("the token has characters that no token has; give it as it was printed")
    return token


def _moment(at: datetime | None) -> str | None:
    """RFC 3339; a naive time is taken for the machine's own."""
    return None if at is None else at.astimezone().isoformat()
