"""Names, workers, queues and exceptions that the store saw lately, kept for a few seconds for all who type."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from fastapi import FastAPI

from umbel.model.query import EVERYTHING, Field, Page
from umbel.web.deps import Deps
from umbel.web.pages.shared import Shared

#: Names, tasks and exceptions that values are taken from, the newest.
NAMES: Final = 1_000
RECENT: Final = 1_000
EXCEPTIONS: Final = 100
#: Seconds: how far back exceptions are looked for, and for how long an app keeps the values of a field.
SPAN: Final = 86_400.0
FRESH: Final = 5.0

_values: Final[Shared[Sequence[str]]] = Shared()


def values_of(app: FastAPI, deps: Deps, field: Field) -> Sequence[str]:
    """The values of name, worker, queue or exception, the latest first. Raises `StoreError`."""
    return _values.get(app, field.value, FRESH, deps.clock, lambda: _read(deps, field))


def _read(deps: Deps, field: Field) -> Sequence[str]:
    reader, now = deps.reader, deps.clock.now()
    if field is Field.NAME:
        return reader.names(NAMES)
    found: Iterable[str]
    if field is Field.WORKER:
        found = (worker.hostname for worker in reader.workers())
    elif field is Field.QUEUE:
        found = (task.queue for task in reader.tasks(EVERYTHING, Page(RECENT)).items)
    else:
        found = (failure.exception_type for failure in reader.exceptions(now - SPAN, now + 60, EXCEPTIONS))
    return tuple(dict.fromkeys(found))
