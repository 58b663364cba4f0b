"""The benchmarks are programs of their own: each at least finds all its parts."""

from __future__ import annotations

import runpy
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


def test_the_table_of_both_monitors_has_rows_that_one_of_them_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCH)
    table = runpy.run_path(str(BENCH / "flower.py"), run_name="imported")["Table"]()
    table.add("Flower", "kept", "1 %")
    table.add("Umbel", "kept", "100 %")
    table.add("Flower", "saving", "83 %")
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.lines(["Flower", "Umbel"])] == [
        ["", "Flower", "Umbel"],
        ["------", "------", "-----"],
        ["kept", "1 %", "100 %"],
        ["saving", "83 %", ""],
    ]
