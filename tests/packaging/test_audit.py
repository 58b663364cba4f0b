"""`make audit` never says that all is well when nobody could be asked."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

JUDGED = runpy.run_path(str(Path(__file__).parents[2] / "scripts/audit.py"))["judged"]
FINE: dict[str, Any] = {"name": "fine", "version": "1", "vulns": []}
LEFT: dict[str, Any] = {"name": "left", "version": "1", "skip_reason": "not found on PyPI"}
WEAK: dict[str, Any] = {"name": "weak", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}


@pytest.mark.parametrize(
    ("packages", "status", "says"),
    [
        ([], 2, "nothing was looked up"),
        ([LEFT, LEFT], 2, "nothing was looked up"),
        ([FINE, LEFT], 2, "not looked up: left"),
        ([FINE, LEFT, WEAK], 1, "weak 1: PYSEC-1, mended in 2"),
        ([FINE], 0, "1 packages, no known weakness"),
    ],
)
def test_what_it_ends_with(packages: list[dict[str, Any]], status: int, says: str) -> None:
    ended, lines = JUDGED(packages)
    assert ended == status
    assert says in lines[0]
