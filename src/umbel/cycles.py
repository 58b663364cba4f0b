"""When garbage in cycles is looked for, in a process that makes millions of objects and hardly any cycle."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

#: Seconds between two looks at all objects; each takes some 25 ms for 60,000 objects.
EVERY: Final = 30.0


@contextmanager
def without_cycles() -> Iterator[None]:
    """Look for no garbage in cycles meanwhile: what a batch makes has none, and the looking is dear."""
    gc.disable()
    try:
        yield
    finally:
        # What was made meanwhile counts as old: or the next look would begin with all of it.
        gc.freeze()
        gc.unfreeze()
        gc.enable()


class Cycles:
    """Looks for the cycles that others make: each command to workers leaves a connection to the broker in one.

    Python looks at old objects when many have grown old in its own rounds, and past `without_cycles` none do.
    """

    def __init__(self, now: float) -> None:
        """`now`: monotonic seconds, as below."""
        self._due = now + EVERY

    def look(self, now: float) -> None:
        """Free the garbage in cycles, if it is time to."""
        if now >= self._due:
            self._due = now + EVERY
            gc.collect()
