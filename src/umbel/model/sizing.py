"""How many messages a batch may have, by how long the commits of such batches take."""

from __future__ import annotations

from typing import Final

#: A commit should take about this many seconds; batches shrink above twice of it.
COMMIT_TARGET: Final = 0.2
#: Seconds of our own work in a commit below which a slow one is not the fault of its size: the processors are taken, or
#: the disk or the server is slow, and smaller batches would only cost more an event.
LIGHT: Final = COMMIT_TARGET / 4
FIRST_MESSAGES: Final = 5_000
MIN_MESSAGES: Final = 100
MAX_MESSAGES: Final = 20_000


class BatchSize:
    """The bound of the next batch."""

    def __init__(self) -> None:
        self.messages = FIRST_MESSAGES

    def note(self, seconds: float, work: float, *, full: bool) -> None:
        """Size the next batch by a commit that took so many seconds, so many of them of our own processor time.

        `full`: the batch had all that it might; one that is not tells nothing of a larger one.
        """
        if seconds > 2 * COMMIT_TARGET and work > 2 * LIGHT:
            self.messages = max(MIN_MESSAGES, self.messages // 2)
        elif full and (seconds < COMMIT_TARGET or work < LIGHT):
            quick = seconds < COMMIT_TARGET / 2 or work < LIGHT / 2
            self.messages = min(MAX_MESSAGES, self.messages + self.messages // (1 if quick else 4))
