"""Which tasks have ended: a bounded queue on disk from the collector to whoever makes traces of them.

The collector notes ids before it commits, so that no end that is stored is missing here; one that comes twice does no
harm. A full queue or disk takes no more: what is refused is counted, and the collector waits for nothing. Files of a
megabyte, numbered; a line is a JSON array, the commit's wall time (UTC seconds) and the ids. The reader deletes what it
is done with.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from umbel.logs import Limited
from umbel.private import private_directory

log = logging.getLogger(__name__)
limited = Limited(log)

#: Bytes on disk, about 1.6 million ids; bytes of one file.
LIMIT: Final = 64 << 20
FILE: Final = 1 << 20
#: Ids of one line, and so of what is read at once.
LINE: Final = 500
#: The file with the reader's position.
_MARK: Final = "position"


def _files(directory: Path) -> list[int]:
    """The numbers of the files that are there, in order."""
    return sorted(int(path.stem) for path in directory.glob("*.ids") if path.stem.isdigit())


def _file(directory: Path, number: int) -> Path:
    return directory / f"{number:012d}.ids"


def _position(directory: Path) -> tuple[int, int]:
    """Where the reader is: number of the file, offset; (0, 0) at the beginning."""
    try:
        number, _, offset = (directory / _MARK).read_text().partition(" ")
        return int(number), int(offset)
    except (FileNotFoundError, ValueError):
        return 0, 0


def waiting(directory: Path) -> int:
    """Bytes of all files."""
    total = 0
    for number in _files(directory):
        try:
            total += _file(directory, number).stat().st_size
        except FileNotFoundError:
            # The reader is done with it meanwhile.
            continue
    return total


class EndingsWriter:
    """The collector's side: one for each directory; no method raises for what the disk does."""

    def __init__(self, directory: Path, limit: int = LIMIT, file: int = FILE) -> None:
        self._directory = directory
        self._limit = limit
        self._file = file
        self._descriptor: int | None = None
        self._written = 0
        self._used = 0
        #: Tasks that could not be noted.
        self.refused = 0

    def note(self, at: float, ids: Sequence[str]) -> None:
        """Note that these tasks end in the commit of the moment `at`."""
        for start in range(0, len(ids), LINE):
            some = list(ids[start : start + LINE])
            line = json.dumps([at, some]).encode() + b"\n"
            try:
                if self._room(len(line)):
                    self._write(line)
                    continue
                why = f"{self._limit:,} bytes wait already"
            except OSError as error:
                why = error.strerror or str(error)
                self.close()
            self.refused += len(some)
            limited.warning("endings", f"ended tasks will have no traces: {self._directory}: {why}", len(some))

    def _room(self, size: int) -> bool:
        if self._descriptor is None:
            private_directory(self._directory)
            self._used = waiting(self._directory)
        if self._used + size > self._limit:
            # The reader may have made room.
            self._used = waiting(self._directory)
        return self._used + size <= self._limit

    def _write(self, line: bytes) -> None:
        if self._descriptor is None or self._written + len(line) > self._file:
            self.close()
            # Beyond the reader's position too, whoever may have removed files.
            number = max(*_files(self._directory), _position(self._directory)[0], 0) + 1
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(_file(self._directory, number), flags, 0o600)
            self._written = 0
        done = os.write(self._descriptor, line)
        self._written += done
        self._used += done
        if done < len(line):
            # The reader passes over a line without an end once another file follows.
            self.close()
            raise OSError(0, "the disk is full")

    def close(self) -> None:
        """Let go of the file; the next note begins another."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@dataclass(frozen=True, slots=True)
class Ended:
    """One line: tasks that ended in one commit."""

    #: Wall time of the commit, UTC seconds.
    at: float
    ids: Sequence[str]
    #: Where the next line begins: number of the file, offset.
    after: tuple[int, int]


class EndingsReader:
    """The other side; methods raise `OSError`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._at = _position(directory)

    def next(self) -> Ended | None:
        """The next line, the same one until `done`; None where nothing waits."""
        while True:
            numbers = [number for number in _files(self._directory) if number >= self._at[0]]
            if not numbers:
                return None
            number = numbers[0]
            offset = self._at[1] if number == self._at[0] else 0
            with _file(self._directory, number).open("rb") as file:
                file.seek(offset)
                line = file.readline()
            self._at = number, offset
            if line.endswith(b"\n"):
                after = number, offset + len(line)
                try:
                    at, ids = json.loads(line)
                    return Ended(float(at), [str(id_) for id_ in ids], after)
                except (ValueError, TypeError) as error:
                    limited.warning("endings", f"a line of {_file(self._directory, number)} is damaged: {error}")
                    self._at = after
            elif len(numbers) > 1:
                self._at = numbers[1], 0
                self._forget()
            else:
                return None

    def done(self, ended: Ended) -> None:
        """Go on behind this line, also after a restart."""
        self._at = ended.after
        fresh = self._directory / f"{_MARK}.new"
        fresh.touch(mode=0o600)
        fresh.write_text(f"{ended.after[0]} {ended.after[1]}\n")
        fresh.replace(self._directory / _MARK)
        self._forget()

    def _forget(self) -> None:
        for number in _files(self._directory):
            if number < self._at[0]:
                _file(self._directory, number).unlink(missing_ok=True)

    def waiting(self) -> int:
        """Bytes that wait."""
        return max(0, waiting(self._directory) - self._at[1])
