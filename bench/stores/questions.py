"""What the engines are asked, each question many times with other values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import TYPE_CHECKING, Final

from stores.history import CITIES, DAY, DAYS, END, NAMES, QUEUES, START, WORKERS
from umbel.model.query import EVERYTHING, And, Compare, Field, Node, Op, Page

if TYPE_CHECKING:
    from stores.engines import Reading
    from stores.table import Table

#: Times that a question is asked, and seconds after which it is asked no more.
TIMES: Final = 60
ENOUGH: Final = 20.0
#: Seconds in which a first part of an answer is to come.
SOON: Final = 0.15

Ask = Callable[[], None]


def questions(engine: Reading | Table) -> Mapping[str, Callable[[Random], Ask]]:
    """By title: what makes one question."""

    def page(where: Node, within: float | None = None) -> Ask:
        return lambda: engine.tasks(where, Page(50, within=within))

    def text(value: str) -> Node:
        return Compare(Field.TEXT, Op.CONTAINS, value)

    def days_back(random: Random) -> Node:
        return Compare(Field.RECEIVED, Op.LT, random.uniform(START + DAY, END))

    return {
        "newest 50": lambda _: page(EVERYTHING),
        "50 from days back": lambda random: page(days_back(random)),
        "one by id, absent": lambda random: lambda: engine.task(f"{random.getrandbits(128):032x}"),
        "any combination of filters, 50": lambda random: page(combination(random)),
        "count of a combination": lambda random: lambda: engine.count(combination(random)),
        "text, absent": lambda random: page(text(f"nowhere-{random.getrandbits(32):08x}")),
        "text, rare: one customer": lambda random: page(text(f"customer-{random.randrange(999_983)}@")),
        "text, rare: one order": lambda random: page(text(f"order {random.randrange(0xFFFFF)} is gone")),
        "text, common": lambda random: page(text(random.choice(CITIES))),
        "text, common pieces, absent": lambda _: page(text("please deliver to the store")),
        "text of two letters, absent": lambda _: page(text("~~")),
        "… first part of the answer": lambda _: page(text("~~"), SOON),
        "names over 24 hours": lambda random: _span(engine, random, 1),
        "names over 14 days": lambda random: _span(engine, random, DAYS),
        "heatmap of 24 hours": lambda _: lambda: engine.over_time(END - DAY, END, 600),
        "heatmap of 14 days": lambda _: lambda: engine.over_time(START, END, 7_200),
    }


def _span(engine: Reading | Table, random: Random, days: int) -> Ask:
    end = END - random.uniform(0, DAY / 2)
    return lambda: engine.by_name(end - days * DAY, end)


def combination(random: Random) -> Node:
    """One to five of state, name, worker, queue, span of time, bound of the run time."""
    since = random.uniform(START, END - DAY)
    nodes: list[tuple[Compare, ...]] = [
        (Compare(Field.STATE, Op.EQ, random.choice(["FAILURE", "SUCCESS", "REVOKED"])),),
        (Compare(Field.NAME, Op.EQ, NAMES[min(199, int(random.paretovariate(0.4)) - 1)]),),
        (Compare(Field.WORKER, Op.EQ, random.choice(WORKERS)),),
        (Compare(Field.QUEUE, Op.EQ, random.choice(QUEUES)),),
        (
            Compare(Field.RECEIVED, Op.GE, since),
            Compare(Field.RECEIVED, Op.LT, since + random.choice([600, 3_600, DAY, 7 * DAY])),
        ),
        (Compare(Field.RUN, random.choice([Op.GT, Op.LT]), random.choice([0.01, 0.1, 1.0, 5.0, 20.0])),),
    ]
    chosen = random.sample(nodes, random.randint(1, 5))
    return And(tuple(one for some in chosen for one in some))


def measure(
    engine: Reading | Table, clock: Callable[[], float], only: str = ""
) -> dict[str, tuple[float, float, float]]:
    """By title: p50, p95 and the longest of the answers, in milliseconds of that clock."""
    found = {}
    for title, make in questions(engine).items():
        if only not in title:
            continue
        random = Random(title)
        make(random)()
        times: list[float] = []
        while len(times) < TIMES and sum(times) < ENOUGH:
            ask = make(random)
            started = clock()
            ask()
            times.append(clock() - started)
        ordered = sorted(times)
        p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
        found[title] = (ordered[len(ordered) // 2] * 1e3, p95 * 1e3, ordered[-1] * 1e3)
    return found
