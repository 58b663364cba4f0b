"""`umbel health`: whether the parts of this data directory give signs of life; for probes of containers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from umbel.clock import Clock, SystemClock
from umbel.settings import Settings
from umbel.status import StatusBoard


def main(settings: Settings, parts: Sequence[str], clock: Clock | None = None) -> int:
    """One line a part; 1 where one gives no sign, or nothing runs at all. What a part is waiting for is no illness."""
    faults = list(_faults(settings, parts, (clock or SystemClock()).now()))
    for fault in faults:
        click.echo(fault, err=True)
    return 1 if faults else 0


def _faults(settings: Settings, parts: Sequence[str], now: float) -> Iterator[str]:
    seen = StatusBoard(settings.status_dir).read()
    if not parts and not seen:
        yield f"nothing runs with the data directory {settings.data_dir}"
    for name in parts or sorted(seen):
        status = seen.get(name)
        if status is None:
            yield f"umbel {name} does not run with the data directory {settings.data_dir}"
        elif status.stale(now):
            yield f"umbel {name}, pid {status.pid}, has given no sign for {now - status.at:.0f} s"
        else:
            click.echo(f"umbel {name} lives, pid {status.pid}{f': {status.error}' if status.error else ''}")
