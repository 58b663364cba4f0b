"""From the model's records to the API's shapes."""

from __future__ import annotations

import base64

from umbel.brokers.base import QueueDepth
from umbel.model.learned import learned
from umbel.model.ledger import LedgerEntry, Quarantined
from umbel.model.merge import Task
from umbel.model.task import Attempt, State, Summary, attempts, epoch, rfc3339
from umbel.model.worker import Worker
from umbel.web.api_models import (
    AttemptOut,
    IngestOut,
    LedgerOut,
    PriorityOut,
    QuarantinedOut,
    QueueOut,
    SoftwareOut,
    SpoolOut,
    TaskOut,
    WorkerOut,
)
from umbel.web.pipeline import Pipeline


def task(summary: Summary, record: Task | None) -> TaskOut:
    """A task; without its record (dropped meanwhile) the texts are absent."""
    record = record or Task(summary.id)
    described = record.description
    return TaskOut(
        id=summary.id,
        name=summary.name or None,
        state=summary.state.value,
        worker=summary.worker or None,
        queue=summary.queue or None,
        args=(described and described.args) or None,
        kwargs=(described and described.kwargs) or None,
        result=_result(summary, record),
        exception=summary.exception or None,
        traceback=_traceback(summary, record),
        sent_at=rfc3339(summary.sent_at),
        received_at=rfc3339(summary.received_at),
        started_at=rfc3339(summary.started_at),
        finished_at=rfc3339(summary.finished_at),
        wait_seconds=summary.wait_seconds,
        run_seconds=summary.run_seconds,
        retries=summary.retries,
        attempts=[_attempt(item) for item in attempts(record)],
        root_id=summary.root_id or None,
        parent_id=summary.parent_id or None,
        eta=rfc3339(epoch(described.eta)) if described else None,
        expires=rfc3339(epoch(described.expires)) if described else None,
        end_learned=learned(record),
    )


def _result(summary: Summary, record: Task) -> str | None:
    if summary.state is not State.SUCCESS or record.succeeded is None:
        return None
    return record.succeeded.result or None


def _traceback(summary: Summary, record: Task) -> str | None:
    run = {State.FAILURE: record.failed, State.RETRY: record.retried}.get(summary.state)
    return (run and run.traceback) or None


def _attempt(item: Attempt) -> AttemptOut:
    return AttemptOut(
        worker=item.worker,
        pid=item.pid,
        state=item.state.value,
        received_at=rfc3339(item.received_at),
        started_at=rfc3339(item.started_at),
        finished_at=rfc3339(item.finished_at),
        retries=item.retries,
        exception=item.exception or None,
        traceback=item.traceback or None,
    )


def worker(found: Worker, now: float) -> WorkerOut:
    """A worker process as it is at `now`, UTC seconds."""
    beat, software, online = found.heartbeat, found.software, found.online(now)
    active = beat.active if beat else None
    return WorkerOut(
        hostname=found.hostname,
        pid=found.pid,
        online=online,
        active=active if online else 0,
        processed=beat.processed if beat else None,
        loadavg=list(beat.loadavg) if beat else [],
        sends_task_events=bool(found.task_seen_at),
        online_at=rfc3339(found.online_at or None),
        offline_at=rfc3339(found.offline_at or None),
        heartbeat_at=rfc3339(beat.at if beat else None),
        first_seen_at=rfc3339(found.first_seen_at),
        seen_at=rfc3339(found.seen_at or None),
        software=SoftwareOut(software.ident, software.version, software.system) if software else None,
    )


def queue(depth: QueueDepth) -> QueueOut:
    """A queue's depth."""
    steps = [PriorityOut(priority, ready) for priority, ready in depth.by_priority]
    return QueueOut(depth.name, depth.ready, depth.unacked, depth.consumers, steps)


def ingest(pipeline: Pipeline) -> IngestOut:
    """The books and the flow."""
    return IngestOut(
        received=pipeline.received,
        stored=pipeline.stored,
        in_flight=pipeline.in_flight,
        discarded=pipeline.discarded_by_reason,
        missed_estimate=pipeline.missed_total,
        lag_seconds=pipeline.lag_seconds,
        rate=pipeline.rate,
        connected=pipeline.connected,
        spool=SpoolOut(pipeline.spool_bytes, pipeline.spool_limit),
    )


def ledger(entry: LedgerEntry) -> LedgerOut:
    """An entry of the ledger."""
    return LedgerOut(
        reason=entry.reason.value,
        event_class=entry.event_class.value,
        first_at=rfc3339(entry.first_at),
        last_at=rfc3339(entry.last_at),
        count=entry.count,
        estimated=entry.estimated,
        worker=entry.worker or None,
        detail=entry.detail or None,
    )


def quarantined(item: Quarantined) -> QuarantinedOut:
    """An event in quarantine."""
    return QuarantinedOut(
        at=rfc3339(item.at),
        reason=item.reason.value,
        error=item.error,
        content_type=item.content_type,
        text=item.raw.decode("utf-8", "backslashreplace"),
        raw_base64=base64.b64encode(item.raw).decode(),
    )
