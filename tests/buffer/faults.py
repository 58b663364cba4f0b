"""A file system that fills up, fails or takes its process with it, when told."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from umbel.buffer.files import SystemFiles
from umbel.buffer.reader import SpoolReader
from umbel.buffer.writer import SpoolWriter


class Killed(BaseException):
    """The process died here."""


class FaultyFiles(SystemFiles):
    """Refuses to let files grow while `full`; dies in the operation number `kill_in` from now, `done` of it done."""

    def __init__(self) -> None:
        self.full = False
        self.code = errno.ENOSPC
        self.kill_in: int | None = None
        self.done = 0.0
        self.operations = 0

    def create(self, path: Path) -> int:
        self._step()
        if self.full and not path.exists():
            raise OSError(self.code, os.strerror(self.code))
        return super().create(path)

    def write(self, fd: int, parts: Sequence[bytes], offset: int) -> None:
        raw = b"".join(parts)
        try:
            self._step()
        except Killed:
            os.pwrite(fd, raw[: int(len(raw) * self.done)], offset)
            raise
        room = os.fstat(fd).st_size - offset
        if self.full and len(raw) > room:
            # As a real disk does: it takes what it can, then refuses.
            os.pwrite(fd, raw[: max(0, room) + 10], offset)
            raise OSError(self.code, os.strerror(self.code))
        super().write(fd, (raw,), offset)

    def truncate(self, fd: int, size: int) -> None:
        self._step()
        super().truncate(fd, size)

    def allocate(self, fd: int, size: int) -> None:
        self._step()
        if self.full and os.fstat(fd).st_size < size:
            raise OSError(self.code, os.strerror(self.code))
        super().allocate(fd, size)

    def replace(self, source: Path, target: Path) -> None:
        self._step()
        super().replace(source, target)

    def unlink(self, path: Path) -> None:
        self._step()
        super().unlink(path)

    def sync(self, fd: int) -> None:
        """Nothing: what survives a crash of the machine is not looked at here."""

    def _step(self) -> None:
        self.operations += 1
        if self.kill_in is not None:
            self.kill_in -= 1
            if self.kill_in <= 0:
                self.kill_in = None
                raise Killed


def kill_writer(writer: SpoolWriter) -> None:
    """What the system does when the writer's process dies: close its files, and nothing else."""
    writer._appender.close()
    writer._cells.close()
    writer._read.close()


def kill_reader(reader: SpoolReader) -> None:
    """As `kill_writer`; a reader has nothing to write at its end anyway."""
    reader.close()
