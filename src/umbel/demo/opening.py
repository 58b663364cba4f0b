"""Run a module of the demo as soon as somebody listens to the broker's events: nothing of its first seconds is missed.

Run by `World` as ``python -m umbel.demo.opening SECONDS MODULE [ARGUMENT ...]``; it waits for so long at most. The
shop is imported meanwhile, so a worker that had to wait is ready as soon as one that had not.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable

from umbel.clock import Clock, SystemClock
from umbel.demo.shop.application import app

#: Seconds between two looks.
LOOK = 0.05


def await_audience(listeners: Callable[[], int], seconds: float, clock: Clock) -> bool:
    """Whether anybody listened within `seconds`."""
    end = clock.monotonic() + seconds
    while not listeners():
        if clock.monotonic() >= end:
            return False
        clock.sleep(LOOK)
    return True


def _listeners() -> int:
    """Patterns subscribed to: Umbel's. Workers subscribe as well, but only once they have passed here."""
    with app.connection_for_read() as connection:
        return int(connection.default_channel.client.pubsub_numpat())


def main() -> None:
    """Wait, then become the module, as ``python -m`` would run it."""
    seconds, module, *arguments = sys.argv[1:]
    await_audience(_listeners, float(seconds), SystemClock())
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
