"""Which processes a part of the demo has left, told by the directory that they run in."""

from __future__ import annotations

from pathlib import Path


def running_in(directory: Path) -> dict[int, str]:
    """Process id -> title of every process whose working directory is under `directory`, a removed one included."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            where = str((process / "cwd").readlink())
            title = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:  # it has just ended, or it is another user's
            continue
        if where.removesuffix(" (deleted)").startswith(f"{directory}/") and state != "Z":
            found[int(process.name)] = title
    return found
