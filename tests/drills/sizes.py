"""How much of everything: each drill has one body, a short form for `make test` and a long one for `make drill`."""

from __future__ import annotations

from dataclasses import dataclass

import pytest


def forms(short: object, long: object, *, minutes: int) -> pytest.MarkDecorator:
    """Parametrises `size`: the short form, and the long one, which may take so many minutes."""
    return pytest.mark.parametrize(
        "size",
        [
            pytest.param(short, id="short", marks=pytest.mark.timeout(300)),
            pytest.param(long, id="long", marks=[pytest.mark.drill, pytest.mark.timeout(60 * minutes)]),
        ],
    )


@dataclass(frozen=True)
class Soak:
    """Tasks of so many names and workers at `rate` events a second; memory may grow to `growth` times."""

    tasks: int
    rate: int
    names: int
    workers: int
    growth: float


SOAK = forms(
    Soak(tasks=20_000, rate=6_000, names=2_000, workers=200, growth=1.3),
    Soak(tasks=1_530_000, rate=3_000, names=10_000, workers=2_000, growth=1.1),
    minutes=90,
)


@dataclass(frozen=True)
class Kill:
    """So many kills of each part, one every so many seconds in the mean, under `rate` events a second."""

    kills: int
    every: float
    #: Kills of the supervisor, which takes its whole family along.
    supervisors: int
    rate: int = 3_000


KILL = forms(Kill(kills=2, every=1.0, supervisors=1), Kill(kills=50, every=1.5, supervisors=50), minutes=60)


@dataclass(frozen=True)
class Stall:
    """The store takes nothing for so many seconds while events come in."""

    seconds: float
    rate: int
    #: Size of the small disk, as mount takes it.
    disk: str


STALL = forms(Stall(seconds=6, rate=3_000, disk="192m"), Stall(seconds=60, rate=20_000, disk="2g"), minutes=15)


@dataclass(frozen=True)
class Fill:
    """A spool of so many bytes fills with the collector stopped."""

    spool: str
    rate: int
    tasks: int


FILL = forms(Fill("4MiB", rate=3_000, tasks=15_000), Fill("16MiB", rate=20_000, tasks=200_000), minutes=15)


@dataclass(frozen=True)
class Away:
    """The broker is away for so many seconds: stopped, or hanging."""

    seconds: tuple[float, ...]
    hanging: float


AWAY = forms(Away(seconds=(1, 12), hanging=0), Away(seconds=(1, 10, 120), hanging=60), minutes=15)


@dataclass(frozen=True)
class Burst:
    """Events at one publisher's full speed, so many a message."""

    events: tuple[int, ...]
    together: tuple[int, ...] = (1, 10)


BURST = forms(Burst((100_000,)), Burst((300_000, 600_000)), minutes=20)


@dataclass(frozen=True)
class Look:
    """Somebody looks for so many seconds while events come in; the p99 of an answer in seconds, 0 for no bound."""

    seconds: float
    rate: int
    health: float
    page: float


#: The short form proves that answers come; how fast they are depends on the machine.
LOOK = forms(Look(5, 3_000, health=0, page=0), Look(60, 20_000, health=0.1, page=0.25), minutes=15)
