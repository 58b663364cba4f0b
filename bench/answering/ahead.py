"""`python ahead.py SECONDS ...` is `umbel ...` with a clock SECONDS ahead of the machine's: a history ends just now."""

from __future__ import annotations

import sys
import time

from umbel.cli import main
from umbel.clock import SystemClock


def run() -> None:
    ahead = float(sys.argv.pop(1))

    def now(self: SystemClock) -> float:  # noqa: ARG001 - it is a method
        return time.time() + ahead

    SystemClock.now = now  # type: ignore[method-assign]  # every part has its time from there
    main()


if __name__ == "__main__":
    run()
