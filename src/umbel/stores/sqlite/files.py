"""Where the files of a store are, and how one that cannot be used is set aside."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from umbel.errors import StoreError

#: What SQLite keeps beside a database file.
COMPANIONS: Final = ("-wal", "-shm")


def path_of(url: str) -> Path:
    """The path of the catalog that a URL such as `sqlite:///umbel.db` or `sqlite:////var/lib/umbel.db` names."""
    parts = urlsplit(url)
    path = unquote(parts.path).removeprefix("/")
    if parts.scheme != "sqlite" or parts.netloc or not path:
        raise StoreError(f"{url} names no file; give --store sqlite:///PATH, as in sqlite:////var/lib/umbel/umbel.db")
    return Path(path)


@dataclass(frozen=True, slots=True)
class Files:
    """The paths of a store: `catalog`, and beside it a directory with everything else."""

    catalog: Path

    @property
    def directory(self) -> Path:
        return self.catalog.with_name(self.catalog.name + ".segments")

    @property
    def lock(self) -> Path:
        return self.directory / "writer.lock"

    def segment(self, number: int, generation: int = 0) -> Path:
        """The file of a segment that was rewritten so often."""
        return _segment(self.catalog, number, generation)

    def sealing(self, number: int) -> Path:
        """The file into which a segment is being rewritten."""
        return self.directory / f"{number:06d}.sealing"

    def filter(self, group: int) -> Path:
        return self.directory / f"filter-{group:04d}.bits"

    def generations(self) -> dict[int, list[int]]:
        """The segment files that there are: by number, ascending, their generations, ascending."""
        found: dict[int, list[int]] = {}
        for file in sorted(self.directory.glob("*.db")):
            number, _, generation = file.stem.partition("-")
            if number.isdecimal() and (generation or "0").isdecimal():
                found.setdefault(int(number), []).append(int(generation or "0"))
        return {number: sorted(found[number]) for number in sorted(found)}

    def size(self) -> int:
        """Bytes of all files of the store, those set aside left out."""
        with_companions = [self.catalog, *(companion(self.catalog, suffix) for suffix in COMPANIONS)]
        total = sum(size(file) for file in with_companions)
        try:
            with os.scandir(self.directory) as entries:
                return total + sum(size(Path(entry.path)) for entry in entries if ".db." not in entry.name)
        except FileNotFoundError:
            return total


@lru_cache(4_096)
def _segment(catalog: Path, number: int, generation: int) -> Path:
    # A search asks for each of them several times, and making a path takes as long as SQLite does for an answer.
    name = f"{number:06d}-{generation}.db" if generation else f"{number:06d}.db"
    return Files(catalog).directory / name


def number_of(file: Path) -> int:
    """The number of the segment that a file is of."""
    return int(file.name[: len(file.name) - len(file.name.lstrip("0123456789"))])


def companion(file: Path, suffix: str) -> Path:
    """The file that SQLite keeps beside `file` under this suffix."""
    return file.with_name(file.name + suffix)


def size(file: Path) -> int:
    """Bytes of a file, 0 if it is not there."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def with_companions(file: Path) -> int:
    """Bytes of a database file and what SQLite keeps beside it."""
    return size(file) + sum(size(companion(file, suffix)) for suffix in COMPANIONS)


def delete(file: Path) -> int:
    """Delete a database file and what SQLite keeps beside it; the bytes that were freed."""
    freed = with_companions(file)
    for name in (*(companion(file, suffix) for suffix in COMPANIONS), file):
        name.unlink(missing_ok=True)
    return freed


def set_aside(file: Path, now: float, why: str) -> Path:
    """Rename a file, and what SQLite keeps beside it, after `why` and the date; the new path."""
    date = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S")
    target = file.with_name(f"{file.name}.{why}-{date}")
    count = 1
    while target.exists():
        count += 1
        target = file.with_name(f"{file.name}.{why}-{date}.{count}")
    for suffix in ("", *COMPANIONS):
        old = companion(file, suffix)
        if old.exists():
            old.rename(companion(target, suffix))
    return target
