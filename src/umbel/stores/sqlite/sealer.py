"""The process that rewrites a segment beside the writer: `python -m umbel.stores.sqlite.sealer`, of lowest priority.

It ends when the writer's process has.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from umbel.retention import parse_retention
from umbel.stores.sqlite.seal import seal


def main(arguments: list[str]) -> None:
    """The process: source, target, generation, retention, time."""
    source, target, generation, retention, now = arguments
    os.nice(19)
    parent = os.getppid()
    seal(
        Path(source),
        Path(target),
        int(generation),
        parse_retention(retention),
        float(now),
        gone=lambda: os.getppid() != parent,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
