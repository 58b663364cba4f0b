"""The shop's Celery application and its settings. Broker and result backend come from the environment.

`UMBEL_DEMO_BROKER` and `UMBEL_DEMO_RESULTS` are URLs; without the latter results are not kept, and whoever sends tasks
does not wait for them. `UMBEL_DEMO_SEED` seeds every made-up accident, so that the same orders meet the same fate.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from random import Random
from typing import Any

from celery import Celery
from celery.schedules import crontab
from celery.signals import worker_process_init, worker_shutting_down

#: The worker's main process: its pool is forked after this module is imported.
MAIN = os.getpid()
SEED = os.environ.get("UMBEL_DEMO_SEED", "7")

app = Celery(
    "shop",
    broker=os.environ.get("UMBEL_DEMO_BROKER", "redis://127.0.0.1:6379/0"),
    backend=os.environ.get("UMBEL_DEMO_RESULTS", "disabled://"),
    set_as_current=False,
)
app.conf.update(
    task_default_queue="default",
    task_routes={
        "shop.mail.*": {"queue": "mail"},
        "shop.images.*": {"queue": "images"},
        "shop.reports.*": {"queue": "reports"},
        "shop.search.index_chunk": {"queue": "reports"},
    },
    task_send_sent_event=True,
    task_track_started=True,
    result_extended=True,
    result_expires=600,
    # What waits shows as the length of a queue, not hidden in a worker.
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    worker_cancel_long_running_tasks_on_connection_loss=True,
    beat_schedule={
        "count visitors": {"task": "shop.reports.count_visitors", "schedule": 15.0},
        "feed the marketplaces": {"task": "shop.search.feed_marketplaces", "schedule": 20.0},
        "close the till": {"task": "shop.reports.close_till", "schedule": crontab()},
        "yearly stocktaking": {
            "task": "shop.stock.count",
            "schedule": crontab(minute="30", hour="3", day_of_month="1", month_of_year="1"),
            "args": ("Łódź",),
        },
    },
)

_closing = threading.Event()


class Interrupted(Exception):
    """The worker is shutting down and does not wait for the task to end."""


def _close(**_: Any) -> None:
    _closing.set()


def _leave_with_main(**_: Any) -> None:
    """Celery has pool processes killed with their parent, but one that was being forked just then would miss it."""
    if os.getppid() != MAIN:
        os._exit(1)


worker_shutting_down.connect(_close)
worker_process_init.connect(_leave_with_main)


def task(name: str, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Register a task of the shop under `name`; `options` are those of Celery's own decorator, which has no types."""
    decorator: Callable[[Callable[..., Any]], Any] = app.task(name=name, **options)
    return decorator


def work(seconds: float) -> None:
    """Be busy for so long; `Interrupted` when the worker shuts down meanwhile (pools of threads cannot be killed)."""
    if _closing.wait(seconds):
        raise Interrupted(Interrupted.__doc__)


def dice(*about: object) -> Random:
    """Chance that falls the same way every time for the same things."""
    return Random("|".join(map(str, (SEED, *about))))
