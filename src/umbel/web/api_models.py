"""The shapes of the API's answers, as OpenAPI describes them and as they are sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

#: RFC 3339, UTC, microseconds: `2026-11-23T00:41:07.250000Z`.
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Seconds = Annotated[float, Field(description="Seconds.")]


@dataclass(frozen=True, slots=True)
class AttemptOut:
    """One run of a task by one worker process."""

    worker: str
    pid: int
    state: Annotated[str, Field(description="RECEIVED, STARTED, RETRY, REJECTED, SUCCESS, FAILURE or REVOKED.")]
    received_at: Time | None
    started_at: Time | None
    finished_at: Time | None
    retries: Annotated[int | None, Field(description="The count of retries that its message carried.")]
    exception: str | None
    traceback: str | None


@dataclass(frozen=True, slots=True)
class TaskOut:
    """A task; texts are as Celery sent them (`repr`), cut at a bound with the cut marked."""

    id: str
    name: str | None
    state: Annotated[
        str, Field(description="PENDING, RECEIVED, STARTED, RETRY, REJECTED, SUCCESS, FAILURE or REVOKED.")
    ]
    worker: str | None
    queue: str | None
    args: str | None
    kwargs: str | None
    result: str | None
    exception: str | None
    traceback: str | None
    sent_at: Time | None
    received_at: Annotated[Time | None, Field(description="When a worker first received it.")]
    started_at: Annotated[Time | None, Field(description="When its latest run started.")]
    finished_at: Annotated[Time | None, Field(description="When it ended; null while it has not.")]
    wait_seconds: Annotated[
        float | None, Field(description="From when it could have run to its latest start; an ETA is not waited for.")
    ]
    run_seconds: Seconds | None
    retries: int
    attempts: list[AttemptOut]
    root_id: str | None
    parent_id: str | None
    eta: Time | None
    expires: Time | None
    end_learned: Annotated[
        bool, Field(description="No event told of its end: the result backend did, when it was asked.")
    ]


@dataclass(frozen=True, slots=True)
class TasksOut:
    """A page of tasks, newest first."""

    items: list[TaskOut]
    next: Annotated[str | None, Field(description="`cursor` of the next page; null at the end.")]


@dataclass(frozen=True, slots=True)
class CountOut:
    """How many tasks match."""

    count: int
    capped: Annotated[bool, Field(description="There are more than `count`.")]


@dataclass(frozen=True, slots=True)
class SoftwareOut:
    """What a worker runs on."""

    ident: str
    version: str
    system: str


@dataclass(frozen=True, slots=True)
class WorkerOut:
    """A worker process; its counters restart with it."""

    hostname: str
    pid: int
    online: bool
    active: Annotated[int | None, Field(description="Tasks running, by its latest heartbeat; null where unknown.")]
    processed: Annotated[int | None, Field(description="Tasks started since the process began.")]
    loadavg: list[float]
    sends_task_events: bool
    online_at: Time | None
    offline_at: Time | None
    heartbeat_at: Annotated[Time | None, Field(description="The latest heartbeat, by the worker's own clock.")]
    first_seen_at: Annotated[Time | None, Field(description="By Umbel's clock, as is `seen_at`.")]
    seen_at: Time | None
    software: SoftwareOut | None


@dataclass(frozen=True, slots=True)
class WorkersOut:
    """Worker processes, the most recently seen first."""

    items: list[WorkerOut]


@dataclass(frozen=True, slots=True)
class PriorityOut:
    """Ready messages of one priority step."""

    priority: int
    ready: int


@dataclass(frozen=True, slots=True)
class QueueOut:
    """A queue of the broker; null where the broker does not tell."""

    name: str
    ready: Annotated[int | None, Field(description="Messages that wait for a worker.")]
    unacked: Annotated[int | None, Field(description="Messages that a worker holds.")]
    consumers: int | None
    priorities: list[PriorityOut]


@dataclass(frozen=True, slots=True)
class QueuesOut:
    """Queues by name."""

    items: list[QueueOut]


@dataclass(frozen=True, slots=True)
class SpoolOut:
    """Captured events waiting on disk; both 0 where the broker holds them."""

    bytes: int
    limit: int


@dataclass(frozen=True, slots=True)
class IngestOut:
    """The books, in events: `received = stored + sum(discarded) + in_flight`."""

    received: int
    stored: int
    in_flight: int
    discarded: Annotated[dict[str, int], Field(description="By reason; the ledger has the spans.")]
    missed_estimate: Annotated[int, Field(description="Lost before capture, estimated; not part of `received`.")]
    lag_seconds: Seconds
    rate: Annotated[float | None, Field(description="Events stored a second over the last half minute.")]
    connected: Annotated[bool | None, Field(description="Whether the broker delivers; null where unknown.")]
    spool: SpoolOut


@dataclass(frozen=True, slots=True)
class LedgerOut:
    """One kind of loss in one span of time."""

    reason: str
    event_class: str
    first_at: Time | None
    last_at: Time | None
    count: int
    estimated: Annotated[bool, Field(description="Lost before capture; not part of `received`.")]
    worker: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class LedgersOut:
    """Entries of the ledger, the newest first."""

    items: list[LedgerOut]


@dataclass(frozen=True, slots=True)
class QuarantinedOut:
    """An event that could not be understood, with the bytes that came (cut at a bound)."""

    at: Time | None
    reason: str
    error: str
    content_type: str
    text: Annotated[str, Field(description="The bytes as UTF-8, others as backslash escapes.")]
    raw_base64: str


@dataclass(frozen=True, slots=True)
class QuarantineOut:
    """Events in quarantine, the newest first."""

    items: list[QuarantinedOut]


@dataclass(frozen=True, slots=True)
class ErrorOut:
    """What went wrong."""

    message: str
    position: Annotated[int | None, Field(description="Offset into `q`, from 0; absent where it means nothing.")] = None


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """The body of every answer that is no success."""

    error: ErrorOut


@dataclass(frozen=True, slots=True)
class ScheduleOut:
    """An entry of beat and how it was kept."""

    name: str
    task: str
    source: Annotated[str, Field(description="app or RedBeat.")]
    schedule: Annotated[str, Field(description="`every 30 s`, or the fields of a crontab.")]
    enabled: bool
    state: Annotated[str, Field(description="missed, late, unseen, on time or unknown.")]
    last_run_at: Annotated[Time | None, Field(description="The newest run that was seen, whoever sent it.")]
    last_task_id: str | None
    next_run_at: Time | None
    late_seconds: float | None
    missed: Annotated[list[Time], Field(description="When it was due and did not run, as far as can be judged.")]
    judged: Annotated[int, Field(description="Due times, or gaps between runs, that could be judged.")]


@dataclass(frozen=True, slots=True)
class SchedulesOut:
    """All entries that could be read."""

    items: list[ScheduleOut]
    sources: list[str]
    problems: list[str]


@dataclass(frozen=True, slots=True)
class ErrorStateOut:
    """A kind of failure after what was done to it."""

    key: Annotated[str, Field(description="Its fingerprint.")]
    state: Annotated[str, Field(description="open or resolved.")]


@dataclass(frozen=True, slots=True)
class DeployOut:
    """A deploy."""

    at: Time | None
    version: str
    service: str | None
    text: str | None


@dataclass(frozen=True, slots=True)
class DeploysOut:
    """Deploys, the newest first."""

    items: list[DeployOut]


@dataclass(frozen=True, slots=True)
class AlertOut:
    """Something that a rule holds for."""

    rule: str
    severity: Annotated[str, Field(description="info, warning or critical.")]
    subject: Annotated[str | None, Field(description="The task name, worker, queue, … that it is about.")]
    state: Annotated[str, Field(description="pending or firing.")]
    detail: str
    since: Time | None
    fired_at: Annotated[Time | None, Field(description="null while it is pending.")]
    told_at: Annotated[Time | None, Field(description="When somebody was last told; null: nobody was.")]
    silenced: bool
    query: Annotated[str | None, Field(description="The search that shows it.")]


@dataclass(frozen=True, slots=True)
class AlertRuleOut:
    """A rule and what it measured in the latest round."""

    name: str
    on: str
    severity: str
    holds_where: Annotated[str, Field(description="What it watches, in words.")]
    measured: str | None
    problem: Annotated[str | None, Field(description="Why it could not be judged.")]
    destinations: list[str]
    made_by: Annotated[str | None, Field(description="Who made it on the page; null: it stands in the configuration.")]
    made_at: Annotated[Time | None, Field(description="When it was last changed there.")]


@dataclass(frozen=True, slots=True)
class AlertRuleNameOut:
    """The rule that was deleted."""

    name: str


@dataclass(frozen=True, slots=True)
class AlertTrialOut:
    """What a rule found when it was tried, and what it would have done."""

    holds_where: Annotated[str, Field(description="What it watches, in words.")]
    measured: str | None
    problem: Annotated[str | None, Field(description="Why it could not be judged.")]
    found: Annotated[dict[str, str], Field(description="What it holds for, by name, and why; 100 at most.")]
    destinations: list[str]
    would_have_fired: Annotated[int | None, Field(description="How often; null: no history is kept of this.")]
    looked_since: Annotated[Time | None, Field(description="How far back that was looked at: a day at most.")]


@dataclass(frozen=True, slots=True)
class SilenceOut:
    """What is kept quiet; `*` stands for any run of characters."""

    id: str
    rule: str
    subject: str
    reason: str
    who: str | None
    until: Time | None


@dataclass(frozen=True, slots=True)
class AlertsOut:
    """Everything about alerts."""

    items: list[AlertOut]
    rules: list[AlertRuleOut]
    silences: list[SilenceOut]
    judged_at: Annotated[Time | None, Field(description="The latest round; null where there was none.")]
    problem: Annotated[str | None, Field(description="Why this may not be of now.")]


@dataclass(frozen=True, slots=True)
class WorkflowTaskOut:
    """A task of a workflow and how it hangs in it."""

    id: str
    name: str | None
    state: str
    link: Annotated[
        str,
        Field(
            description="root; called (first seen while its parent ran); after (first seen after its parent's run: a "
            "chain's next step or a chord's body); child (when it was sent is not known); adrift (its parent is not "
            "known: a retry's events name the task itself)."
        ),
    ]
    parent_id: Annotated[str | None, Field(description="The task of this workflow that it hangs below.")]
    group_id: Annotated[str | None, Field(description="As a result tells; events never do.")]
    joins_group_id: Annotated[str | None, Field(description="It is a chord's body: the group that it joins.")]
    critical: Annotated[bool, Field(description="It lies on the critical path.")]
    worker: str | None
    sent_at: Time | None
    received_at: Time | None
    started_at: Time | None
    finished_at: Time | None
    wait_seconds: float | None
    run_seconds: float | None


@dataclass(frozen=True, slots=True)
class StepOut:
    """A task of the critical path with the time that it alone cost."""

    id: str
    idle_seconds: Annotated[float, Field(description="From the step before to its being sent.")]
    wait_seconds: Annotated[float, Field(description="From being sent to its start.")]
    run_seconds: Annotated[float, Field(description="From its start to the next step, or to its own end.")]


@dataclass(frozen=True, slots=True)
class WorkflowOut:
    """The tasks that share a root."""

    root_id: str
    started_at: Time | None
    ended_at: Annotated[Time | None, Field(description="null while a task of it has not ended.")]
    count: Annotated[int, Field(description="Tasks found, 10,000 at most.")]
    complete: Annotated[bool, Field(description="false where there may be more tasks than were found.")]
    items: list[WorkflowTaskOut]
    critical_path: list[StepOut]
    result_backend: Annotated[bool, Field(description="Whether there is a result backend to ask.")]
    results_read: int
    results_wanted: int
    problem: Annotated[str | None, Field(description="Why the result backend could not be asked.")]


@dataclass(frozen=True, slots=True)
class PercentilesOut:
    """Seconds; null where nothing was measured."""

    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class NameOut:
    """One task name within the span."""

    name: str
    ended: Annotated[int, Field(description="Tasks that succeeded, failed or were revoked.")]
    rate: Annotated[float, Field(description="Ended tasks a second.")]
    failed: int
    retried: int
    failure_share: Annotated[float | None, Field(description="Failed of succeeded and failed, 0 to 1.")]
    wait: PercentilesOut
    run: PercentilesOut


@dataclass(frozen=True, slots=True)
class NamesOut:
    """Task names that ran in the span, in the order asked for."""

    items: list[NameOut]
    more: Annotated[bool, Field(description="There are more than `limit`.")]


@dataclass(frozen=True, slots=True)
class ErrorKindOut:
    """Failures of one kind: the same class, place and message, as far as it does not vary."""

    key: Annotated[str, Field(description="Its fingerprint, which stays the same.")]
    type: str
    message: Annotated[str, Field(description="With `<n>`, `<id>`, `<time>` and `<address>` for what varies.")]
    place: Annotated[str, Field(description="File and function that raised it.")]
    state: Annotated[str, Field(description="open, resolved, or regressed: resolved, and failed again since.")]
    new: Annotated[bool, Field(description="It was first seen in the last part of the span.")]
    count: Annotated[int, Field(description="Failures in the span.")]
    estimated: Annotated[bool, Field(description="`count` is a share of failures of which not each was looked at.")]
    names: Annotated[dict[str, int], Field(description="Failures by task name.")]
    first_at: Time | None
    last_at: Time | None
    latest_id: Annotated[str | None, Field(description="The newest task that failed so.")]
    resolved_at: Time | None
    resolved_by: str | None
    search: Annotated[str | None, Field(description="The search that lists such failures.")]


@dataclass(frozen=True, slots=True)
class ErrorsOut:
    """Failures by kind: back again first, then new, then by how often they failed."""

    items: list[ErrorKindOut]
    failed: Annotated[int, Field(description="Failures in the span, by the rollups.")]
    looked_at: Annotated[int, Field(description="How many of them were looked at one by one.")]
    complete: Annotated[bool, Field(description="false where `items` lacks kinds of failure of the span.")]


@dataclass(frozen=True, slots=True)
class ChangeOut:
    """One thing that is different from the day before."""

    kind: Annotated[str, Field(description="new, slower, failing or gone.")]
    subject: str
    detail: str
    search: Annotated[str | None, Field(description="The search that shows it.")]


@dataclass(frozen=True, slots=True)
class ChangesOut:
    """What is different, the weightiest first."""

    items: list[ChangeOut]
    compared: Annotated[bool, Field(description="false where there is no day before to compare with yet.")]


@dataclass(frozen=True, slots=True)
class CheckOut:
    """One thing that was looked at."""

    status: Annotated[str, Field(description="ok, degraded or down.")]
    detail: str


@dataclass(frozen=True, slots=True)
class ReadinessOut:
    """Every check by its name, and the worst of them."""

    status: Annotated[str, Field(description="ok, degraded or down.")]
    checks: dict[str, CheckOut]
