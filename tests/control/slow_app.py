"""The usual test app in a worker that listens to remote control a second after it has said that it is online."""

from __future__ import annotations

import time
from typing import Any

from celery import bootsteps
from celery.worker.consumer.control import Control
from celery.worker.consumer.heart import Heart

from tests.support.app import app

__all__ = ["app"]


class Wait(bootsteps.StartStopStep):  # type: ignore[misc]
    """Starts after the heart, which says worker-online, and before remote control."""

    requires = (Heart,)

    def start(self, parent: Any) -> None:
        time.sleep(1.0)


Control.requires = (*Control.requires, Wait)
app.steps["consumer"].add(Wait)
