"""What beat should run and when, as the web asks for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Planned:
    """One entry of a schedule; times are UTC seconds, durations seconds."""

    name: str
    task: str
    #: Where it was read: `app`, `RedBeat` or `Django`.
    source: str
    #: "every 30 s", the five fields of a crontab, or "once".
    when: str
    #: Seconds between runs, each counted from the run before; None where a calendar says when.
    every: float | None
    #: Where a calendar says when: the latest times that it was due, the oldest first.
    dues: tuple[float, ...] = ()
    #: When it is due next; None where that is not known.
    next_at: float | None = None
    #: As beat itself notes it; None where it does not tell.
    last_run_at: float | None = None
    #: As Celery writes them in events.
    args: str = ""
    kwargs: str = ""
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """All entries that could be read."""

    items: Sequence[Planned]
    #: What was looked at, in words.
    sources: Sequence[str]
    #: What could not be read, why, and what to do.
    problems: Sequence[str]


#: Reads the plan as of a moment (UTC seconds); may take a few seconds; raises nothing of its own.
ReadPlan = Callable[[float], Plan]
