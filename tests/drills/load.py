"""A publisher in a process of its own: tasks at a steady rate, or as fast as it can, on Redis or RabbitMQ."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pika
import redis

from tests.support.process import Process

ROOT = Path(__file__).resolve().parents[2]
#: Times a second that the publisher wakes up to send what is due.
TICKS = 50
#: A worker tells of itself each time it has run so many tasks.
BEAT = 5
#: Tasks that a step of the clock meets between their receipt and their start.
STRADDLING = 20
#: Commands that a burst gives to its socket at once.
TOGETHER = 500


@dataclass(frozen=True)
class Load:
    """What is published: `tasks` tasks of three events each, and what their workers tell of themselves."""

    tasks: int = 0
    #: Number of the first.
    first: int = 0
    #: Events a second; 0: as fast as one publisher can (Redis only).
    rate: int = 0
    #: Events of a message in a burst; a steady load sends one message for each task.
    together: int = 3
    #: Names of tasks, and workers, each used in turn.
    names: int = 1
    workers: int = 1
    #: Tasks after which a worker goes and comes back as another process; 0: workers tell nothing of themselves.
    life: int = 0
    #: Seconds by which every clock steps back when half of the tasks are sent, in the middle of `STRADDLING` of them.
    back: float = 0.0
    #: Seconds between the clocks of one worker and the next.
    apart: float = 0.0

    def clock(self, number: int, *, received: bool) -> float:
        """The time that the worker of a task believes in, when it has received it and later."""
        stepped = self.back if 2 * (number - STRADDLING * received) >= self.tasks else 0.0
        return time.time() - stepped + self.apart * (number % self.workers)


class Publisher(Process):
    """Publishes a `Load`, given by its fields; ends early on SIGTERM. The last word of its output: tasks sent."""

    def __init__(self, broker: str, directory: Path, **load: Any) -> None:
        super().__init__(
            [sys.executable, "-m", "tests.drills.load", broker, json.dumps(asdict(Load(**load)))],
            log=directory / "publisher.log",
            env={"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        )


def events(number: int, load: Load = Load()) -> list[dict[str, Any]]:
    """The events of one task; every tenth fails. With `life`, those of its worker around them."""
    now, received = load.clock(number, received=False), load.clock(number, received=True)
    id_ = str(uuid.UUID(int=number, version=4))
    worker, turn = number % load.workers, number // load.workers
    name = "drill.task" if load.names == 1 else f"drill.task{number % load.names}"
    host = "drill@host" if load.workers == 1 else f"drill@host{worker}"
    # Workers begin at different moments of their lives, or all would go at once.
    lived, done = divmod(turn + worker, load.life) if load.life else (0, 1)
    who = {"hostname": host, "pid": 7 + lived, "utcoffset": 0}
    end = {"type": "task-succeeded", "result": "1", "runtime": 0.01}
    if number % 10 == 0:
        end = {"type": "task-failed", "exception": "ValueError('drill')", "traceback": "Traceback"}
    clock = 6 * turn
    task = [
        {"type": "task-received", "name": name, "args": "()", "kwargs": "{}", "retries": 0}
        | {"root_id": id_, "parent_id": None, "eta": None, "expires": None, "clock": clock + 1, "timestamp": received},
        {"type": "task-started", "clock": clock + 2, "timestamp": now + 0.001},
        {**end, "clock": clock + 3, "timestamp": now + 0.002},
    ]
    found = [{**who, "uuid": id_, **event} for event in task]
    if not load.life:
        return found
    # The first lives are cut short; they count what they ran all the same.
    processed = done + 1 if turn >= load.life else turn + 1
    about = {**who, "freq": 2, "sw_ident": "py-celery", "sw_ver": "5.7", "sw_sys": "Linux", "processed": 0}
    if done == 0:
        found.insert(0, {**about, "type": "worker-online", "clock": clock, "timestamp": now})
    told = {**about, "active": 1, "loadavg": [1, 1, 1], "processed": processed, "timestamp": now + 0.003}
    if done == load.life - 1:
        found.append({**told, "type": "worker-offline", "clock": clock + 5})
    elif done % BEAT == 0:
        found.append({**told, "type": "worker-heartbeat", "clock": clock + 4})
    return found


def envelope(body: object) -> bytes:
    """One message as kombu's Redis transport publishes it."""
    properties = {"body_encoding": "base64", "delivery_info": {"exchange": "celeryev", "routing_key": "task.multi"}}
    return json.dumps(
        {
            "body": base64.b64encode(json.dumps(body).encode()).decode(),
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": {"hostname": "drill@host"},
            "properties": properties | {"delivery_mode": 1, "priority": 0, "delivery_tag": "d"},
        }
    ).encode()


def _due(load: Load) -> Iterator[int]:
    """How many tasks to send now, at each tick, until all are sent."""
    began, sent, stopped = time.monotonic(), 0, threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    while sent < load.tasks and not stopped.is_set():
        time.sleep(1 / TICKS)
        due = min(load.tasks, int((time.monotonic() - began) * load.rate / 3))
        yield due - sent
        sent = due
    sys.stdout.write(f"tasks sent: {sent}\n")


def _to_redis(broker: str, load: Load) -> None:
    with redis.Redis.from_url(broker) as client:
        number = load.first
        for due in _due(load):
            pipe = client.pipeline(transaction=False)
            for _ in range(due):
                pipe.publish("/0.celeryev/task.multi", envelope(events(number, load)))
                number += 1
            pipe.execute()


def _to_rabbitmq(broker: str, load: Load) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker)) as connection:
        channel = connection.channel()
        properties = pika.BasicProperties(content_type="application/json", delivery_mode=1)
        number = load.first
        for due in _due(load):
            for _ in range(due):
                body = json.dumps(events(number, load)).encode()
                channel.basic_publish("celeryev", "task.multi", body, properties)
                number += 1
            connection.process_data_events()


def _burst(broker: str, load: Load) -> None:
    """Everything is made before the first byte is sent: then nothing but Redis holds the publisher up."""
    commands = _commands(load)
    url = urlsplit(broker)
    with socket.create_connection((url.hostname or "127.0.0.1", url.port or 6379)) as connection:
        heard: list[int] = []
        answers = threading.Thread(target=lambda: heard.append(_answers(connection, len(commands))))
        answers.start()
        began = time.monotonic()
        for at in range(0, len(commands), TOGETHER):
            connection.sendall(b"".join(commands[at : at + TOGETHER]))
        answers.join()
        rate = 3 * load.tasks / (time.monotonic() - began)
    sys.stdout.write(f"{rate:.0f} events/s, {heard[0]} of {len(commands)} messages heard\n")
    sys.exit(heard[0] != len(commands))


def _commands(load: Load) -> Sequence[bytes]:
    """PUBLISH for each message, as the wire has it."""
    numbers = range(load.first, load.first + load.tasks)
    every = [event for number in numbers for event in events(number, load)]
    found = []
    for at in range(0, len(every), load.together):
        message = envelope(every[at] if load.together == 1 else every[at : at + load.together])
        found.append(b"*3\r\n$7\r\nPUBLISH\r\n$22\r\n/0.celeryev/task.multi\r\n$%d\r\n%b\r\n" % (len(message), message))
    return found


def _answers(connection: socket.socket, wanted: int) -> int:
    """Of so many answers, the number that named a subscriber."""
    lines = heard = 0
    while lines < wanted:
        got = connection.recv(1 << 16)
        if not got:
            break
        lines += got.count(b"\n")
        heard += got.count(b":1")
    return heard


if __name__ == "__main__":
    _broker, _load = sys.argv[1], Load(**json.loads(sys.argv[2]))
    if not _load.rate:
        _burst(_broker, _load)
    else:
        (_to_redis if _broker.startswith("redis") else _to_rabbitmq)(_broker, _load)
