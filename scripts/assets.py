"""Copies what the pages need from node_modules to src/umbel/web/static/vendor, and nothing else.

Run by `make assets` after `npm ci`. Needs only Python's standard library.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENDOR = ROOT / "src/umbel/web/static/vendor"

#: File in a package -> its name in the vendor directory. A licence goes wherever its code goes.
FILES: dict[str, dict[str, str]] = {
    "htmx.org": {
        "dist/htmx.min.js": "htmx.min.js",
        "LICENSE": "htmx.LICENSE.txt",
    },
    "uplot": {
        "dist/uPlot.iife.min.js": "uPlot.iife.min.js",
        "dist/uPlot.min.css": "uPlot.min.css",
        "LICENSE": "uPlot.LICENSE.txt",
    },
}


def pinned() -> dict[str, str]:
    """The exact version of each package, as package.json has it."""
    versions: dict[str, str] = json.loads((ROOT / "package.json").read_text())["dependencies"]
    return versions


def check_version(package: Path, wanted: str) -> None:
    """Exit with a message unless `package` is installed in just the version that package.json names."""
    manifest = package / "package.json"
    if not manifest.is_file():
        sys.exit(f"{package} is not there. Run `make assets`, which runs `npm ci` first.")
    found = json.loads(manifest.read_text())["version"]
    if found != wanted:
        sys.exit(f"{package} is version {found}, package.json wants {wanted}. Run `make clean assets`.")


def main() -> None:
    """Replace the vendor directory by fresh copies."""
    versions = pinned()
    for name in FILES:
        check_version(ROOT / "node_modules" / name, versions[name])
    shutil.rmtree(VENDOR, ignore_errors=True)
    VENDOR.mkdir(parents=True)
    for name, files in FILES.items():
        for source, target in files.items():
            shutil.copyfile(ROOT / "node_modules" / name / source, VENDOR / target)
        print(f"{name} {versions[name]}: {', '.join(files.values())}")


if __name__ == "__main__":
    main()
