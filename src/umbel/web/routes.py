"""The one table of routes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response
from starlette.routing import BaseRoute

from umbel.web import (
    api,
    api_again,
    api_alerts,
    api_control,
    api_deploys,
    api_export,
    api_figures,
    api_places,
    api_queues,
    api_schedules,
    api_suggest,
    api_workflow,
    health,
    hints,
)
from umbel.web.assets import Assets
from umbel.web.flower import control as flower_control
from umbel.web.flower import rest as flower_rest
from umbel.web.flower import run as flower_run
from umbel.web.flower import tasks as flower_tasks
from umbel.web.flower import workers as flower_workers
from umbel.web.pages import (
    access,
    again,
    alerts,
    audit,
    bulk,
    commands,
    compare,
    control,
    errors,
    ingest,
    inspect,
    login,
    name,
    names,
    overview,
    queue,
    queues,
    resolve,
    rule,
    schedules,
    storage,
    stuck,
    task,
    tasks,
    views,
    worker,
    workers,
    workflow,
)

static = APIRouter()


@static.get("/static/{version}/{name:path}", include_in_schema=False)
async def static_file(request: Request, version: str, name: str) -> Response:
    """A style sheet, script or picture."""
    assets: Assets = request.app.state.assets
    return assets.response(version, name)


_API = (
    api_export.router,
    api_suggest.router,
    api_places.router,
    api_workflow.router,
    api_deploys.router,
    api_schedules.router,
    api_alerts.router,
    api_figures.router,
    resolve.api,
    api.router,
    api_again.router,
    api_queues.router,
    stuck.api,
    api_control.router,
)
#: Flower's addresses.
FLOWER: Final = (
    flower_tasks.router,
    flower_tasks.table,
    flower_workers.router,
    flower_control.router,
    flower_run.router,
    flower_rest.router,
    flower_rest.open_router,
)
#: In the order in which they are tried.
ROUTERS: Final = (health.router, hints.router, static, *_API, *FLOWER)
PAGES: Final = (
    overview.router,
    again.router,
    tasks.router,
    workflow.router,
    task.router,
    names.router,
    name.router,
    errors.router,
    resolve.router,
    queues.router,
    queue.router,
    schedules.router,
    alerts.router,
    rule.router,
    workers.router,
    worker.router,
    inspect.router,
    commands.router,
    control.router,
    bulk.router,
    views.router,
    compare.router,
    audit.router,
    login.router,
    access.router,
    ingest.router,
    storage.router,
    stuck.router,
)


def every() -> Iterator[BaseRoute]:
    """Each route, in the order in which they are tried."""
    for router in (*ROUTERS, *PAGES):
        yield from router.routes


def install(app: FastAPI) -> None:
    """Put every route into the app."""
    for router in ROUTERS:
        app.include_router(router)
    for router in PAGES:
        app.include_router(router, include_in_schema=False)
