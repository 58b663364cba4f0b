"""Become a command that dies with the process that started it, however that one dies.

Run as a file, by a bare interpreter: ``python -I -S leash.py PARENT_PID COMMAND [ARGUMENT ...]``. The kernel's
parent-death signal survives the exec, so the command itself needs to know nothing. It exists on Linux alone; elsewhere
a parent that is killed with SIGKILL leaves its children running, and they have to be stopped by hand.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

#: From <linux/prctl.h>.
PR_SET_PDEATHSIG = 1


def leashed(command: list[str]) -> list[str]:
    """The command line that runs `command` on a leash held by this process; `command` itself where there is none.

    The kernel watches the *thread* that starts it: let it be one that lives as long as the process, as the main one.
    """
    if sys.platform != "linux":
        return command
    return [sys.executable, "-I", "-S", str(Path(__file__)), str(os.getpid()), *command]


def main() -> None:
    """Ask the kernel for SIGKILL at the parent's death, then become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "prctl(PR_SET_PDEATHSIG)")
    # It may have died before we asked, and then no signal ever comes.
    if os.getppid() != parent:
        sys.exit(f"the process {parent} that started {command[0]} is gone")
    os.execvp(command[0], command)  # noqa: S606 - to become the command is the point


if __name__ == "__main__":
    main()
