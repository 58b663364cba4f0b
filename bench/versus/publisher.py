"""A process of its own that publishes the block at a rate, or as fast as Redis takes it."""

from __future__ import annotations

import multiprocessing
import socket
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from typing import Final, Self

from versus.block import CHUNK, Block, block, stamp, stamped_id

#: Events of a block; every lap has tasks of its own.
BLOCK: Final = 20_000
#: Commands that Redis may still owe an answer for.
WINDOW: Final = 1_000


@dataclass(frozen=True, slots=True)
class Published:
    """What one run has sent: Redis has answered for all of it."""

    events: int
    tasks: int
    #: Messages that Redis had no subscriber for.
    unheard: int
    seconds: float
    #: Time on time.monotonic() when the last answer came.
    ended: float
    #: Id of the last task, whose last event was the last of all.
    last: str

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds


class Publisher:
    """Runs one load at a time; `stop` ends it early."""

    def __init__(self, port: int, per_message: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._stop = context.Event()
        self._tasks: Synchronized[int] = context.Value("Q", 0)
        self._process = context.Process(
            target=_serve, args=(port, per_message, theirs, self._stop, self._tasks), daemon=True
        )

    def __enter__(self) -> Self:
        self._process.start()
        self._pipe.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    def start(self, events: int, rate: float | None, ahead: float = 0.0) -> None:
        """Publish `events` at `rate` events a second, as fast as possible if None; stamped so many seconds ahead."""
        self._stop.clear()
        self._tasks.value = 0
        self._pipe.send((events, rate, ahead))

    def running(self) -> bool:
        """Whether the load goes on."""
        return not self._pipe.poll()

    @property
    def tasks(self) -> int:
        """Tasks that have begun in this load and that Redis has answered for."""
        return self._tasks.value

    def stop(self) -> Published:
        """End the load now."""
        self._stop.set()
        return self.wait()

    def wait(self) -> Published:
        """Wait for the end of the load."""
        done: Published = self._pipe.recv()
        return done


def _serve(port: int, per_message: int, pipe: Connection, stop: Event, tasks: Synchronized[int]) -> None:
    load = _Load(port, block(BLOCK, per_message), stop, tasks)
    pipe.send(None)
    while True:
        events, rate, ahead = pipe.recv()
        pipe.send(load.run(events, rate, ahead))


class _Load:
    def __init__(self, port: int, made: Block, stop: Event, tasks: Synchronized[int]) -> None:
        self._block, self._stop, self._tasks = made, stop, tasks
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lap = self._sequence = 0
        self._owed = self._unheard = 0
        self._ahead = 0.0
        self._rest = b""

    def run(self, events: int, rate: float | None, ahead: float) -> Published:
        self._ahead = ahead
        self._unheard = sent = begun = 0
        chunks = max(1, events // CHUNK)
        self._lap += 1
        began = time.monotonic()
        for number in range(chunks):
            if self._stop.is_set():
                break
            if rate and (early := began + sent / rate - time.monotonic()) > 0:
                time.sleep(early)
            place = number % len(self._block.chunks)
            if number and not place:
                self._lap += 1
            self._send(self._block.chunks[place], self._block.messages)
            self._answers(WINDOW)
            sent += CHUNK
            begun = number // len(self._block.chunks) * self._block.tasks[-1] + self._block.tasks[place]
            self._tasks.value = begun
        self._send(self._block.tail, self._block.tail_messages)
        self._answers(0)
        ended = time.monotonic()
        sent += self._block.tail_messages
        last = stamped_id(self._block.tail_id, self._lap)
        return Published(sent, begun + 1, self._unheard, ended - began, ended, last)

    def _send(self, commands: bytes, messages: int) -> None:
        self._sequence += 1
        self._socket.sendall(stamp(commands, self._lap, self._sequence, time.time() + self._ahead))
        self._owed += messages

    def _answers(self, allowed: int) -> None:
        """Read answers until Redis owes no more than `allowed`."""
        while self._owed > allowed:
            got = self._socket.recv(65_536)
            if not got:
                raise ConnectionError("Redis has closed the publisher's connection")
            *lines, self._rest = (self._rest + got).split(b"\r\n")
            self._owed -= len(lines)
            self._unheard += lines.count(b":0")
