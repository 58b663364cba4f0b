"""Tasks that tell exactly what they were given, for tests of running them again."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from celery import Celery

app = Celery("tests.control.again_app")
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_send_sent_event=True,
    worker_send_task_events=True,
    result_extended=True,
    worker_hijack_root_logger=False,
)


def client(broker: str, backend: str) -> Celery:
    """The same app with a broker and a result backend: what a producer uses. Close it."""
    made = Celery("tests.control.again_app", broker=broker, backend=backend, set_as_current=False)
    made.conf.update(task_send_sent_event=True, result_extended=True)
    return made


def told(*args: Any, **kwargs: Any) -> str:
    """Everything that was given, with its types."""
    return repr((list(args), sorted(kwargs.items())))


@app.task(name="again.echo", bind=True)
def echo(self: Any, *args: Any, **kwargs: Any) -> list[Any]:
    """What it was given, and the limits and headers that it came with."""
    headers = dict(self.request.headers or {})
    return [told(*args, **kwargs), list(self.request.timelimit or ()), headers.get("umbel_run_again_of", "")]


@app.task(name="again.keywords")
def keywords(*, name: str, when: datetime) -> str:
    """Takes keyword arguments alone."""
    return told(name=name, when=when)


@app.task(name="again.part", bind=True)
def part(self: Any, number: int) -> int:
    """A part of a chord."""
    return number * 10


@app.task(name="again.whole")
def whole(numbers: list[int]) -> int:
    """What follows the parts."""
    app.backend.client.incr("again-whole")
    return sum(numbers)


@app.task(name="again.sleep")
def sleep(seconds: float, word: str) -> str:
    """Takes its time."""
    time.sleep(seconds)
    return word
