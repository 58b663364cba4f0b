"""How soon every page and what the API answers are there, a million tasks stored and 5,000 events coming in a second.

`python bench/answers.py --keep DIRECTORY` fills a history of two weeks into SQLite once, starts a Redis and Umbel on a
copy of it, and asks every address in turn, in rounds at least `--pace` seconds apart: what is kept for a few seconds
for several browsers is made anew in each. A time is what a client on the same machine waits, until the last byte.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

# The engines start the servers that the tests start.
sys.path.append(str(Path(__file__).parent.parent))

from answering.addresses import addresses
from answering.history import fill
from answering.rig import Answer, Umbel, umbel

#: Milliseconds that 19 of 20 answers should take at most.
AIM: Final = 100.0
#: Seconds of load before the first question.
BEFORE: Final = 10.0


def ask(web: Umbel, paths: list[str], rounds: int, pace: float) -> dict[str, list[Answer]]:
    """The answers of each address, without those of a round that fills caches for good."""
    found: dict[str, list[Answer]] = {path: [] for path in paths}
    for number in range(rounds + 1):
        began = time.monotonic()
        answers = {path: web.ask(path) for path in paths}
        if wrong := [f"{path}: {answer.status}" for path, answer in answers.items() if answer.status != 200]:
            raise SystemExit("\n".join(wrong))
        for path, answer in answers.items() if number else ():
            found[path].append(answer)
        time.sleep(max(0.0, began + pace - time.monotonic()))
    return found


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def table(found: dict[str, list[Answer]]) -> list[str]:
    """Markdown; what misses the aim stands in bold."""
    lines = [
        "| address | p50 ms | p95 ms | longest ms | of the aim | CPU ms, p50 | KiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for path, answers in found.items():
        walls = [answer.wall for answer in answers]
        p95 = quantile(walls, 0.95)
        mark = "**" if p95 > AIM else ""
        cells = [f"{quantile(walls, 0.5):.0f}", f"{mark}{p95:.0f}{mark}", f"{max(walls):.0f}", f"{p95 / AIM:.2f}"]
        cells += [f"{quantile([answer.cpu for answer in answers], 0.5):.0f}", f"{answers[-1].size / 1024:.0f}"]
        lines.append(f"| `{path}` | {' | '.join(cells)} |")
    return lines


def report(kept: Path, options: argparse.Namespace) -> None:
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    print(f"{datetime.now(UTC):%Y-%m-%d}; {machine}; load average before {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory(prefix="umbel-answers-") as home, umbel(kept, Path(home), options.rate) as web:
        time.sleep(BEFORE)
        paths = [path for path in addresses(web) if options.only in path]
        before, began = web.json("/api/v1/ingest"), time.monotonic()
        found = ask(web, paths, options.rounds, options.pace)
        after, seconds = web.json("/api/v1/ingest"), time.monotonic() - began
    stored = (after["stored"] - before["stored"]) / seconds
    print(f"{stored:,.0f} events stored a second for {seconds:.0f} s, the last {after['lag_seconds']:.1f} s late;")
    print(f"{options.rounds} answers of each of {len(paths)} addresses\n")
    print("\n".join(table(found)))
    missed = sum(quantile([answer.wall for answer in answers], 0.95) > AIM for answers in found.values())
    print(f"\n{len(found) - missed} of {len(found)} have a p95 of at most {AIM:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--rate", type=int, default=5_000, help="events a second that come in; 0: none")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--pace", type=float, default=6.0, help="seconds from one round to the next, at least")
    parser.add_argument("--keep", type=Path, help="where the history is kept from one run to the next")
    parser.add_argument("--only", default="", help="addresses that have this in them")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="umbel-history-") as temporary:
        kept = options.keep or Path(temporary)
        if not (kept / "filled").exists():
            kept.mkdir(parents=True, exist_ok=True)
            fill(kept, options.tasks)
            (kept / "filled").touch()
        report(kept, options)


if __name__ == "__main__":
    main()
