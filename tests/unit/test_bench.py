"""The benchmarks are programs of their own: each at least finds all its parts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent.parent.parent / "bench"


@pytest.mark.parametrize("program", sorted(path.name for path in BENCH.glob("*.py")))
def test_a_benchmark_finds_what_it_imports(program: str) -> None:
    code = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='imported')"
    done = subprocess.run(
        [sys.executable, "-c", code, BENCH / program], cwd=BENCH, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
