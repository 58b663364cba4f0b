"""The package as it is built and shipped: its version, its dependencies, the assets without which it is refused."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

import umbel

ROOT = Path(__file__).resolve().parents[1]
VENDOR = Path("src/umbel/web/static/vendor")
HOOK = runpy.run_path(str(ROOT / "hatch_build.py"))
COPIED = {
    target: name
    for name, files in runpy.run_path(str(ROOT / "scripts/assets.py"))["FILES"].items()
    for target in files.values()
}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found
    return found[0].lower()


def _documented() -> set[str]:
    """The names at the beginning of the tables' rows."""
    text = (ROOT / "docs/dependencies.md").read_text()
    return {name.lower() for name in re.findall(r"^\| `?([A-Za-z0-9._-]+)`? *\|", text, re.MULTILINE)}


def _build(tree: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tree / "dist")]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=100, check=False)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what a wheel is built from, without the vendored assets."""
    for name in ("pyproject.toml", "hatch_build.py", "LICENSE", "README.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "vendor"))
    return tmp_path


def test_the_version_is_told_once_and_the_same(project: dict[str, Any]) -> None:
    assert project["project"]["version"] == umbel.__version__


def test_every_dependency_is_accounted_for(project: dict[str, Any]) -> None:
    listed = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    for group in [*project["project"]["optional-dependencies"].values(), *project["dependency-groups"].values()]:
        listed += group
    names = {_name(requirement) for requirement in listed}
    package = json.loads((ROOT / "package.json").read_text())
    names |= {*package["dependencies"], *package["devDependencies"]}
    assert names - _documented() == set(), "say in docs/dependencies.md why each of these is here"
    assert _documented() - names - {"name"} == set(), "docs/dependencies.md tells of what is no dependency"


def test_browser_libraries_are_pinned_exactly() -> None:
    versions = json.loads((ROOT / "package.json").read_text())["dependencies"]
    assert set(COPIED.values()) == set(versions)
    assert [version for version in versions.values() if not re.fullmatch(r"\d+\.\d+\.\d+", version)] == []


def test_what_the_build_requires_is_what_the_assets_script_copies() -> None:
    assert set(HOOK["REQUIRED"]) <= set(COPIED)
    assert HOOK["VENDOR"] == str(VENDOR)


def test_the_lock_names_public_registries_only() -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    sources = [package["source"] for package in lock["package"]]
    assert [s for s in sources if s not in ({"registry": "https://pypi.org/simple"}, {"editable": "."})] == []
    npm = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    origins = {package["resolved"].split("/")[2] for package in npm.values() if "resolved" in package}
    assert origins <= {"registry.npmjs.org"}


def test_no_wheel_without_its_assets(tree: Path) -> None:
    refused = _build(tree)
    assert refused.returncode != 0
    assert "uPlot.min.css" in refused.stderr
    assert "make assets" in refused.stderr
    assert not list(tree.glob("dist/*.whl"))


def test_the_wheel_holds_its_assets_and_what_is_not_python(tree: Path) -> None:
    vendored = ROOT / VENDOR
    assert vendored.is_dir(), "run make assets"
    shutil.copytree(vendored, tree / VENDOR)
    built = _build(tree)
    assert built.returncode == 0, built.stderr
    (wheel,) = tree.glob("dist/umbel-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    expected = {file.relative_to(tree / "src").as_posix() for file in (tree / "src/umbel").rglob("*") if file.is_file()}
    assert {f"umbel/web/static/vendor/{name}" for name in COPIED} <= expected
    assert expected - held == set(), "the wheel lacks these"
    assert [name for name in held - expected if ".dist-info/" not in name] == []


def test_celery_finds_the_command(project: dict[str, Any]) -> None:
    assert project["project"]["entry-points"]["celery.commands"] == {"umbel": "umbel.cli:celery_command"}
