"""Programs of the dependency group `packaging`."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.services import missing


def tool(name: str) -> Path:
    """Its path in this environment; skips the test where it is not, and fails it in CI."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        missing(name, "run make test, which installs the dependency group packaging")
    return path
