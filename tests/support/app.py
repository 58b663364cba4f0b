"""The Celery app that test workers run unless a test brings its own; the command line names broker and backend."""

from __future__ import annotations

import time
from typing import Any

from celery import Celery

app = Celery("tests.support.app")
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_send_sent_event=True,
    worker_hijack_root_logger=False,
)


def client(broker: str, backend: str | None = None, **settings: Any) -> Celery:
    """The same app with a broker and a result backend: what a producer uses. Close it."""
    made = Celery("tests.support.app", broker=broker, backend=backend, set_as_current=False)
    made.conf.update(task_send_sent_event=True, **settings)
    return made


@app.task(name="support.add")
def add(x: int, y: int) -> int:
    """The sum."""
    return x + y


@app.task(name="support.sleep")
def sleep(seconds: float) -> float:
    """Takes its time."""
    time.sleep(seconds)
    return seconds


@app.task(name="support.fail")
def fail(message: str = "no luck") -> None:
    """Always fails."""
    raise ValueError(message)


@app.task(name="support.flaky", bind=True, max_retries=None)
def flaky(self: Any, retries: int, countdown: float = 0.0) -> int:
    """Retries `retries` times, then gives the number of retries."""
    if self.request.retries < retries:
        raise self.retry(countdown=countdown, exc=RuntimeError(f"attempt {self.request.retries + 1}"))
    return int(self.request.retries)
