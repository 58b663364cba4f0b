"""Run as a program: kills the process groups it was told of once the process that told it is gone, however it went.

Reads lines from standard input: `+PGID` to guard a group, `-PGID` to forget it. The input ends when the teller does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys


def main() -> None:
    """Guard until the input ends, then kill what is left."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        sign, group = line[0], int(line[1:])
        if sign == "+":
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
