"""What filters look at, as indexes of a part that is over: equal entries share one, of some seven bytes a task.

In the newest part such indexes would be written with every update: there tasks are walked, but for their names.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

#: Characters of a text in an index; see the migrations.
INDEXED: Final = 200
#: Seconds at which buckets of durations begin, but for the lowest.
BOUNDS: Final = tuple(
    round(mantissa * 10.0**exponent, 6) for exponent in range(-3, 6) for mantissa in (1, 1.5, 2, 3, 5, 7)
)
_BOUNDS: Final = "'{" + ",".join(map(repr, BOUNDS)) + "}'::double precision[]"

#: By the end of the index's name: what it is of.
FACETS: Final = {
    "state": "btree (state)",
    "worker": f"btree (left(worker, {INDEXED}))",
    "queue": f"btree (left(queue, {INDEXED}))",
    "run": f"btree (width_bucket(run, {_BOUNDS}))",
    "wait": f"btree (width_bucket(wait, {_BOUNDS}))",
}


def bucket(column: str) -> str:
    """SQL for the bucket of a duration."""
    return f"width_bucket({column}, {_BOUNDS})"


def bucket_of(seconds: float) -> int:
    """The same bucket; one that is greater holds no shorter durations."""
    return bisect_right(BOUNDS, seconds)
