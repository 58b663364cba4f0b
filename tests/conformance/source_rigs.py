"""What the conformance suite needs of each kind of source: how to make it, and how events get to it."""

from __future__ import annotations

import json
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kombu
from celery import Celery

from tests.support.environment import wait_until
from umbel.buffer.writer import SpoolWriter
from umbel.clock import SystemClock
from umbel.model.decode import Decoder
from umbel.model.event import AnyEvent, TaskEvent
from umbel.settings import Settings
from umbel.sources.amqp import AmqpSource
from umbel.sources.base import Batch, Limits, Source
from umbel.sources.kombu import KombuSource
from umbel.sources.recording import Recorder, RecordingSource
from umbel.sources.redis import RedisReceiver
from umbel.sources.spool import SpoolSource
from umbel.status import CONNECTED

QUICK = Limits(messages=1_000, bytes=1 << 20, wait=0.2)


def unique(stem: str) -> str:
    return f"{stem}.{uuid.uuid4().hex[:8]}"


class Rig(ABC):
    """One kind of source with a broker (or file) of its own, and the ways in which events get there."""

    #: Uncommitted messages come again after a restart, committed ones do not.
    durable = True
    #: Messages of one publisher come in the order in which they were sent.
    ordered = True
    #: Events arrive while the source is open; a recording is written before.
    live = True

    @abstractmethod
    def source(self) -> Source:
        """A new source on the same broker, as after a restart of the process."""

    @abstractmethod
    def publish(self, events: Sequence[dict[str, Any]], batch: int = 1) -> None:
        """Send events as a worker's dispatcher does, `batch` a message."""

    @abstractmethod
    def publish_raw(self, body: bytes, content_type: str = "application/json") -> None:
        """Send any bytes as a message."""

    def open(self, position: str | None = None) -> Source:
        """A new source, opened and connected."""
        source = self.source()
        source.open(position)
        wait_until(
            lambda: source.status().connected, "the source being connected", explain=lambda: str(source.status())
        )
        return source

    @contextmanager
    def started(self, send: Callable[[], None]) -> Iterator[Source]:
        """An open source with what `send` sends on its way; closed in the end."""
        if not self.live:
            send()
        source = self.open()
        try:
            if self.live:
                send()
            yield source
        finally:
            source.close()


class CeleryRig(Rig):
    """Events through Celery's own dispatcher and kombu."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def app(self) -> Celery:
        made = Celery("rig", broker=self.settings.broker, set_as_current=False)
        made.conf.update(
            broker_transport_options={**self.settings.broker_options, **self.publishing()},
            broker_use_ssl=dict(self.settings.broker_ssl) or False,
            event_exchange=self.settings.event_exchange,
        )
        return made

    def publishing(self) -> dict[str, Any]:
        """What the publisher's connection is told besides."""
        return {}

    def publish(self, events: Sequence[dict[str, Any]], batch: int = 1) -> None:
        app = self.app()
        group = ["task"] if batch > 1 else None
        with (
            app.connection_for_write() as connection,
            app.events.Dispatcher(connection, hostname="w1@rig", buffer_group=group, buffer_limit=batch) as dispatcher,
        ):
            for event in events:
                fields = {key: value for key, value in event.items() if key != "type"}
                dispatcher.send(event["type"], **fields)
            dispatcher.flush()
        app.close()

    def publish_raw(self, body: bytes, content_type: str = "application/json") -> None:
        app = self.app()
        with app.connection_for_write() as connection:
            driver = connection.transport.driver_type
            kind = "fanout" if driver == "redis" else "topic"
            exchange = kombu.Exchange(self.settings.event_exchange, type=kind)
            producer = kombu.Producer(connection, exchange=exchange)
            producer.publish(
                body, routing_key="task.raw", content_type=content_type, content_encoding="binary", delivery_mode=1
            )
        app.close()


class AmqpRig(CeleryRig):
    """RabbitMQ, with an exchange and a queue of its own."""

    def __init__(self, url: str, queue_type: str, **options: Any) -> None:
        super().__init__(
            Settings(
                **{
                    "broker": url,
                    "event_exchange": unique("celeryev"),
                    "queue_name": unique("umbel"),
                    "queue_type": queue_type,
                    **options,
                }
            )
        )

    def publishing(self) -> dict[str, Any]:
        # A quorum queue promises nothing for what it has not confirmed: a message may be gone when its sender leaves.
        return {"confirm_publish": True} if self.settings.queue_type == "quorum" else {}

    def source(self) -> Source:
        return AmqpSource(self.settings)


class KombuRig(CeleryRig):
    """Files in a directory, the one transport with fanout that needs no server."""

    durable = False
    # Its files are named by the millisecond.
    ordered = False

    def __init__(self, directory: Path, **options: Any) -> None:
        for name in ("data", "control"):
            (directory / name).mkdir()
        folders = {
            "data_folder_in": str(directory / "data"),
            "data_folder_out": str(directory / "data"),
            "control_folder": str(directory / "control"),
        }
        super().__init__(Settings(broker="filesystem://", broker_options=folders))
        self.options = options

    def source(self) -> Source:
        return KombuSource(self.settings, **self.options)


class RecordingRig(Rig):
    """A file; `durable` in that its position says where to go on."""

    live = False

    def __init__(self, path: Path) -> None:
        self.path = path

    def source(self) -> Source:
        return RecordingSource(self.path)

    def publish(self, events: Sequence[dict[str, Any]], batch: int = 1) -> None:
        recorder = Recorder(self.path)
        for start in range(0, len(events), batch):
            part = [
                {"hostname": "w1@rig", "timestamp": time.time(), **event} for event in events[start : start + batch]
            ]
            recorder.write(json.dumps(part if batch > 1 else part[0]).encode())
        recorder.close()

    def publish_raw(self, body: bytes, content_type: str = "application/json") -> None:
        recorder = Recorder(self.path)
        recorder.write(body, content_type)
        recorder.close()


class SpoolRig(CeleryRig):
    """Redis: a receiver on a thread, the spool on disk, and the source that reads it."""

    def __init__(self, url: str, directory: Path) -> None:
        # The channels' prefix keeps this rig's events apart from those of others on the server.
        prefix = {"fanout_prefix": f"/{unique('rig')}."}
        super().__init__(Settings(broker=url, broker_options=prefix, data_dir=str(directory)))
        self._clock = SystemClock()
        self._stop = threading.Event()
        self._writer = SpoolWriter(self.settings.spool_dir, self.settings.spool_bytes, self._clock)
        self._receiver = RedisReceiver(self.settings, self._writer, self._clock)
        self._thread = threading.Thread(
            target=self._receiver.run, args=(self._stop, lambda _: None), name="rig-receiver", daemon=True
        )

    def receive(self) -> None:
        """Run the receiver until `stop`."""
        self._thread.start()
        wait_until(lambda: self._receiver.status().values[CONNECTED], "the receiver being connected")

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(5)
        self._writer.close()

    def source(self) -> Source:
        return SpoolSource(self.settings.spool_dir, self.settings.spool_bytes, self._clock)


def task_events(count: int, start: int = 0) -> list[dict[str, Any]]:
    """`task-received` events of tasks named by number."""
    return [
        {"type": "task-received", "uuid": str(number), "name": "rig.task"} for number in range(start, start + count)
    ]


def decoded(batch: Batch) -> list[AnyEvent]:
    """The events of a batch; AssertionError for anything refused."""
    decoder = Decoder()
    out = decoder.envelopes(batch.envelopes) if batch.envelopes else decoder.bodies(batch.bodies)
    assert not out.refused, out.refused
    return out.events


def poll_events(
    source: Source, count: int, *, timeout: float = 90.0, limits: Limits = QUICK, commit: bool = True
) -> list[AnyEvent]:
    """Poll (and commit) until `count` events came; AssertionError after `timeout` seconds."""
    events: list[AnyEvent] = []
    deadline = time.monotonic() + timeout
    while len(events) < count:
        assert time.monotonic() < deadline, f"{len(events)} of {count} events came; {source.status()}"
        batch = source.poll(limits)
        events += decoded(batch)
        if commit and batch.position is not None:
            source.commit(batch.position)
    return events


def ids(events: Sequence[AnyEvent]) -> list[int]:
    """The numbers that `task_events` gave."""
    return [int(event.uuid) for event in events if isinstance(event, TaskEvent)]
