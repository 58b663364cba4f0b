"""A task as Flower tells it: its keys in its order, times as epoch seconds, texts as Celery sent them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from umbel.model.merge import Register, Task
from umbel.model.task import Summary, summarize


def task(record: Task, children: Sequence[str] = ()) -> dict[str, Any]:
    """Every key, `worker` where Flower has it in the middle; what was not seen is null."""
    seen = summarize(record)
    described, sent = record.description, record.sent
    succeeded, raised = record.succeeded, record.failed or record.retried
    return {
        "uuid": record.id,
        "name": seen.name or None,
        "state": seen.state.value,
        "received": _at(record.received),
        "sent": _at(sent),
        "started": _at(record.started),
        "rejected": _at(record.rejected),
        "succeeded": _at(succeeded),
        "failed": _at(record.failed),
        "retried": _at(record.retried),
        "revoked": _at(record.revoked),
        "args": described.args if described else None,
        "kwargs": described.kwargs if described else None,
        "eta": (described and described.eta) or None,
        "expires": (described and described.expires) or None,
        "retries": seen.retries if described else None,
        "worker": seen.worker or None,
        "result": succeeded.result if succeeded else None,
        "exception": (raised and raised.exception) or None,
        "timestamp": seen.updated_at,
        "runtime": succeeded.runtime if succeeded and succeeded.runtime >= 0 else None,
        "traceback": (raised and raised.traceback) or None,
        "exchange": sent.exchange if sent else None,
        "routing_key": sent.routing_key if sent else None,
        # Celery's Lamport clock is kept for workers, not for tasks.
        "clock": 0,
        "client": (sent and sent.client) or None,
        "root": seen.root_id or None,
        "root_id": seen.root_id or None,
        "parent": seen.parent_id or None,
        "parent_id": seen.parent_id or None,
        "children": list(children),
    }


def listed(record: Task) -> dict[str, Any]:
    """The same as a list of tasks has it: the worker at the end, or not at all."""
    found = task(record)
    worker = found.pop("worker")
    return found if worker is None else {**found, "worker": worker}


def of(summaries: Sequence[Summary], records: Mapping[str, Task]) -> list[dict[str, Any]]:
    """Those of the summaries whose record is still there."""
    return [listed(records[summary.id]) for summary in summaries if summary.id in records]


def _at(register: Register | None) -> float | None:
    return register.at if register is not None else None
