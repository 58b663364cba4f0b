"""Looks what uv.lock names up among known weaknesses, by pip-audit; says plainly where nobody could be asked.

Ends with 0 if nothing is known, 1 for a known weakness, 2 where some could not be looked up: that is no all-clear.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def exported(uv: str, file: Path) -> None:
    """Write everything that Umbel and its extras bring, with hashes."""
    command = [uv, "export", "--quiet", "--frozen", "--no-default-groups", "--all-extras", "--no-emit-project"]
    subprocess.run([*command, "--format", "requirements-txt", "--output-file", str(file)], cwd=ROOT, check=True)


def asked(file: Path) -> tuple[list[dict[str, Any]], str]:
    """What pip-audit says of each package, and its complaints."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(file), "--disable-pip", "--require-hashes"]
    said = subprocess.run(
        [*command, "--format", "json", "--progress-spinner", "off", "--timeout", "15"],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        found: list[dict[str, Any]] = json.loads(said.stdout)["dependencies"]
    except (ValueError, KeyError):
        found = []
    return found, said.stderr.strip()


def judged(packages: Sequence[dict[str, Any]]) -> tuple[int, list[str]]:
    """The exit status, and what to say."""
    looked_up = [one for one in packages if "skip_reason" not in one]
    weak = [
        f"{one['name']} {one['version']}: {known['id']}, mended in {', '.join(known['fix_versions']) or 'none yet'}"
        for one in looked_up
        for known in one.get("vulns", ())
    ]
    if weak:
        return 1, weak
    if not looked_up:
        return 2, [
            "nothing was looked up: the advisory service (pypi.org) cannot be reached from here, or has no advisories"
        ]
    left = [one["name"] for one in packages if "skip_reason" in one]
    if left:
        return 2, [f"{len(looked_up)} packages without a known weakness; not looked up: {', '.join(left)}"]
    return 0, [f"{len(looked_up)} packages, no known weakness"]


def main(uv: str) -> int:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "requirements.txt"
        exported(uv, file)
        packages, complaints = asked(file)
    status, lines = judged(packages)
    if status == 2 and complaints and not packages:
        lines.append(complaints.splitlines()[-1])
    print("\n".join(lines))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
