"""How busy the shop is: a slow wave, and a rush each minute."""

from __future__ import annotations

import math

#: Orders a second, on average and outside of the rush.
RATE = 4.0
#: A rush each so many seconds, from and to these seconds of them, and how many times the usual orders it brings.
MINUTE, RUSH_FROM, RUSH_TO, RUSH = 60.0, 40.0, 48.0, 3.0
#: A wave each so many seconds, this much above and below.
WAVE, SWING = 23.0, 0.3


def orders_per_second(elapsed: float, rate: float) -> float:
    """How many orders a second come in, `elapsed` seconds after the opening, where `rate` is the usual number."""
    rush = RUSH if RUSH_FROM <= elapsed % MINUTE < RUSH_TO else 1.0
    return rate * rush * (1.0 + SWING * math.sin(math.tau * elapsed / WAVE))
