"""The rows of Flower 2.2's HTTP API, each with what a running service with real workers may answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

#: Method and address, `*` for a name; the statuses that some check must have been answered with. Closed, read-only and
#: with nothing behind them, the services are asked elsewhere, row by row of this table.
ROWS: Final[Mapping[str, frozenset[int]]] = {
    "GET /api/workers": frozenset({200, 400, 404}),
    "POST /api/worker/shutdown/*": frozenset({200, 404}),
    "POST /api/worker/pool/restart/*": frozenset({200, 403, 404}),
    "POST /api/worker/pool/grow/*": frozenset({200, 400, 403, 404}),
    "POST /api/worker/pool/shrink/*": frozenset({200, 400, 403, 404}),
    "POST /api/worker/pool/autoscale/*": frozenset({200, 400, 403, 404}),
    "POST /api/worker/queue/add-consumer/*": frozenset({200, 400, 403, 404}),
    "POST /api/worker/queue/cancel-consumer/*": frozenset({200, 400, 403, 404}),
    "GET /api/tasks": frozenset({200, 400}),
    "GET /api/task/types": frozenset({200}),
    "GET /api/task/info/*": frozenset({200, 404}),
    "GET /api/queues/length": frozenset({200}),
    "POST /api/task/apply/*": frozenset({200, 400, 404}),
    "POST /api/task/async-apply/*": frozenset({200, 400, 404}),
    "POST /api/task/send-task/*": frozenset({200, 400}),
    "GET /api/task/result/*": frozenset({200, 400}),
    "POST /api/task/abort/*": frozenset({200}),
    "POST /api/task/revoke/*": frozenset({200, 400}),
    "POST /api/task/timeout/*": frozenset({200, 400, 403, 404}),
    "POST /api/task/rate-limit/*": frozenset({200, 400, 403, 404}),
    "GET /tasks/datatable": frozenset({200, 400}),
    "POST /tasks/datatable": frozenset({200, 400}),
    "GET /workers": frozenset({200}),
    "GET /healthcheck": frozenset({200}),
}
_PATTERNS: Final = {row: re.compile(re.escape(row).replace(r"\*", ".+")) for row in ROWS}


def row_of(method: str, path: str) -> str | None:
    """The row that a request belongs to."""
    asked = f"{method} {path.partition('?')[0]}"
    return next((row for row, pattern in _PATTERNS.items() if pattern.fullmatch(asked)), None)


def missing(asked: Iterable[tuple[str, int]]) -> dict[str, set[int]]:
    """By row, the statuses that nobody was answered with."""
    seen = set(asked)
    left = {row: {status for status in statuses if (row, status) not in seen} for row, statuses in ROWS.items()}
    return {row: statuses for row, statuses in left.items() if statuses}


def addresses(method: str) -> list[str]:
    """The address of each row of the API with this method, names filled in."""
    found = (row.split(" ") for row in ROWS)
    return [path.replace("*", "nobody@h") for its, path in found if its == method and path.startswith("/api/")]
