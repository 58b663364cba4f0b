"""SQL kept in files beside its store: `-- name: some_name` begins a statement, which ends where the next one begins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from umbel.errors import StoreError

_NAME: Final = re.compile(r"^-- name: (\w+)[^\n]*\n", re.MULTILINE)


def load(file: Path) -> Mapping[str, str]:
    """The statements of a file by name, without their comments; raises `StoreError` for a name that stands twice."""
    pieces = _NAME.split(file.read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    for name, sql in zip(pieces[1::2], pieces[2::2], strict=True):
        if name in found:
            raise StoreError(f"{file.name} has two statements named {name}; rename one of them")
        found[name] = _plain(sql)
    return found


def _plain(sql: str) -> str:
    lines = (line for line in sql.splitlines() if not line.lstrip().startswith("--"))
    return "\n".join(lines).strip().removesuffix(";")
