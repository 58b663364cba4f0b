"""Keeps what the demo writes in the test's own directory."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest

if sys.platform != "linux":
    collect_ignore_glob = ["test_world.py", "test_broker.py", "test_child.py"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory in which the demo makes its temporary ones; empty again when all is well."""
    path = tmp_path / "place"
    path.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    return path
