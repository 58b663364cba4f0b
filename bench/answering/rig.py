"""A whole Umbel on a long history: Redis, a receiver, a collector and a web, and workers that never fall silent."""

from __future__ import annotations

import http.client
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import redis

from answering.history import copied
from load import WORKERS, envelope
from stores.history import END
from stores.history import WORKERS as OLD_WORKERS
from versus.publisher import Publisher
from versus.servers import Program, Redis, free_port, get, until

#: Seconds between two heartbeats of a worker.
BEAT: Final = 2.0
#: Seconds of silence after which the web may have closed a connection.
IDLE: Final = 2.0
#: More events than any measurement lasts for.
ENDLESS: Final = 1 << 40
_AHEAD: Final = Path(__file__).with_name("ahead.py")


class Answer(NamedTuple):
    """One answer: milliseconds until its last byte was here, and of the processor of the web."""

    status: int
    wall: float
    cpu: float
    size: int


class Umbel:
    """The web as a client on the same machine sees it, over one connection."""

    def __init__(self, port: int, web: Program) -> None:
        self.port = port
        self._web = web
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._asked = 0.0

    def ask(self, path: str) -> Answer:
        """Ask for a page as a browser does."""
        if time.monotonic() - self._asked > IDLE:
            # It is opened anew with the next question.
            self._connection.close()
        before, began = self._spent(), time.perf_counter()
        self._connection.request("GET", path, headers={"Accept": "text/html"})
        answer = self._connection.getresponse()
        body = answer.read()
        wall = time.perf_counter() - began
        self._asked = time.monotonic()
        return Answer(answer.status, wall * 1e3, (self._spent() - before) * 1e3, len(body))

    def json(self, path: str) -> Any:
        """What the API answers."""
        return json.loads(get(self.port, path))

    def _spent(self) -> float:
        """Processor seconds of the web so far, all its threads together."""
        pid = self._web.family()[0]
        return sum(int(each.read_text().split()[0]) for each in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


@contextmanager
def umbel(kept: Path, home: Path, rate: int) -> Iterator[Umbel]:
    """Umbel on a copy of the history, whose end is now, while `rate` events a second come in."""
    store = copied(kept, home)
    ahead = END - time.time()
    with ExitStack() as stack:
        server = stack.enter_context(Redis(home))
        publisher = stack.enter_context(Publisher(server.port, 1))
        port = free_port()
        where = ["-b", server.url, "--store", f"sqlite:///{store}", "--data-dir", f"{home}/data"]
        # As `umbel up` starts them, but with a clock of their own.
        programs = {
            name: Program([sys.executable, _AHEAD, str(ahead), name, *where, *more], home, f"{name}.log")
            for name, more in (("receive", []), ("collect", []), ("web", ["-p", str(port), "--unauthenticated-api"]))
        }
        for program in programs.values():
            stack.callback(program.kill)
            program.start()
        if not until(lambda: bool(get(port, "/healthz")) and server.subscribers() > 0, 60):
            raise SystemExit(f"Umbel does not start; see {home}")
        stack.enter_context(_beats(server.url, ahead))
        if rate:
            publisher.start(ENDLESS, rate, ahead)
            stack.callback(publisher.stop)
        yield Umbel(port, programs["web"])


@contextmanager
def _beats(url: str, ahead: float) -> Iterator[None]:
    """Heartbeats of all workers, those of the history and those of the load."""
    over = threading.Event()
    client = redis.Redis.from_url(url)
    workers = [*WORKERS, *((name, 7) for name in OLD_WORKERS)]

    def beat() -> None:
        clock = 0
        while True:
            clock += 1
            for name, pid in workers:
                event = {"type": "worker-heartbeat", "hostname": name, "pid": pid, "freq": BEAT, "clock": clock}
                event |= {"timestamp": time.time() + ahead, "utcoffset": 0, "active": 3, "processed": clock}
                event |= {"loadavg": os.getloadavg(), "sw_ident": "py-celery", "sw_ver": "5.7.0", "sw_sys": "Linux"}
                client.publish("/0.celeryev/worker.heartbeat", envelope(event))
            if over.wait(BEAT):
                return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        client.close()
