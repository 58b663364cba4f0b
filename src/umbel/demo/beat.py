"""The shop's beat, with what can go wrong with one: after some runs it forgets an entry.

Run by `World` as ``celery beat --scheduler=umbel.demo.beat:Forgetful``.
"""

from __future__ import annotations

from typing import Any

from celery.beat import Scheduler

#: The entry that is forgotten, and after how many runs.
FORGOTTEN, RUNS = "feed the marketplaces", 3


class Forgetful(Scheduler):  # type: ignore[misc]  # Celery has no types
    """Celery's own scheduler that keeps nothing on disk, and forgets `FORGOTTEN`."""

    def is_due(self, entry: Any) -> Any:
        """Whether to run it now, and in how many seconds to ask again."""
        if entry.name == FORGOTTEN and entry.total_run_count >= RUNS:
            return False, self.max_interval
        return super().is_due(entry)
