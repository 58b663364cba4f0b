"""Durations in fixed log-spaced buckets: counts add and subtract, so a late event can correct them.

Bucket b > 0 holds durations whose logarithm base `GAMMA` is nearest to b - `OFFSET`; the value given back is at most
2 % off. Bucket 0 holds durations under `SMALLEST` seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

GAMMA: Final = 1.04
#: Seconds; what is shorter counts as this.
SMALLEST: Final = 1e-4
#: Seconds; what is longer counts as this (about a year).
LARGEST: Final = 3.2e7
_SCALE: Final = 1 / math.log(GAMMA)
_log: Final = math.log
_LOG_LARGEST: Final = math.log(LARGEST)
OFFSET: Final = 1 - round(math.log(SMALLEST) * _SCALE)
#: Buckets are 0 to BUCKETS - 1.
BUCKETS: Final = round(math.log(LARGEST) * _SCALE) + OFFSET + 1


def bucket(seconds: float) -> int:
    """The bucket of a duration in seconds; negative ones count as 0."""
    if seconds < SMALLEST:
        return 0
    if seconds > LARGEST:
        seconds = LARGEST
    return round(_log(seconds) * _SCALE) + OFFSET


def buckets(durations: Iterable[float]) -> list[int]:
    """The bucket of each duration, as `bucket` gives it, for less."""
    return [
        0 if seconds < SMALLEST else round((_log(seconds) if seconds < LARGEST else _LOG_LARGEST) * _SCALE) + OFFSET
        for seconds in durations
    ]


def value(index: int) -> float:
    """The duration in seconds that stands for a bucket."""
    return SMALLEST if index <= 0 else GAMMA ** (index - OFFSET)


def quantile(histogram: Mapping[int, int], q: float) -> float | None:
    """The duration in seconds that a share `q` (0 to 1) of the counts does not exceed; None when there are none."""
    total = sum(histogram.values())
    if total <= 0:
        return None
    rank = q * total
    seen = 0
    for index in sorted(histogram):
        seen += histogram[index]
        if seen >= rank and histogram[index] > 0:
            return value(index)
    return value(max(histogram))
