"""Every metric that Umbel exposes, declared once, and the numbers that they are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from umbel.model.event import EventClass
from umbel.model.ledger import Reason
from umbel.model.meter import Meters

RECEIVED: Final = "umbel_events_received_total"
STORED: Final = "umbel_events_stored_total"
DISCARDED: Final = "umbel_events_discarded_total"
MISSED: Final = "umbel_events_missed_estimate_total"
LAG: Final = "umbel_ingest_lag_seconds"
SPOOL: Final = "umbel_spool_bytes"
SPOOL_LIMIT: Final = "umbel_spool_limit_bytes"
CONNECTED: Final = "umbel_broker_connected"
RECONNECTS: Final = "umbel_reconnects_total"
COMMIT: Final = "umbel_store_commit_seconds"
BROKER_BUFFER: Final = "umbel_broker_buffer_bytes"
READ_AHEAD: Final = "umbel_read_ahead_bytes"
IN_FLIGHT: Final = "umbel_events_in_flight"
BATCH_LIMIT: Final = "umbel_batch_limit_messages"
REDACTED: Final = "umbel_redacted_values_total"
IN_HAND: Final = "umbel_batch_in_hand_events"
COMMIT_EVENTS: Final = "umbel_store_commit_events"
STORE_BYTES: Final = "umbel_store_bytes"
QUARANTINE: Final = "umbel_quarantine_events"
LISTENERS: Final = "umbel_live_browsers"
TRACED: Final = "umbel_traced_tasks_total"
UNTRACED: Final = "umbel_untraced_tasks_total"
TRACE_QUEUE: Final = "umbel_trace_queue_bytes"
SPANS_DROPPED: Final = "umbel_own_spans_dropped_total"
HINTS_REPLACED: Final = "umbel_live_hints_replaced_total"
# Flower's names for what it tells of workers.
WORKER_ONLINE: Final = "flower_worker_online"
WORKER_RUNNING: Final = "flower_worker_number_of_currently_executing_tasks"
TASK_EVENTS: Final = "flower_events_total"
TASK_RUNTIME: Final = "flower_task_runtime_seconds"
TASK_PREFETCH: Final = "flower_task_prefetch_time_seconds"
WORKER_PREFETCHED: Final = "flower_worker_prefetched_tasks"
TASK_WAIT: Final = "umbel_task_wait_seconds"
TASK_FAILURES: Final = "umbel_task_failures_total"
QUEUE_READY: Final = "umbel_queue_messages_ready"
QUEUE_UNACKED: Final = "umbel_queue_messages_unacked"
QUEUE_CONSUMERS: Final = "umbel_queue_consumers"
CONCURRENCY: Final = "umbel_worker_concurrency"
ALERTS_FIRING: Final = "umbel_alerts_firing"
NOTICES_SENT: Final = "umbel_alert_notifications_sent_total"
NOTICES_FAILED: Final = "umbel_alert_notifications_failed_total"

#: As `HELP`, of what tasks, queues and pools tell.
TASKS_HELP: Final[Mapping[str, tuple[str, str]]] = {
    TASK_EVENTS: ("counter", "Events of tasks by type; `worker` is empty for those that publishers send."),
    TASK_RUNTIME: ("histogram", "Run time of tasks that succeeded, seconds."),
    TASK_PREFETCH: ("gauge", "Seconds that the latest task started waited in its worker; 0 once one has ended."),
    WORKER_PREFETCHED: ("gauge", "Tasks that an online worker has taken and not started."),
    TASK_WAIT: ("histogram", "Seconds from when a task could have run to its start, by the queue that it was sent to."),
    TASK_FAILURES: ("counter", "Tasks that failed, by class of exception."),
    QUEUE_READY: ("gauge", "Messages that wait in a queue."),
    QUEUE_UNACKED: ("gauge", "Messages of a queue that workers hold unacknowledged."),
    QUEUE_CONSUMERS: ("gauge", "Workers that consume from a queue."),
    CONCURRENCY: ("gauge", "Processes or threads of a worker's pool."),
    ALERTS_FIRING: ("gauge", "Things for which a rule fires, silenced or not."),
    NOTICES_SENT: ("counter", "Notifications that a destination took."),
    NOTICES_FAILED: ("counter", "Notifications that were given up."),
}
#: Metric, its kind in Prometheus' terms, and what it tells.
HELP: Final[Mapping[str, tuple[str, str]]] = {
    RECEIVED: ("counter", "Events captured from the broker."),
    STORED: ("counter", "Events joined into the store."),
    DISCARDED: ("counter", "Events captured and not stored, by reason and class of event; see the ledger."),
    MISSED: ("counter", "Estimate of events lost before capture, by worker."),
    LAG: ("gauge", "Age of the oldest captured event that is not yet stored, seconds."),
    SPOOL: ("gauge", "Bytes of captured events waiting on disk."),
    SPOOL_LIMIT: ("gauge", "Bytes the spool may take."),
    CONNECTED: ("gauge", "1 while the broker delivers, else 0."),
    RECONNECTS: ("counter", "Connections to the broker made after the first."),
    COMMIT: ("gauge", "Duration of the latest commit, seconds."),
    BROKER_BUFFER: ("gauge", "Bytes that Redis holds for Umbel because they were not read yet."),
    READ_AHEAD: ("gauge", "Bytes read from Redis and not yet in the spool."),
    IN_FLIGHT: ("gauge", "Events captured and neither stored nor discarded yet."),
    REDACTED: ("counter", "Secrets hidden before they were stored, since the collector began."),
    BATCH_LIMIT: ("gauge", "Messages that the next batch may have, as sized by how long commits take."),
    IN_HAND: ("gauge", "Events decoded and not yet committed."),
    COMMIT_EVENTS: ("gauge", "Events in the latest commit."),
    STORE_BYTES: ("gauge", "Bytes that the store takes."),
    QUARANTINE: (
        "gauge",
        "Events kept in the quarantine, which is bounded; the discarded count all.",
    ),
    LISTENERS: ("gauge", "Browsers that are told when something changes."),
    HINTS_REPLACED: ("counter", "Hints to browsers replaced by a newer one before they were taken."),
    TRACED: ("counter", "Tasks sent as traces, since umbel trace began."),
    UNTRACED: ("counter", "Ended tasks not traced: the queue was full, the receiver refused, the store knew nothing."),
    TRACE_QUEUE: ("gauge", "Bytes of ids of ended tasks that wait for umbel trace."),
    SPANS_DROPPED: ("counter", "Spans of Umbel's own work that were not delivered, since its processes began."),
    WORKER_ONLINE: ("gauge", "1 while the worker gives signs of life; `other`: how many more do."),
    WORKER_RUNNING: ("gauge", "Tasks that the worker says it is running."),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of tasks, queues and pools."""

    meters: Meters = field(default_factory=Meters)
    #: Tasks taken and not started, by (task, worker).
    prefetched: Mapping[tuple[str, str], int] = field(default_factory=dict)
    #: Queue; messages ready and unacknowledged, consumers; None where nobody tells.
    queues: Sequence[tuple[str, int | None, int | None, int | None]] = ()
    #: Pool size by worker.
    concurrency: Mapping[str, int] = field(default_factory=dict)
    #: By rule and severity, how much fires; and by destination, what was sent and what was given up.
    firing: Mapping[tuple[str, str], int] = field(default_factory=dict)
    notices: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    #: Upper bounds of the buckets of histograms, seconds, ascending.
    buckets: Sequence[float] = (0.1, 1.0, 10.0)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the metrics page tells at one moment."""

    received: int
    stored: int
    discarded: Mapping[tuple[Reason, EventClass], int]
    missed_estimate: Mapping[str, int]
    lag_seconds: float
    spool_bytes: int
    spool_limit: int
    connected: bool
    reconnects: int
    commit_seconds: float
    #: Sizes of what waits and of what is under way, by the name of the metric; those not told are left out.
    sizes: Mapping[str, float] = field(default_factory=dict)
    #: Worker name, online, running tasks.
    workers: Sequence[tuple[str, bool, int]] = field(default_factory=tuple)
    measured: Measured = field(default_factory=Measured)
