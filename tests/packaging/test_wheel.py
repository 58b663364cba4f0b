"""What `make package` makes: the same bytes each time, and enough to run without Node or a checkout."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.services import missing
from tests.support.umbel import UmbelProcess

ROOT = Path(__file__).resolve().parents[2]
ASSETS = {"htmx.min.js", "uPlot.iife.min.js", "uPlot.min.css"}


def build(tree: Path, out: Path) -> dict[str, bytes]:
    """Both distributions by name; the build sees no clock and no git."""
    words = [sys.executable, "-m", "hatchling", "build", "-d", str(out)]
    subprocess.run(
        words, cwd=tree, capture_output=True, check=True, env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    )
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert (ROOT / "src/umbel/web/static/vendor").is_dir(), "run make assets"
    tree = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", "hatch_build.py", "LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, tree)
    for name in ("src", "docs"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tree


@pytest.fixture(scope="module")
def built(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    build(tree, out)
    return out


def test_the_same_tree_makes_the_same_bytes(tree: Path, built: Path, tmp_path: Path) -> None:
    elsewhere = shutil.copytree(tree, tmp_path / "elsewhere")
    for path in elsewhere.rglob("*.py"):
        os.utime(path, (1, 1))
    again = build(elsewhere, tmp_path / "dist")
    assert {name: hashlib.sha256(raw).hexdigest() for name, raw in again.items()} == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in built.iterdir()
    }


def test_wheel_and_sdist_hold_their_assets(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert {name.rpartition("/")[2] for name in archive.namelist()} >= ASSETS
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as files:
        assert {name.rpartition("/")[2] for name in files.getnames()} >= ASSETS


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_wheel_in_an_empty_environment_without_node_runs_the_demo(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    place = tmp_path / "venv"
    venv.create(place)
    # The versions of the lock file, so that a release of today does not decide about this test.
    words = [
        "export",
        "--quiet",
        "--frozen",
        "--no-default-groups",
        "--extra",
        "demo",
        "--no-emit-project",
        "--no-hashes",
    ]
    locked = subprocess.run([uv(), *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (tmp_path / "locked.txt").write_text(locked)
    words = ["pip", "install", "--quiet", "--python", str(place), "-r", str(tmp_path / "locked.txt"), str(wheel)]
    subprocess.run([uv(), *words], check=True, timeout=300)
    env = {"PATH": str(place / "bin"), "TMPDIR": str(tmp_path), "PYTHONPATH": ""}
    with UmbelProcess("demo", directory=tmp_path, env=env, python=place / "bin/python") as umbel:
        umbel.wait_for(umbel.healthy, "the demo's pages")
        umbel.wait_for(lambda: umbel.json("/api/v1/tasks/count?q=state:SUCCESS")["count"] > 0, "tasks of the demo")
        vendored = re.findall(r'(?:href|src)="(/static/[^"]*vendor/[^"]*)"', umbel.get("/").decode())
        assert len(vendored) == len(ASSETS)
        assert all(umbel.get(address) for address in vendored)
        assert umbel.stop() == 0


def uv() -> str:
    """The uv of this environment, or of the machine."""
    here = Path(sys.executable).with_name("uv")
    return str(here) if here.exists() else shutil.which("uv") or missing("uv", "run make test, which installs it")
