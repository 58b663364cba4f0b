"""Two weeks of tasks from one seed, whatever their number: what every engine is filled with."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any, Final

from umbel.model.event import AnyEvent, TaskFailed, TaskReceived, TaskSent, TaskStarted, TaskSucceeded

DAY: Final = 86_400.0
DAYS: Final = 14
#: When the history ends (UTC seconds), at midnight.
END: Final = 1_790_035_200.0
START: Final = END - DAYS * DAY
NAMES: Final = [f"shop.app{n % 20}.tasks.task_{n}" for n in range(200)]
WORKERS: Final = [f"celery@worker-{n}" for n in range(60)]
QUEUES: Final = ["celery", "mail", "images", "reports"]
CITIES: Final = ["Aachen", "Bremen", "Celle", "Dresden", "Erfurt", "Fulda", "Görlitz", "Halle", "Ilmenau", "Jena"]
ERRORS: Final = ["ValueError", "KeyError", "TimeoutError", "ConnectionResetError", "shop.errors.OutOfStock"]
_FRAME: Final = '  File "/srv/shop/{}.py", line {}, in {}\n    return self.{}(order, customer, *args, **kwargs)\n'
_HEAD: Final = "Traceback (most recent call last):\n"


def windows(count: int, window: int, late: float, burst: float = 0.0) -> Iterator[list[AnyEvent]]:
    """The events of `window` tasks at a time; a share `late` of the starts and ends comes in the next one.

    The tasks of a window begin within `burst` seconds, as those of a commit do in life; 0: evenly until the next one.
    """
    random = Random(1)
    tracebacks = [_traceback(random) for _ in range(50)]
    waiting: list[AnyEvent] = []
    for first in range(0, count, window):
        events, waiting = waiting, []
        for number in range(first, min(first + window, count)):
            at = START + (END - START) * (first if burst else number) / count + burst * (number - first) / window
            begin, end = _life(random, at, number, tracebacks)
            events += begin
            (waiting if random.random() < late else events).extend(end)
        yield events
    if waiting:
        yield waiting


def _life(random: Random, at: float, number: int, tracebacks: list[str]) -> tuple[list[AnyEvent], list[AnyEvent]]:
    """One task's events, those of its beginning and those that end it."""
    bits = random.getrandbits(128)
    hex_ = f"{bits:032x}"
    id_ = f"{hex_[:8]}-{hex_[8:12]}-4{hex_[13:16]}-a{hex_[17:20]}-{hex_[20:]}"
    name = NAMES[min(199, int(random.paretovariate(1.0)) - 1)]
    worker, pid = WORKERS[bits % 60], 7
    what: dict[str, Any] = {
        "name": name,
        "args": f"({bits % 1_000_003}, 'customer-{bits % 999_983}@example.org', {number})",
        "kwargs": f"{{'order': {bits >> 8 & 0xFFFFF}, 'city': '{CITIES[bits % 10]}', 'items': [{bits % 97}, 1], "
        f"'note': 'please deliver to the {CITIES[bits % 7].lower()} store'}}",
        "root_id": id_,
        "retries": 0,
    }
    wait, run = random.expovariate(2), random.lognormvariate(-1.5, 1.2)
    queue = QUEUES[min(3, int(random.paretovariate(1.5)) - 1)]
    client = f"gen17@web-{bits % 3}"
    begin: list[AnyEvent] = [
        TaskSent(timestamp=at, uuid=id_, hostname=client, queue=queue, exchange="", routing_key=queue, **what),
        TaskReceived(hostname=worker, pid=pid, timestamp=at + 0.002, uuid=id_, **what),
    ]
    start = TaskStarted(hostname=worker, pid=pid, timestamp=at + wait, uuid=id_)
    ended: dict[str, Any] = {"hostname": worker, "pid": pid, "timestamp": at + wait + run, "uuid": id_}
    end: AnyEvent
    if random.random() < 0.05:
        error = f"{ERRORS[bits % 5]}('order {bits >> 8 & 0xFFFFF} is gone')"
        end = TaskFailed(**ended, exception=error, traceback=tracebacks[bits % 50])
    else:
        end = TaskSucceeded(**ended, result=f"{{'charged': True, 'amount': {bits % 10_007}}}", runtime=run)
    return begin, [start, end]


def _traceback(random: Random) -> str:
    frames = [
        _FRAME.format(random.choice(["tasks", "orders", "stock"]), random.randrange(900), verb, verb)
        for verb in random.choices(["charge", "deliver", "reserve", "notify", "cancel", "refund"], k=13)
    ]
    return _HEAD + "".join(frames)
