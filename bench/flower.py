"""Flower and Umbel in turn on the same Redis under the same load: what they keep, how soon, at what cost.

    python bench/flower.py [--quick] [--seconds 30] [--per-message 1]

Starts a Redis of its own on 127.0.0.1 and publishes what workers would. Needs the group `bench` (`make bench-flower`).
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

from versus import phases
from versus.monitors import MAX_TASKS, Flower, Umbel
from versus.phases import Kept, Make
from versus.publisher import Publisher
from versus.servers import Redis

#: Events a second.
LADDER: Final = (
    *(1_000, 2_000, 5_000, 8_000, 10_000, 12_000, 15_000, 20_000, 30_000, 40_000, 50_000, 65_000, 80_000),
    *(100_000, 125_000, 150_000, 200_000),
)
#: Each monitor's own way of being asked to survive: what a user would add, the strongest last.
SAVING: Final = {
    "Flower": (("--persistent=True",), ("--persistent=True", "--state_save_interval=5000")),
    "Umbel": ((),),
}


class Plan(NamedTuple):
    """How much of everything."""

    seconds: float
    ladder: Sequence[int]
    bursts: Sequence[int]
    #: Rates and events of the loads under which somebody looks at the pages.
    steady: Sequence[tuple[int, int]]
    kill_after: float


FULL: Final = Plan(30, LADDER, (100_000, 300_000), ((5_000, 400_000), (20_000, 400_000)), 12)
QUICK: Final = Plan(5, (5_000, 10_000, 20_000, 50_000, 100_000), (100_000,), ((5_000, 40_000),), 6)


class Table:
    """Rows by title, a column for each monitor; a cell that nothing was added to stays empty."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, str]] = {}

    def add(self, monitor: str, title: str, text: str) -> None:
        self._rows.setdefault(title, {})[monitor] = text
        print(f"  {title}: {text}", flush=True)

    def lines(self, monitors: Sequence[str]) -> list[str]:
        """The table as Markdown, its columns in this order."""
        rows = [["", *monitors]]
        rows += [[title, *(cells.get(name, "") for name in monitors)] for title, cells in self._rows.items()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        rows.insert(1, ["-" * width for width in widths])
        padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
        return [f"| {' | '.join(row)} |" for row in padded]


#: Notes a row of one monitor: title and text.
Add = Callable[[str, str], None]


def measure(make: Make, key: str, publisher: Publisher, plan: Plan, add: Add) -> float:
    """All rows of one monitor; gives its highest rate without loss."""
    best = climb(make, publisher, plan, add)
    for events in plan.bursts:
        kept = phases.burst(make, publisher, events)
        add(f"kept of a burst of {events:,}", f"{kept.share:.1%} (at {kept.published.rate:,.0f}/s)")
        add(f"last event of the burst of {events:,} visible after", seconds(kept.visible))
    for rate, events in plan.steady:
        look(make, publisher, rate, events, add)
    for extra in SAVING[key]:
        number = SAVING[key].index(extra) + 1
        found = phases.killed(make, publisher, 2_000, plan.kill_after, *extra)
        shown = f"{min(1.0, found.known / found.published):.1%} of {found.published:,} tasks"
        shown += f", up again in {found.start:.1f} s"
        add(f"kept over kill -9 ({number})", f"{shown} with {' '.join(extra)}" if extra else shown)
    return best


def climb(make: Make, publisher: Publisher, plan: Plan, add: Add) -> float:
    kept: list[Kept] = []
    lost: list[Kept] = []
    for step in phases.ladder(make, publisher, plan.ladder, plan.seconds):
        (kept if step.lossless else lost).append(step)
        print(f"  {described(step)}; Redis had no subscriber for {step.published.unheard:,} messages", flush=True)
    best = max((step.published.rate for step in kept), default=0.0)
    add(f"highest rate kept without loss for {plan.seconds:g} s", f"{best:,.0f} events/s")
    add("the lowest that lost something", described(min(lost, key=by_rate)) if lost else "none tried")
    return best


def by_rate(step: Kept) -> float:
    return step.published.rate


def described(step: Kept) -> str:
    return f"{step.published.rate:,.0f}/s: {step.share:.1%}, last seen after {seconds(step.visible)}"


def look(make: Make, publisher: Publisher, rate: int, events: int, add: Add) -> None:
    found = phases.steady(make, publisher, rate, events)
    kept, at = found.kept, f"at {rate:,}/s"
    add(f"kept {at} with somebody looking", f"{kept.share:.1%} of {kept.published.events:,}")
    add(f"last event visible after, {at}", seconds(kept.visible))
    add(f"tasks page p50 / p99, {at}", percentiles(found.pages))
    add(f"health p50 / p99, {at}", percentiles(found.health))
    add(f"of these without an answer, {at}", f"{found.failures} of {len(found.pages) + len(found.health)}")
    add(f"peak memory, {at}", f"{found.memory / 2**20:,.0f} MiB with {kept.tasks:,} tasks")


def seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.2f} s"


def percentiles(times: Sequence[float]) -> str:
    if not times:
        return "no answer"
    ordered = sorted(times)
    p50, p99 = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return f"{p50 * 1e3:,.0f} / {p99 * 1e3:,.0f} ms of {len(ordered)}"


def machine(redis: Redis, per_message: int) -> None:
    """What the figures hold for."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {os.cpu_count()} cores, {memory:.0f} GiB, {platform.platform()}")
    print(f"load average {os.getloadavg()[0]:.2f} before; Python {platform.python_version()}, {redis.version.strip()}")
    names = ("flower", "tornado", "celery", "kombu", "redis", "umbel")
    print(", ".join(f"{name} {version(name)}" for name in names))
    print(f"Flower: defaults, --max_tasks={MAX_TASKS}, FLOWER_UNAUTHENTICATED_API=true; Umbel: defaults")
    print(f"{per_message} event(s) a message; publisher, Redis, monitor and questioner share the cores", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less of everything: three to four minutes")
    parser.add_argument("--seconds", type=float, help="of each step of the ladder of rates")
    parser.add_argument("--per-message", type=int, default=1, choices=(1, 2, 5, 10, 25), help="events a message")
    parser.add_argument("--only", choices=("flower", "umbel"), help="one of the two")
    options = parser.parse_args()
    plan = QUICK if options.quick else FULL
    if options.seconds:
        plan = plan._replace(seconds=options.seconds)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as home, Redis(Path(home)) as redis:
        machine(redis, options.per_message)
        table = Table()
        best: dict[str, float] = {}
        kinds = [kind for kind in (Flower, Umbel) if options.only in (None, kind.__name__.lower())]
        for kind in kinds:
            print(f"{kind.name}", flush=True)
            add = partial(table.add, kind.name)
            with Publisher(redis.port, options.per_message) as publisher:
                best[kind.name] = measure(partial(kind, redis), kind.__name__, publisher, plan, add)
        print()
        first = best[kinds[0].name]
        for name, rate in best.items():
            table.add(name, "ratio of these rates", f"{rate / first:.1f}" if first else "-")
        print("\n".join(table.lines([kind.name for kind in kinds])))
        print(f"in {time.monotonic() - began:.0f} s; load average {os.getloadavg()[0]:.2f} after")


if __name__ == "__main__":
    main()
