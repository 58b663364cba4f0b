"""What the client gives. Fields that are not known here are left out: another Umbel may be newer.

A test holds each record against the schema of the same shape in the OpenAPI document.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Required, TypedDict, TypeVar

from msgspec import Struct, field

Record = TypeVar("Record")


class Items(Struct, Generic[Record], frozen=True):
    """A list as the API sends it."""

    items: list[Record]


class Attempt(Struct, frozen=True):
    """One run of a task by one worker process."""

    worker: str
    pid: int
    #: RECEIVED, STARTED, RETRY, REJECTED, SUCCESS, FAILURE or REVOKED.
    state: str
    received_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    #: The count of retries that its message carried.
    retries: int | None
    exception: str | None
    traceback: str | None


class Task(Struct, frozen=True):
    """A task; texts are as Celery sent them (`repr`), cut at a bound, `(hidden)` where the role does not see them."""

    id: str
    name: str | None
    #: PENDING, RECEIVED, STARTED, RETRY, REJECTED, SUCCESS, FAILURE or REVOKED.
    state: str
    worker: str | None
    queue: str | None
    args: str | None
    kwargs: str | None
    result: str | None
    exception: str | None
    traceback: str | None
    sent_at: datetime | None
    #: When a worker first received it.
    received_at: datetime | None
    #: When its latest run started.
    started_at: datetime | None
    #: When it ended; None while it has not.
    finished_at: datetime | None
    #: From when it could have run to its latest start.
    wait_seconds: float | None
    run_seconds: float | None
    retries: int
    attempts: list[Attempt]
    root_id: str | None
    parent_id: str | None
    eta: datetime | None
    expires: datetime | None
    #: No event told of its end: the result backend did, when it was asked.
    end_learned: bool


class TaskPage(Struct, frozen=True):
    """A page of tasks, newest first; `next` is the cursor of the page after it, None at the end."""

    items: list[Task]
    next: str | None


class Count(Struct, frozen=True):
    """How many tasks match; `capped`: there are more."""

    count: int
    capped: bool


class Software(Struct, frozen=True):
    """What a worker runs on."""

    ident: str
    version: str
    system: str


class Worker(Struct, frozen=True):
    """A worker process; its counters restart with it."""

    hostname: str
    pid: int
    online: bool
    active: int | None
    processed: int | None
    loadavg: list[float]
    sends_task_events: bool
    online_at: datetime | None
    offline_at: datetime | None
    #: By the worker's own clock.
    heartbeat_at: datetime | None
    #: By the clock of the other Umbel, as is `seen_at`.
    first_seen_at: datetime | None
    seen_at: datetime | None
    software: Software | None


class Priority(Struct, frozen=True):
    """Ready messages of one priority step."""

    priority: int
    ready: int


class Queue(Struct, frozen=True):
    """A queue of the broker; None where the broker does not tell."""

    name: str
    ready: int | None
    unacked: int | None
    consumers: int | None
    priorities: list[Priority]


class Spool(Struct, frozen=True):
    """Captured events waiting on disk, in bytes."""

    bytes: int
    limit: int


class Ingest(Struct, frozen=True):
    """The books, in events: `received = stored + sum(discarded) + in_flight`."""

    received: int
    stored: int
    in_flight: int
    discarded: dict[str, int]
    #: Lost before capture, estimated; not part of `received`.
    missed_estimate: int
    lag_seconds: float
    #: Events stored a second over the last half minute.
    rate: float | None
    #: Whether the broker delivers; None where unknown.
    connected: bool | None
    spool: Spool


class Ledger(Struct, frozen=True):
    """One kind of loss in one span of time."""

    reason: str
    event_class: str
    first_at: datetime | None
    last_at: datetime | None
    count: int
    estimated: bool
    worker: str | None
    detail: str | None


class Percentiles(Struct, frozen=True):
    """Seconds; None where nothing was measured."""

    p50: float | None
    p95: float | None
    p99: float | None


class Name(Struct, frozen=True):
    """One task name within a span."""

    name: str
    ended: int
    #: Ended tasks a second.
    rate: float
    failed: int
    retried: int
    #: Failed of succeeded and failed, 0 to 1.
    failure_share: float | None
    wait: Percentiles
    run: Percentiles


class ErrorKind(Struct, frozen=True):
    """Failures with one fingerprint."""

    key: str
    type: str
    message: str
    place: str
    #: open, resolved, or regressed: resolved, and failed again since.
    state: str
    new: bool
    count: int
    #: Whether `count` is a share of failures of which not each was looked at.
    estimated: bool
    #: Failures by task name.
    names: dict[str, int]
    first_at: datetime | None
    last_at: datetime | None
    latest_id: str | None
    resolved_at: datetime | None
    resolved_by: str | None
    search: str | None


class Errors(Struct, frozen=True):
    """Failures by kind; `complete` is False where the span has kinds that are not among `items`."""

    items: list[ErrorKind]
    failed: int
    looked_at: int
    complete: bool


class Change(Struct, frozen=True):
    """One thing that is different from the day before."""

    #: new, slower, failing or gone.
    kind: str
    subject: str
    detail: str
    search: str | None


class Changes(Struct, frozen=True):
    """What is different; `compared` is False where there is no day before to compare with yet."""

    items: list[Change]
    compared: bool


class Deploy(Struct, frozen=True):
    """A deploy that was entered."""

    at: datetime | None
    version: str
    service: str | None
    text: str | None


class Reply(Struct, frozen=True):
    """What one worker answered to a command."""

    worker: str
    #: ok, refused, unreadable, silent (it may still carry the command out) or sent (nothing answers it).
    outcome: str
    value: Any
    error: str | None
    #: From the sending of the command to the answer.
    seconds: float


class Control(Struct, frozen=True):
    """What came of a command; `outcomes` counts workers."""

    command: str
    outcomes: dict[str, int]
    replies: list[Reply]


class Run(Struct, frozen=True):
    """A new run of a task, as it was sent, or in a dry run (`id` is None) would be."""

    id: str | None
    task_id: str
    #: What told its arguments: result, worker, queue or text.
    source: str
    #: Whether these are the true arguments.
    exact: bool
    name: str
    args: list[Any]
    kwargs: dict[str, Any]
    exchange: str | None
    routing_key: str | None
    priority: int | None
    time_limit: float | None
    soft_time_limit: float | None
    expires_in: float | None
    notes: list[str]
    misses: list[str]


class Started(Struct, frozen=True):
    """A task that was sent."""

    id: str


class Outcome(Struct, frozen=True):
    """What became of one task of many that were run again."""

    task_id: str
    #: sent, would (in a dry run), skipped or failed.
    outcome: str
    new_id: str
    #: Where its arguments came from, or why it was not sent.
    text: str


class ErrorState(Struct, frozen=True):
    """A kind of failure after it was resolved or reopened."""

    key: str
    state: str


class Alert(Struct, frozen=True):
    """Something that a rule holds for."""

    rule: str
    #: info, warning or critical.
    severity: str
    #: The task name, worker, queue, … that it is about.
    subject: str | None
    #: pending or firing.
    state: str
    detail: str
    since: datetime | None
    #: None while it is pending.
    fired_at: datetime | None
    #: When somebody was last told; None: nobody was.
    told_at: datetime | None
    silenced: bool
    #: The search that shows it.
    query: str | None


class AlertRule(Struct, frozen=True):
    """A rule and what it measured in the latest round."""

    name: str
    on: str
    severity: str
    #: What it watches, in words.
    holds_where: str
    measured: str | None
    #: Why it could not be judged.
    problem: str | None
    destinations: list[str]
    #: Who made it on the page, and when it was last changed there; None: it stands in the configuration.
    made_by: str | None
    made_at: datetime | None


class AlertRuleName(Struct, frozen=True):
    """The rule that was deleted."""

    name: str


class AlertTrial(Struct, frozen=True):
    """What a rule found when it was tried, and what it would have done."""

    #: What it watches, in words.
    holds_where: str
    measured: str | None
    #: Why it could not be judged.
    problem: str | None
    #: What it holds for, by name, and why; 100 at most.
    found: dict[str, str]
    destinations: list[str]
    #: How often; None: no history is kept of this.
    would_have_fired: int | None
    #: How far back that was looked at: a day at most.
    looked_since: datetime | None


class Silence(Struct, frozen=True):
    """What is kept quiet; `*` stands for any run of characters."""

    id: str
    rule: str
    subject: str
    reason: str
    who: str | None
    until: datetime | None


class Alerts(Struct, frozen=True):
    """Everything about alerts."""

    #: What fires or may yet, the gravest first.
    items: list[Alert]
    rules: list[AlertRule]
    silences: list[Silence]
    #: The latest round; None where there was none.
    judged_at: datetime | None
    #: Why this may not be of now.
    problem: str | None


#: A rule as a file of rules has it (see docs/alerts.md); which keys it takes beside name and on depends on `on`.
RuleTable = TypedDict(
    "RuleTable",
    {
        "name": Required[str],
        "on": Required[str],
        "severity": str,
        "for": str | float,
        "keep_firing_for": str | float,
        "repeat": str | float,
        "to": list[str],
        "text": str,
        "search": str,
        "over": str | int | float,
        "under": int,
        "within": str | float,
        "at_least": int,
        "percentile": float,
        "of": str,
        "per": str,
        "task": str,
        "queue": str,
        "worker": str,
        "entry": str,
    },
    total=False,
)


class Problem(Struct, frozen=True):
    """What went wrong, as the API says it."""

    message: str
    position: int | None = None


class ProblemBody(Struct, frozen=True):
    """The body of every answer that is no success."""

    error: Problem


class BulkLine(Struct, frozen=True):
    """A line of the answer to many runs: an outcome, the error that ended them, or the sums at the end."""

    task_id: str = ""
    outcome: str = ""
    new_id: str = ""
    text: str = ""
    error: str = ""
    outcomes: dict[str, int] = field(default_factory=dict)
    seconds: float | None = None
