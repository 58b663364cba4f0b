"""Files and directories for our own user alone, whatever the umask, also where they were there before."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from umbel.logs import Limited

log = logging.getLogger(__name__)
limited = Limited(log)

#: Rights of the group and of others.
_OTHERS: Final = 0o077


def private_directory(path: Path) -> None:
    """Make the directory, with its parents, and close it to others; raises `OSError` where it cannot be made."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    _close(path)


def private_file(path: Path) -> None:
    """Make the file where it is not there, and close it to others; raises `OSError` where it cannot be made."""
    # An open file is not opened again: closing it would release SQLite's locks on it.
    if not path.exists():
        path.touch(mode=0o600)
    _close(path)


def close_to_others(path: Path) -> None:
    """Close a file to others, if it is there."""
    if path.exists():
        _close(path)


def _close(path: Path) -> None:
    mode = path.stat().st_mode & 0o777
    if not mode & _OTHERS:
        return
    try:
        path.chmod(mode & ~_OTHERS)
    except PermissionError as error:
        limited.warning(f"private {path}", f"others may read {path}, which is not ours to close: {error.strerror}")
