"""Marks in charts: deploys that were entered, and workers that came back with another version of what runs them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from umbel.model.worker import Worker
from umbel.stores.journal import Entry

#: Marks in one chart, the newest.
MARKS: Final = 20
#: Seconds within which workers that change to the same version are one mark.
TOGETHER: Final = 600.0
#: Characters of a mark's name.
NAME: Final = 60


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment, UTC seconds."""

    at: float
    #: "2.4.1", or "py-celery 5.7.0".
    name: str
    #: In words, for a list.
    text: str
    #: deploy or version.
    kind: str


def marks(deploys: Iterable[Entry], workers: Iterable[Worker], start: float, end: float) -> tuple[Mark, ...]:
    """Those in [start, end), the oldest first."""
    found = [*map(_deploy, deploys), *changes_of_version(workers)]
    inside = sorted((mark for mark in found if start <= mark.at < end), key=lambda mark: mark.at)
    return tuple(inside[-MARKS:])


def _deploy(entry: Entry) -> Mark:
    version = entry.texts.get("version") or entry.key
    told = [entry.texts[key] for key in ("service", "text") if entry.texts.get(key)]
    return Mark(entry.at, version[:NAME], ", ".join(told)[:300], "deploy")


def changes_of_version(workers: Iterable[Worker]) -> list[Mark]:
    """One mark for all workers that changed between the same versions at about the same time."""
    by_name: dict[str, list[Worker]] = {}
    for worker in workers:
        if worker.software is not None and worker.pid:
            by_name.setdefault(worker.hostname, []).append(worker)
    changes: dict[tuple[str, str], list[float]] = {}
    for processes in by_name.values():
        processes.sort(key=_begun)
        for before, after in pairwise(processes):
            old, new = _version(before), _version(after)
            if old != new:
                changes.setdefault((old, new), []).append(_begun(after))
    return [
        Mark(
            times[0],
            new[:NAME],
            f"{len(times)} {'worker' if len(times) == 1 else 'workers'} came from {old}",
            "version",
        )
        for (old, new), moments in changes.items()
        for times in _together(sorted(moments))
    ]


def _together(moments: Sequence[float]) -> list[list[float]]:
    groups: list[list[float]] = []
    for at in moments:
        if groups and at - groups[-1][0] <= TOGETHER:
            groups[-1].append(at)
        else:
            groups.append([at])
    return groups


def _begun(worker: Worker) -> float:
    """By Umbel's clock: a worker's own may be wrong."""
    return worker.first_seen_at


def _version(worker: Worker) -> str:
    software = worker.software
    return f"{software.ident} {software.version}" if software is not None else ""
