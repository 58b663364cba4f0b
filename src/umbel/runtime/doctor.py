"""`umbel doctor`: what is missing for events to flow, in plain words and with the remedy."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from umbel.brokers.base import Finding
from umbel.clock import Clock, SystemClock
from umbel.control.client import CeleryControl
from umbel.control.client_listen import Heard, listen
from umbel.control.commands import Ping
from umbel.errors import ControlError, StoreError
from umbel.runtime.brokers import diagnose
from umbel.runtime.stores import open_reader, shown
from umbel.runtime.transport import parts_of
from umbel.settings import Settings
from umbel.status import StatusBoard

#: Seconds to listen for events; workers send heartbeats every two.
LISTEN: Final = 6.0
#: Seconds to wait for workers to answer a ping.
PING: Final = 2.0

_MARKS: Final = {"ok": "  ok   ", "warn": " warn  ", "error": " ERROR "}


def main(settings: Settings) -> int:
    """Print findings as they are made; 1 if any is an error."""
    # Findings say it in plain words; the drivers' own lines would only be in the way.
    logging.disable(logging.WARNING)
    worst = 0
    for finding in _examine(settings, SystemClock()):
        sys.stdout.write(_format(finding))
        sys.stdout.flush()
        worst = max(worst, finding.level == "error")
    return int(worst)


def _format(finding: Finding) -> str:
    text = f"[{_MARKS[finding.level]}] {finding.title}: {finding.detail}\n"
    return text + (f"            {finding.remedy}\n" if finding.remedy else "")


def _examine(settings: Settings, clock: Clock) -> Iterator[Finding]:
    parts_of(settings)
    found = list(diagnose(settings))
    yield from found
    yield from _parts(settings, clock)
    yield from _room(settings)
    yield from _store(settings, clock)
    if any(finding.level == "error" for finding in found):
        return
    workers = _ping(settings)
    yield _answering(workers)
    sys.stderr.write(f"listening for events for {LISTEN:g} s ...\n")
    try:
        heard = listen(settings, LISTEN)
    except ControlError as error:
        yield Finding("error", "events", str(error))
        return
    yield from _events(workers, heard, settings)


def _ping(settings: Settings) -> Sequence[str]:
    control = CeleryControl(settings)
    try:
        return sorted(control.ask(Ping(), PING))
    except ControlError:
        return ()
    finally:
        control.close()


def _answering(workers: Sequence[str]) -> Finding:
    if workers:
        return Finding("ok", "workers", f"{len(workers)} answer: {', '.join(workers[:10])}")
    return Finding(
        "warn",
        "workers",
        f"none answered within {PING:g} s",
        "Start one, or check that workers use this broker URL, database and transport options. A worker with the solo"
        " pool does not answer while it runs a task.",
    )


def _events(workers: Sequence[str], heard: Heard, settings: Settings) -> Iterator[Finding]:
    silent = sorted(set(workers) - heard.workers)
    if heard.workers:
        yield Finding("ok", "heartbeats", f"{len(heard.workers)} workers send them")
    if silent:
        yield Finding(
            "warn",
            "heartbeats",
            f"{', '.join(silent[:10])} answered and sent none",
            "Were they started with --without-heartbeat, or with another event_exchange? Umbel sees their tasks all the"
            " same, but not whether they live.",
        )
    if heard.task_workers:
        yield Finding("ok", "task events", f"{heard.task_events} from {', '.join(sorted(heard.task_workers)[:10])}")
    elif settings.enable_events:
        yield Finding(
            "warn",
            "task events",
            f"none within {LISTEN:g} s",
            "Either no task ran, or the workers send none. A running Umbel tells them to; to make it lasting, start"
            " them with -E or set worker_send_task_events = True.",
        )
    else:
        yield Finding(
            "error",
            "task events",
            f"none within {LISTEN:g} s, and --no-enable-events keeps Umbel from asking for them",
            "Start workers with -E or set worker_send_task_events = True.",
        )
    if heard.sent_events:
        yield Finding("ok", "task-sent events", f"{heard.sent_events} from publishers")
    else:
        yield Finding(
            "warn",
            "task-sent events",
            f"none within {LISTEN:g} s",
            "Without them a task's queue and its wait before a worker took it are unknown. Set task_send_sent_event ="
            " True in the programs that send tasks.",
        )


def _parts(settings: Settings, clock: Clock) -> Iterator[Finding]:
    seen = StatusBoard(settings.status_dir).read()
    for name in parts_of(settings):
        status = seen.get(name)
        if status is None:
            yield Finding(
                "warn", f"umbel {name}", f"not running with --data-dir {settings.data_dir}", "Run `umbel up`."
            )
        elif status.stale(clock.now()):
            age = clock.now() - status.at
            yield Finding("error", f"umbel {name}", f"pid {status.pid} has given no sign for {age:.0f} s")
        else:
            yield Finding("error" if status.error else "ok", f"umbel {name}", status.error or f"runs, pid {status.pid}")


def _room(settings: Settings) -> Iterator[Finding]:
    place = Path(settings.data_dir)
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < settings.spool_bytes:
        yield Finding(
            "warn",
            "disk",
            f"{free / 2**20:,.0f} MiB free under {settings.data_dir}, less than --spool-bytes",
            "Free some, choose another --data-dir or a smaller --spool-bytes: a full disk is a full spool.",
        )
    else:
        yield Finding("ok", "disk", f"{free / 2**30:,.1f} GiB free under {settings.data_dir}")


def _store(settings: Settings, clock: Clock) -> Iterator[Finding]:
    reader = open_reader(settings, clock)
    try:
        state = reader.state()
        yield Finding(
            "ok", "store", f"{state.tasks:,} tasks, {state.bytes / 2**20:,.1f} MiB in {shown(settings.store)}"
        )
        for name in state.set_aside:
            yield Finding(
                "warn", "store", f"{name} could not be used and was set aside", "Copy it elsewhere, then delete it."
            )
    except StoreError as error:
        yield Finding("warn", "store", str(error))
    finally:
        reader.close()
