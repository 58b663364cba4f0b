"""The few things that the spool's writer asks of the file system, so that tests can make any of them fail."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class Files(Protocol):
    """Every method raises `OSError`; a write that does may have written a part."""

    def create(self, path: Path) -> int:
        """Create a file, or empty it, for reading and writing; its descriptor."""
        ...

    def write(self, fd: int, parts: Sequence[bytes], offset: int) -> None:
        """Write all of `parts` at `offset`."""
        ...

    def truncate(self, fd: int, size: int) -> None: ...

    def allocate(self, fd: int, size: int) -> None:
        """Give the file `size` bytes of its own on the disk."""
        ...

    def replace(self, source: Path, target: Path) -> None: ...

    def unlink(self, path: Path) -> None: ...

    def sync(self, fd: int) -> None:
        """Have the file's data on the disk itself."""
        ...


class SystemFiles:
    """The machine's file system."""

    def create(self, path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def write(self, fd: int, parts: Sequence[bytes], offset: int) -> None:
        size = sum(map(len, parts))
        written = os.pwritev(fd, parts, offset)
        if written < size:
            # A disk that fills up takes a part and only refuses the next write.
            rest = memoryview(b"".join(parts))
            while written < size:
                written += os.pwrite(fd, rest[written:], offset + written)

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def allocate(self, fd: int, size: int) -> None:
        allocate(fd, size)

    def replace(self, source: Path, target: Path) -> None:
        source.replace(target)

    def unlink(self, path: Path) -> None:
        path.unlink()

    def sync(self, fd: int) -> None:
        if sys.platform == "linux":
            os.fdatasync(fd)
        else:
            os.fsync(fd)


def allocate(fd: int, size: int) -> None:
    """Give the file at least `size` bytes, what it holds untouched; on Linux their blocks too. Raises `OSError`."""
    if sys.platform == "linux":
        os.posix_fallocate(fd, 0, size)
    elif os.fstat(fd).st_size < size:
        os.ftruncate(fd, size)
