"""What is measured. Each phase starts the monitor anew, loads it, asks it what it has kept, and kills it."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from versus.monitors import Monitor
from versus.publisher import Published, Publisher
from versus.servers import get, until

#: Makes a monitor with these further arguments.
Make = Callable[..., Monitor]

#: Seconds that a monitor may take to work off what it still has.
PATIENCE: Final = 120.0
#: Seconds without any progress after which nothing more is expected.
STALLED: Final = 6.0


class Kept(NamedTuple):
    """What became of one load."""

    published: Published
    events: int
    tasks: int
    #: Seconds from the last answer of Redis until the API told the last task's end; None if it never did.
    visible: float | None

    @property
    def share(self) -> float:
        """Of the events."""
        return self.events / self.published.events

    @property
    def lossless(self) -> bool:
        """Whether every event and every task is there."""
        return self.events == self.published.events and self.tasks == self.published.tasks


class Steady(NamedTuple):
    """A load under which somebody looks at the pages."""

    kept: Kept
    pages: list[float]
    health: list[float]
    #: Of these, that had no answer within a minute, or a wrong one.
    failures: int
    #: Bytes of the whole family, at most.
    memory: int


class Killed(NamedTuple):
    """What is known after SIGKILL and a new start."""

    #: Tasks that Redis had answered for when the signal was sent.
    published: int
    known: int
    #: Seconds that the new start took.
    start: float


def settle(monitor: Monitor, done: Published) -> Kept:
    """Wait until all is seen, or until nothing moves any more."""
    end = done.ended + PATIENCE
    progress, at = -1, time.monotonic()
    visible = None
    while visible is None and time.monotonic() < end:
        if monitor.ended(done.last):
            visible = time.monotonic() - done.ended
        elif time.monotonic() - at > STALLED:
            now = monitor.kept_events()
            if now == progress:
                break
            progress, at = now, time.monotonic()
        else:
            time.sleep(0.05)
    # An answer about the books may be as old as a second.
    until(lambda: monitor.kept_events() >= done.events, 2, every=0.5)
    return Kept(done, monitor.kept_events(), monitor.kept_tasks(), visible)


def steady(make: Make, publisher: Publisher, rate: float, events: int) -> Steady:
    """`events` at `rate` while a page is looked at each second and health is asked for each tenth."""
    with make() as monitor:
        watch = _Watch(monitor)
        publisher.start(events, rate)
        watch.start()
        done = publisher.wait()
        watch.stop()
        kept = settle(monitor, done)
        watch.weigh()
        return Steady(kept, watch.pages, watch.health, watch.failures, watch.memory)


def burst(make: Make, publisher: Publisher, events: int) -> Kept:
    """`events` as fast as Redis takes them."""
    return _load(make, publisher, events, None)


def ladder(make: Make, publisher: Publisher, rates: Sequence[int], seconds: float) -> Iterator[Kept]:
    """Bisects `rates` for the highest that is kept without loss; gives each step made."""
    low, high = 0, len(rates)
    while low < high:
        middle = (low + high) // 2
        kept = _load(make, publisher, round(rates[middle] * seconds), rates[middle])
        if kept.lossless and kept.published.rate > 0.95 * rates[middle]:
            low = middle + 1
        else:
            high = middle  # lost, or more than this machine can publish
        yield kept


def _load(make: Make, publisher: Publisher, events: int, rate: float | None) -> Kept:
    with make() as monitor:
        publisher.start(events, rate)
        return settle(monitor, publisher.wait())


def killed(make: Make, publisher: Publisher, rate: float, seconds: float, *extra: str) -> Killed:
    """SIGKILL to everything after `seconds` of load, and a new start with the same files."""
    with make(*extra) as monitor:
        publisher.start(round(rate * seconds * 10), rate)
        time.sleep(seconds)
        published = publisher.tasks
        monitor.kill()
        publisher.stop()
        start = monitor.start()
        time.sleep(3)  # what the spool holds is committed meanwhile
        return Killed(published, monitor.kept_tasks(), start)


class _Watch:
    """Threads that look at the pages and at the memory until they are stopped."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._every, args=(each, action), daemon=True)
            for each, action in ((0.5, self._look), (0.1, self._ask), (1.0, self.weigh))
        ]
        self.pages: list[float] = []
        self.health: list[float] = []
        self.memory = self.failures = 0

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let the questions that are under way end."""
        self._over.set()
        for thread in self._threads:
            thread.join(timeout=PATIENCE)

    def _every(self, seconds: float, action: Callable[[], None]) -> None:
        while not self._over.wait(seconds):
            action()

    def _look(self) -> None:
        self.pages.append(self._timed(self._monitor.page))

    def _ask(self) -> None:
        self.health.append(self._timed((self._monitor.health,)))

    def weigh(self) -> None:
        """Note the memory."""
        self.memory = max(self.memory, self._monitor.program.memory())

    def _timed(self, paths: Sequence[str]) -> float:
        began = time.monotonic()
        try:
            for path in paths:
                get(self._monitor.port, path)
        except (OSError, http.client.HTTPException):
            self.failures += 1  # its time counts all the same: somebody has waited that long
        return time.monotonic() - began
