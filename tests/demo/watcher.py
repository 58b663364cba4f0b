"""A plain Celery monitor: everything that goes over the wire, as Celery's own receiver sees it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from celery import Celery

Event = dict[str, Any]


class Watcher(threading.Thread):
    """Receives events until the broker is gone, and tells workers to send those of their tasks until they do.

    Once is not enough: a worker says that it is online before it listens to remote control.
    """

    def __init__(self, broker_url: str) -> None:
        super().__init__(name="watcher", daemon=True)
        self._app = Celery("watcher", broker=broker_url, set_as_current=False)
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self._heard: set[str] = set()

    @property
    def events(self) -> list[Event]:
        """Everything so far, in the order of arrival."""
        with self._lock:
            return list(self._events)

    def types(self) -> Counter[str]:
        """How many of each type."""
        return Counter(event["type"] for event in self.events)

    def some(self, kind: str, such: Callable[[Event], object] = bool) -> bool:
        """Has an event of this type come, such as described?"""
        return any(event["type"] == kind and such(event) for event in self.events)

    def last(self) -> Counter[str]:
        """How many tasks have which type of event as their newest (`task-sent` and events of their own apart)."""
        newest = {
            event["uuid"]: event["type"]
            for event in self.events
            if "uuid" in event and event["type"] not in ("task-sent", "task-progress")
        }
        return Counter(newest.values())

    def run(self) -> None:
        with self._app.connection_for_read() as connection:
            receiver = self._app.events.Receiver(connection, handlers={"*": self._note})
            try:
                # Bounded in time only as a belt: the end of the broker is what ends it.
                receiver.capture(limit=None, timeout=60.0, wakeup=False)
            except (OSError, *connection.connection_errors):
                return

    def _note(self, event: Event) -> None:
        with self._lock:
            self._events.append(event)
        if event["type"] == "task-received":
            self._heard.add(event["hostname"])
        elif event["type"].startswith("worker-") and event["hostname"] not in self._heard:
            self._app.control.enable_events(destination=[event["hostname"]])
