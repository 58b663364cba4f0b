"""A few tasks as Celery's workers tell of them."""

from __future__ import annotations

from umbel.model.event import (
    AnyEvent,
    TaskFailed,
    TaskReceived,
    TaskRetried,
    TaskSent,
    TaskStarted,
    TaskSucceeded,
    WorkerHeartbeat,
    WorkerOnline,
)

T = 1_750_000_000.0
WORKER = "w1@shop"


def sent(id_: str, at: float = T, *, name: str = "shop.pay", queue: str = "mail") -> AnyEvent:
    return TaskSent(
        hostname="gen1@web", timestamp=at, pid=1, uuid=id_, name=name, args="(42,)", kwargs="{}", queue=queue
    )


def received(id_: str, at: float = T + 0.5, *, name: str = "shop.pay", retries: int = 0) -> AnyEvent:
    return TaskReceived(
        hostname=WORKER,
        timestamp=at,
        pid=7,
        uuid=id_,
        name=name,
        args="(42,)",
        kwargs="{'to': 'ann'}",
        retries=retries,
        root_id="root-1",
        parent_id="parent-1",
        eta="2026-11-23T10:00:00+01:00",
    )


def started(id_: str, at: float = T + 1) -> AnyEvent:
    return TaskStarted(hostname=WORKER, timestamp=at, pid=7, uuid=id_)


def succeeded(id_: str, at: float = T + 3) -> AnyEvent:
    return TaskSucceeded(hostname=WORKER, timestamp=at, pid=7, uuid=id_, result="'done'", runtime=1.75)


def failed(id_: str, at: float = T + 3) -> AnyEvent:
    return TaskFailed(
        hostname=WORKER, timestamp=at, pid=7, uuid=id_, exception="ValueError('no')", traceback="Traceback: no"
    )


def retried(id_: str, at: float = T + 3) -> AnyEvent:
    return TaskRetried(hostname=WORKER, timestamp=at, pid=7, uuid=id_, exception="Timeout('gw')", traceback="Trace")


def success(id_: str) -> list[AnyEvent]:
    return [sent(id_), received(id_), started(id_), succeeded(id_)]


def failure(id_: str) -> list[AnyEvent]:
    return [sent(id_), received(id_), started(id_), failed(id_)]


def retry_then_failure(id_: str) -> list[AnyEvent]:
    first = [sent(id_), received(id_), started(id_), retried(id_)]
    return [*first, received(id_, T + 10, retries=1), started(id_, T + 11), failed(id_, T + 12)]


def online(hostname: str = WORKER, at: float = T, pid: int = 7) -> AnyEvent:
    return WorkerOnline(
        hostname=hostname,
        timestamp=at,
        pid=pid,
        freq=2.0,
        active=0,
        processed=0,
        loadavg=(0.1, 0.2, 0.3),
        sw_ident="py-celery",
        sw_ver="5.7.0",
        sw_sys="Linux",
    )


def heartbeat(hostname: str = WORKER, at: float = T + 2, pid: int = 7, active: int = 3) -> AnyEvent:
    return WorkerHeartbeat(
        hostname=hostname, timestamp=at, pid=pid, freq=2.0, active=active, processed=10, loadavg=(1.0, 0.5, 0.25)
    )
