"""Listening for a few seconds, as any other monitor would, to tell who sends events and who does not."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from umbel.control.client import make_app
from umbel.errors import ControlError
from umbel.settings import Settings


@dataclass(slots=True)
class Heard:
    """What came while listening."""

    #: Workers by name: any event, and task events.
    workers: set[str] = field(default_factory=set)
    task_workers: set[str] = field(default_factory=set)
    #: Events of tasks from workers, and `task-sent` from publishers.
    task_events: int = 0
    sent_events: int = 0

    def hear(self, event: dict[str, Any]) -> None:
        """Count one event; one without type or hostname is passed over."""
        type_, hostname = event.get("type"), event.get("hostname")
        if not isinstance(type_, str) or not isinstance(hostname, str):
            return
        if type_ == "task-sent":
            self.sent_events += 1
        elif type_.startswith("task-"):
            self.task_events += 1
            self.task_workers.add(hostname)
            self.workers.add(hostname)
        elif type_.startswith("worker-"):
            self.workers.add(hostname)


def listen(settings: Settings, seconds: float) -> Heard:
    """Everything that passes in `seconds`; changes nothing at the workers. Raises `ControlError`."""
    heard = Heard()
    app = make_app(settings)
    try:
        with app.connection_for_read() as connection:
            receiver = app.events.Receiver(connection, handlers={"*": heard.hear})
            # The receiver consumes on a connection of its own.
            with receiver.consumer_context() as (own, _, _):
                end = time.monotonic() + seconds
                while (left := end - time.monotonic()) > 0:
                    try:
                        own.drain_events(timeout=left)
                    except TimeoutError:
                        break
    except Exception as error:
        # Each transport has errors of its own.
        raise ControlError(f"events could not be listened for: {error}") from error
    finally:
        app.close()
    return heard
