"""The shop's customers and clerks: a process that sends tasks at a gentle, wavy rate, with a rush every minute.

Run by `World` as ``python -m umbel.demo.producer``; the broker comes from the environment (see `shop.application`).
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import signal
import sys
import uuid
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from umbel.clock import Clock, SystemClock
from umbel.demo import catalogue
from umbel.demo.pace import RATE, orders_per_second
from umbel.demo.shop.application import app

#: With so many tasks waiting for the workers the shop takes no more orders, and looks again each so many seconds.
FULL, LOOK = 2_000, 1.0

Action = Callable[[], None]


class Broker(Protocol):
    """What the producer asks of Celery."""

    def send(self, task: str, task_id: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        """Send one task, with the options of `Celery.send_task`."""
        ...

    def revoke(self, task_id: str, *, terminate: bool) -> None:
        """Have the workers forget a task, or end it when it runs already."""
        ...

    def waiting(self) -> int:
        """How many tasks wait in the queue of the orders."""
        ...


class CeleryBroker:
    """The real one. It keeps no results: a web site does not wait for its workers."""

    def send(self, task: str, task_id: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        app.send_task(task, args, task_id=task_id, **options)

    def revoke(self, task_id: str, *, terminate: bool) -> None:
        app.control.revoke(task_id, terminate=terminate, signal="SIGTERM")

    def waiting(self) -> int:
        with app.connection_or_acquire() as connection:
            return int(connection.default_channel.client.llen(app.conf.task_default_queue))


class Producer:
    """Sends what the same `seed` always sends, task ids included, as far as the machine keeps time."""

    def __init__(self, broker: Broker, *, rate: float = RATE, seed: int = 7, clock: Clock | None = None) -> None:
        self._broker = broker
        self._rate = rate
        self._chance = Random(seed)
        self._clock = clock or SystemClock()
        self._opened = self._clock.monotonic()
        self._numbers = itertools.count(1)
        self._entries = itertools.count()
        self._notes = itertools.cycle(("LS-{} ½ Palette", "LS-{}"))
        self._full = False
        self._agenda: list[tuple[float, int, Action]] = []
        self._after(0.3, self._order)
        for first, every, action in (
            # The two that keep a task in STARTED and one in RETRY at any moment: they come more often than they end.
            (0.0, 17.0, self._archive),
            (0.1, 12.0, self._prices),
            (0.5, 2.5, self._picture),
            (0.7, LOOK, self._look),
            (1.0, 3.0, self._stock),
            (2.0, 30.0, self._index),
            (3.0, 20.0, self._sales),
            (4.0, 30.0, self._unwanted_report),
            (5.0, 25.0, self._delivery),
            (6.0, 40.0, self._batch),
            (7.0, 45.0, self._rebuild),
            (8.0, 30.0, self._late_reminder),
        ):
            self._after(first, self._repeated(every, action))

    def run(self, seconds: float = float("inf")) -> None:
        """Send until so many seconds have passed since construction; errors of the broker end it."""
        end = self._opened + seconds
        while self._agenda[0][0] < end:
            due, _, action = heapq.heappop(self._agenda)
            delay = due - self._clock.monotonic()
            if delay > 0:
                self._clock.sleep(delay)
            action()

    def _after(self, seconds: float, action: Action) -> None:
        """Do it so long from now. What a sleeping laptop has missed is not made up for."""
        heapq.heappush(self._agenda, (self._clock.monotonic() + seconds, next(self._entries), action))

    def _repeated(self, every: float, action: Action) -> Action:
        def act() -> None:
            action()
            self._after(every, act)

        return act

    def _send(self, task: str, *args: Any, **options: Any) -> str:
        task_id = str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
        self._broker.send(task, task_id, args, options)
        return task_id

    def _look(self) -> None:
        self._full = self._broker.waiting() >= FULL

    def _order(self) -> None:
        if not self._full:
            self._send("shop.orders.place", catalogue.order(10_000 + next(self._numbers), self._chance))
        rate = orders_per_second(self._clock.monotonic() - self._opened, self._rate)
        self._after(min(self._chance.expovariate(rate), 4.0 / rate), self._order)

    def _archive(self) -> None:
        self._send("shop.reports.archive_year", self._chance.randint(2012, 2025), next(self._numbers))

    def _prices(self) -> None:
        self._send("shop.stock.fetch_prices", self._chance.choice(catalogue.SUPPLIERS), next(self._numbers))

    def _picture(self) -> None:
        width = self._chance.choice((320, 640, 1280, 2560))
        self._send("shop.images.resize", self._chance.choice(catalogue.SKUS), self._chance.randint(1, 9), width)

    def _stock(self) -> None:
        self._send("shop.stock.sync", self._chance.choice(catalogue.WAREHOUSES), next(self._numbers))

    def _index(self) -> None:
        self._send("shop.search.reindex", next(self._numbers), 6)

    def _sales(self) -> None:
        day = f"2026-{self._chance.randint(1, 10):02}-{self._chance.randint(1, 28):02}"
        self._send("shop.reports.daily_sales", day, countdown=self._chance.uniform(8.0, 20.0))

    def _unwanted_report(self) -> None:
        """One that is taken back while it waits for its hour."""
        task_id = self._send("shop.reports.daily_sales", "2026-02-30", countdown=10.0)
        self._after(4.0, lambda: self._broker.revoke(task_id, terminate=False))

    def _delivery(self) -> None:
        """Every other note cannot be read, the first one included."""
        self._send("shop.stock.receive_delivery", next(self._notes).format(next(self._numbers)))

    def _batch(self) -> None:
        rows = [catalogue.order(next(self._numbers), self._chance) for _ in range(1_000)]
        self._send("shop.orders.import_batch", self._chance.choice(catalogue.MARKETS), rows)

    def _rebuild(self) -> None:
        """One that is terminated while it runs."""
        task_id = self._send("shop.search.rebuild", "typo in a product name")
        self._after(5.0, lambda: self._broker.revoke(task_id, terminate=True))

    def _late_reminder(self) -> None:
        """One that expires before its hour."""
        skus = self._chance.sample(catalogue.SKUS, 2)
        self._send("shop.mail.remind_of_basket", "customer3@mail.example", skus, countdown=6.0, expires=3.0)


def _leave(_number: int, _frame: object) -> None:
    sys.exit(0)


def main() -> None:
    """Send tasks until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m umbel.demo.producer", description=main.__doc__)
    parser.add_argument("--rate", type=float, default=RATE, help="orders a second (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="what is bought by whom (default: %(default)s)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _leave)
    Producer(CeleryBroker(), rate=options.rate, seed=options.seed).run()


if __name__ == "__main__":
    main()
