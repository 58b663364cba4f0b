"""Versions of a stored form: one SQL script a step, `NNN_name.sql`, applied in order and never changed afterwards."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from umbel.errors import StoreError

_FILE: Final = re.compile(r"(\d{3})_(\w+)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """The step that leads from version `version - 1` to `version`."""

    version: int
    name: str
    script: str


def load(directory: Path) -> Sequence[Migration]:
    """The steps in a directory, numbered from 1 without a gap; raises `StoreError` for anything else."""
    found: list[Migration] = []
    for file in sorted(directory.glob("*.sql")):
        match = _FILE.fullmatch(file.name)
        if match is None or int(match[1]) != len(found) + 1:
            raise StoreError(f"{file.name} in {directory} does not follow {len(found):03d}_*.sql; number it in order")
        found.append(Migration(int(match[1]), match[2], file.read_text(encoding="utf-8")))
    return found


def pending(migrations: Sequence[Migration], version: int, what: str) -> Sequence[Migration]:
    """The steps that `what`, at `version`, still needs; raises `StoreError` if a newer Umbel has written it."""
    if version > len(migrations):
        raise StoreError(
            f"{what} was written by a newer Umbel (its format is {version}, this one knows {len(migrations)}): "
            "upgrade Umbel to read it"
        )
    return migrations[version:]
