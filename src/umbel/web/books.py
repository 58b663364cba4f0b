"""The arithmetic of the books: what was received in all, how fast it is stored, whether something is being lost."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

#: Seconds over which the rate is taken, and for which a loss counts as going on.
WINDOW: Final = 30.0
#: Moments remembered; views come at most twice a second.
MOMENTS: Final = 128


@dataclass(frozen=True, slots=True)
class Backlog:
    """Events captured and not committed, as counted by a part after its commit of `committed_at` (wall time)."""

    events: int
    committed_at: float


class Received:
    """Events captured in all: the store's books and the backlog, though both are read at slightly different times."""

    def __init__(self) -> None:
        self._received = 0
        self._committed = 0
        #: The greatest total told of this store: a counter for Prometheus, which takes any decrease for a restart.
        self.highest = 0

    def reckon(self, committed: int, committed_at: float, backlog: Backlog | None, rate: float) -> int:
        """The total, given what the books say was received up to the commit at `committed_at`; never less than that.

        A backlog counted before that commit still holds its events: what `rate` (events a second) says was
        committed since is taken off. The total does not shrink unless an exact count says so or the store is new.
        """
        if committed < self._committed:
            self._received = self.highest = 0
        self._committed = committed
        if backlog is None:
            self._received = committed
        elif backlog.committed_at >= committed_at:
            self._received = committed + backlog.events
        else:
            since = int(rate * (committed_at - backlog.committed_at))
            self._received = max(self._received, committed, committed + backlog.events - since)
        self.highest = max(self.highest, self._received)
        return self._received


@dataclass(frozen=True, slots=True)
class _Moment:
    at: float
    stored: int
    lost: int


class Trend:
    """Remembers the counts of the last half minute."""

    def __init__(self) -> None:
        self._moments: deque[_Moment] = deque(maxlen=MOMENTS)

    def add(self, at: float, stored: int, lost: int) -> tuple[float | None, bool]:
        """Events stored a second (None at the first moment), and whether the losses grew; `at` is monotonic seconds."""
        moments = self._moments
        if moments and stored < moments[-1].stored:
            moments.clear()
        moments.append(_Moment(at, stored, lost))
        # One older than the window stays: views may be rarer than that.
        while len(moments) > 2 and at - moments[1].at > WINDOW:
            moments.popleft()
        first = moments[0]
        if at <= first.at:
            return None, False
        return (stored - first.stored) / (at - first.at), lost > first.lost
