"""The processes of one `umbel up`: who they are and what memory they take."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from tests.support.umbel import UmbelProcess

PARTS = ("receive", "collect", "web")


def pid_of(home: Path, part: str) -> int:
    """Of a part that runs in this directory."""
    return int(json.loads((home / "umbel-data" / "run" / f"{part}.status").read_bytes())["pid"])


def pids(umbel: UmbelProcess, home: Path, parts: Iterable[str] = PARTS) -> dict[str, int]:
    """Of the supervisor and its parts."""
    return {"up": umbel.pid} | {part: pid_of(home, part) for part in parts}


def alive(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def memory(pid: int) -> int:
    """Bytes of a process's proportional set: what it has alone, and its share of what it has with others."""
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024
