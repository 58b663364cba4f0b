"""What should have run against what did: late, missed, or never seen."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final

#: Seconds after which what was due and has not run is late.
GRACE: Final = 30.0
#: Seconds by which a run may precede its due time: clocks differ.
EARLY: Final = 2.0
#: Share of an interval after which the next run of it is late.
SLACK: Final = 0.5


class Punctuality(StrEnum):
    """How an entry keeps to its plan, the worst first."""

    #: The one before the latest that was due has not run, or two intervals have passed.
    MISSED = "missed"
    #: It is due and has not run yet.
    LATE = "late"
    #: Nothing of it has been seen in the time that can be judged.
    UNSEEN = "unseen"
    #: It ran when it should, as far as can be told.
    ON_TIME = "on time"
    #: Too little is known to judge.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found; times are UTC seconds."""

    state: Punctuality
    last_at: float | None
    next_at: float | None
    #: Seconds by which it is late just now.
    late: float | None
    #: When it was due and did not run, the oldest first.
    missed: tuple[float, ...] = ()
    #: Due times that were judged, or gaps between runs.
    judged: int = 0


def by_calendar(
    dues: Sequence[float],
    next_at: float | None,
    runs: Sequence[float],
    now: float,
    known: Callable[[float, float], bool],
) -> Verdict:
    """Due times against runs, both ascending; `known` says whether a run between two moments would have been seen."""
    last_at = runs[-1] if runs else None
    missed, late, judged = [], None, 0
    for number, due in enumerate(dues):
        until = dues[number + 1] - EARLY if number + 1 < len(dues) else now
        if not known(due, until):
            continue
        judged += 1
        at = bisect_left(runs, due - EARLY)
        if at < len(runs) and runs[at] < max(until, due + EARLY):
            continue
        if number + 1 < len(dues):
            missed.append(due)
        elif now - due > GRACE:
            late = now - due
    return Verdict(_state(runs, judged, late, missed, last=dues[-2:-1]), last_at, next_at, late, tuple(missed), judged)


def by_interval(every: float, runs: Sequence[float], now: float, known: Callable[[float, float], bool]) -> Verdict:
    """Runs, ascending, that should follow each other after so many seconds."""
    patience = every * (1 + SLACK) + GRACE
    missed: list[float] = []
    judged = 0
    for before, after in pairwise(runs):
        if known(before, after):
            judged += 1
            if after - before > patience:
                missed.append(before + every)
    if not runs:
        state = Punctuality.UNSEEN if known(now - patience, now) else Punctuality.UNKNOWN
        return Verdict(state, None, None, None)
    last, due = runs[-1], runs[-1] + every
    late = now - due if now - last > patience and known(last, now) else None
    state = Punctuality.LATE if late is not None else Punctuality.ON_TIME
    if late is not None and late > every:
        state = Punctuality.MISSED
        missed.append(due)
    return Verdict(state, last, due, late, tuple(missed), judged + (late is not None))


def _state(
    runs: Sequence[float], judged: int, late: float | None, missed: Sequence[float], last: Sequence[float]
) -> Punctuality:
    if not judged:
        return Punctuality.UNKNOWN
    if not runs:
        return Punctuality.UNSEEN
    if last and last[0] in missed and late is not None:
        return Punctuality.MISSED
    if late is not None:
        return Punctuality.LATE
    return Punctuality.MISSED if last and last[0] in missed else Punctuality.ON_TIME
