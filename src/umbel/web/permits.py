"""What each route asks for: the one table. A route that is not in it is for admins alone, and fails a test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from re import Pattern
from typing import Final

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, compile_path

from umbel.access.identity import Permit
from umbel.control.commands import COMMANDS

#: Questions whose answers may hold secrets of the app's own configuration.
CONFIGURATION: Final = frozenset({"conf", "report"})


def _command(method: str) -> Permit:
    if method in CONFIGURATION:
        return Permit.DATA
    return Permit.VIEW if COMMANDS[method].looks else Permit.CONTROL


#: By method and path, as the routes write it.
PERMITS: Final[Mapping[str, Permit]] = {
    "GET /healthz": Permit.OPEN,
    "GET /readyz": Permit.OPEN,
    "GET /healthcheck": Permit.OPEN,
    "GET /metrics": Permit.METRICS,
    "GET /static/{version}/{name:path}": Permit.OPEN,
    # Signing in and out
    "GET /login": Permit.OPEN,
    "POST /login": Permit.OPEN,
    "GET /logout": Permit.OPEN,
    "POST /logout": Permit.OPEN,
    "GET /access": Permit.OWN,
    "POST /access/sessions/end": Permit.OWN,
    "POST /access/tokens": Permit.ADMIN,
    "POST /access/tokens/revoke": Permit.ADMIN,
    # Our API
    "GET /api/v1/openapi.json": Permit.VIEW,
    "GET /hints": Permit.VIEW,
    "GET /api/v1/tasks": Permit.VIEW,
    "GET /api/v1/tasks/count": Permit.VIEW,
    "GET /api/v1/tasks/export": Permit.VIEW,
    "GET /api/v1/tasks/{task_id:path}": Permit.VIEW,
    "GET /api/v1/suggest": Permit.VIEW,
    "GET /api/v1/places": Permit.VIEW,
    "GET /api/v1/workers": Permit.VIEW,
    "GET /api/v1/queues": Permit.VIEW,
    "GET /api/v1/ingest": Permit.VIEW,
    "GET /api/v1/ledger": Permit.VIEW,
    "GET /api/v1/quarantine": Permit.DATA,
    "GET /api/v1/tasks/{task_id:path}/workflow": Permit.VIEW,
    "GET /api/v1/schedules": Permit.VIEW,
    "GET /api/v1/alerts": Permit.VIEW,
    "POST /api/v1/alerts/silences": Permit.CONTROL,
    "POST /api/v1/alerts/silences/{silence_id}/end": Permit.CONTROL,
    "POST /api/v1/alerts/rules": Permit.ADMIN,
    "POST /api/v1/alerts/rules/try": Permit.ADMIN,
    "POST /api/v1/alerts/rules/{name:path}/delete": Permit.ADMIN,
    "GET /api/v1/names": Permit.VIEW,
    "GET /api/v1/errors": Permit.VIEW,
    "GET /api/v1/changes": Permit.VIEW,
    "GET /api/v1/deploys": Permit.VIEW,
    "POST /api/v1/deploys": Permit.CONTROL,
    "POST /api/v1/errors/{key}/{deed}": Permit.CONTROL,
    "GET /api/v1/audit": Permit.ADMIN,
    "GET /api/v1/audit/export": Permit.ADMIN,
    "POST /api/v1/tasks/{task_id:path}/run-again": Permit.CONTROL,
    "POST /api/v1/tasks": Permit.CONTROL,
    "POST /api/v1/run-again": Permit.CONTROL,
    "POST /api/v1/queues/peek": Permit.CONTROL,
    "POST /api/v1/queues/purge": Permit.CONTROL,
    "POST /api/v1/queues/put-back": Permit.CONTROL,
    "GET /api/v1/queues/dead-letters": Permit.VIEW,
    "POST /api/v1/stuck": Permit.CONTROL,
    "GET /api/v1/stuck": Permit.VIEW,
    **{f"POST /api/v1/control/{method}": _command(method) for method in COMMANDS},
    "POST /api/v1/control/{command}": Permit.VIEW,
    # Flower's addresses
    "GET /api/tasks": Permit.VIEW,
    "GET /api/task/info/{task_id:path}": Permit.VIEW,
    "GET /api/task/types": Permit.VIEW,
    "GET /tasks/datatable": Permit.VIEW,
    "POST /tasks/datatable": Permit.VIEW,
    "GET /api/workers": Permit.VIEW,
    "GET /api/queues/length": Permit.VIEW,
    "GET /api/task/result/{task_id:path}": Permit.DATA,
    "POST /api/worker/shutdown/{worker:path}": Permit.CONTROL,
    "POST /api/worker/pool/restart/{worker:path}": Permit.CONTROL,
    "POST /api/worker/pool/grow/{worker:path}": Permit.CONTROL,
    "POST /api/worker/pool/shrink/{worker:path}": Permit.CONTROL,
    "POST /api/worker/pool/autoscale/{worker:path}": Permit.CONTROL,
    "POST /api/worker/queue/add-consumer/{worker:path}": Permit.CONTROL,
    "POST /api/worker/queue/cancel-consumer/{worker:path}": Permit.CONTROL,
    "POST /api/task/revoke/{task_id:path}": Permit.CONTROL,
    "POST /api/task/timeout/{name:path}": Permit.CONTROL,
    "POST /api/task/rate-limit/{name:path}": Permit.CONTROL,
    "POST /api/task/apply/{name:path}": Permit.CONTROL,
    "POST /api/task/async-apply/{name:path}": Permit.CONTROL,
    "POST /api/task/send-task/{name:path}": Permit.CONTROL,
    "POST /api/task/abort/{task_id:path}": Permit.CONTROL,
    "GET /task/{task_id:path}": Permit.VIEW,
    "GET /worker/{name:path}": Permit.VIEW,
    "GET /broker": Permit.VIEW,
    # Pages
    "GET /": Permit.VIEW,
    "GET /tasks": Permit.VIEW,
    "GET /tasks/{task_id:path}": Permit.VIEW,
    "GET /compare": Permit.VIEW,
    "GET /names": Permit.VIEW,
    "GET /names/{name:path}": Permit.VIEW,
    "GET /tasks/{task_id:path}/workflow": Permit.VIEW,
    "GET /alerts": Permit.VIEW,
    "POST /alerts/silences": Permit.CONTROL,
    "POST /alerts/silences/end": Permit.CONTROL,
    "POST /alerts/try": Permit.ADMIN,
    "GET /alerts/rule": Permit.ADMIN,
    "POST /alerts/rule": Permit.ADMIN,
    "POST /alerts/rule/delete": Permit.ADMIN,
    "GET /schedules": Permit.VIEW,
    "GET /errors": Permit.VIEW,
    "POST /errors/{key}/{deed}": Permit.CONTROL,
    "GET /queues": Permit.VIEW,
    "GET /queue": Permit.VIEW,
    "POST /queue/peek": Permit.CONTROL,
    "POST /queue/purge": Permit.CONTROL,
    "POST /queue/put_back": Permit.CONTROL,
    "GET /workers": Permit.VIEW,
    "GET /workers/{hostname:path}": Permit.VIEW,
    "GET /inspect/{hostname:path}": Permit.VIEW,
    "GET /commands": Permit.CONTROL,
    "GET /control/{method}": Permit.CONTROL,
    "POST /control/{method}": Permit.CONTROL,
    "GET /again/{task_id:path}": Permit.CONTROL,
    "POST /again/{task_id:path}": Permit.CONTROL,
    "GET /start": Permit.CONTROL,
    "POST /start": Permit.CONTROL,
    "POST /bulk": Permit.CONTROL,
    "GET /bulk/{run_id}": Permit.CONTROL,
    "POST /bulk/{run_id}/stop": Permit.CONTROL,
    "POST /views": Permit.CONTROL,
    "POST /views/delete": Permit.CONTROL,
    "POST /views/own": Permit.OWN,
    "POST /views/own/delete": Permit.OWN,
    "GET /stuck": Permit.VIEW,
    "POST /stuck": Permit.CONTROL,
    "GET /audit": Permit.ADMIN,
    "GET /ingest": Permit.VIEW,
    "GET /storage": Permit.VIEW,
}


class PermitTable:
    """Finds what a request asks for, by the routes in the order in which they are tried."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._routes: list[tuple[Pattern[str], frozenset[str], str]] = []
        for route in routes:
            if isinstance(route, APIRoute):
                self._routes.append((compile_path(route.path)[0], frozenset(route.methods or ()), route.path))

    def of(self, method: str, path: str) -> Permit | None:
        """What a request asks for; None for one that no route answers."""
        template = self.route(method, path)
        return PERMITS.get(f"{method} {template}", Permit.ADMIN) if template else PERMITS.get(f"{method} {path}")

    def route(self, method: str, path: str) -> str:
        """The route that answers a request, as it is written; "" where none does."""
        for pattern, methods, template in self._routes:
            if method in methods and pattern.match(path):
                return template
        return ""
