"""Makes the web app from what it is given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from anyio import to_thread
from fastapi import FastAPI
from starlette.types import ASGIApp

from umbel import __version__
from umbel.stores.base import CommitNews
from umbel.web import errors, routes
from umbel.web.actions import Actions
from umbel.web.api_document import complete
from umbel.web.api_export import Exports
from umbel.web.assets import Assets
from umbel.web.bulk import Bulks
from umbel.web.contents import Contents
from umbel.web.deps import Deps
from umbel.web.flower.run import Waiting
from umbel.web.gate import Gate
from umbel.web.health import Probe
from umbel.web.hints import Hub, look
from umbel.web.kinship import Results
from umbel.web.measured import Surroundings
from umbel.web.middleware import Head, Prefix
from umbel.web.permits import PermitTable
from umbel.web.proxy import Proxied
from umbel.web.render import environment
from umbel.web.rerun import Sender
from umbel.web.security import Security
from umbel.web.stuck import Stuck
from umbel.web.stuck_timer import StuckTimer
from umbel.web.traced import Traced

#: Threads that render pages and read the store at the same time; further requests wait for one.
THREADS: Final = 8

_ABOUT: Final = """What Umbel knows of Celery's tasks, workers and queues, and of its own ingestion.

Times are RFC 3339 in UTC, durations are seconds, what is unknown is `null`. Searches (`q`) are written in the query
language of the tasks page. Errors are `{"error": {"message": …, "position": …}}`; `position` is the offset into `q`.

A request with the header `Umbel-Hide: data` is shown no arguments and results, whatever its role sees. Flower's
addresses are not described here: they answer as Flower 2.2 does.
"""


class _App(FastAPI):
    """FastAPI within our middleware, which also covers the answers to unexpected errors; its document made whole."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            deps: Deps = self.state.deps
            metrics = deps.settings.protect_metrics
            self.openapi_schema = complete(super().openapi(), login=deps.login is not None, metrics=metrics)
        return self.openapi_schema

    def build_middleware_stack(self) -> ASGIApp:
        deps: Deps = self.state.deps
        stack: ASGIApp = Prefix(Head(super().build_middleware_stack()), deps.settings.url_prefix)
        # A socket file is reached through a proxy, under whatever name that has.
        stack = Security(stack, "" if deps.settings.unix_socket else deps.settings.host)
        if deps.tracer is not None:
            stack = Traced(stack, deps.tracer, PermitTable(routes.every()), deps.clock, deps.settings.url_prefix)
        return Proxied(stack) if deps.settings.xheaders else stack


def create_app(deps: Deps) -> FastAPI:
    """The whole web; closes nothing of `deps`."""
    app = _App(
        title="Umbel",
        version=__version__,
        description=_ABOUT,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    app.state.deps = deps
    app.state.veiled = deps.veiled()
    actions = app.state.actions = Actions(deps)
    sender = app.state.sender = Sender(deps, actions)
    app.state.bulks = Bulks(deps, actions, sender)
    app.state.contents = Contents(deps, actions)
    stuck = app.state.stuck = Stuck(deps, actions)
    app.state.stuck_timer = StuckTimer(deps, stuck, actions.turns)
    app.state.surroundings = Surroundings(deps)
    app.state.waiting = Waiting()
    app.state.results = Results(deps.runs)
    app.state.assets = Assets()
    app.state.templates = environment()
    news = deps.reader.wait if isinstance(deps.reader, CommitNews) else None
    hub = app.state.hub = Hub(partial(look, deps), news=news)
    app.state.exports = Exports(lambda: hub.closed)
    app.state.probe = Probe(deps)
    errors.install(app)
    routes.install(app)
    app.add_middleware(
        Gate, permits=PermitTable(routes.every()), login=deps.login, settings=deps.settings, clock=deps.clock
    )
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    to_thread.current_default_thread_limiter().total_tokens = THREADS
    timer: StuckTimer = app.state.stuck_timer
    looking = asyncio.create_task(timer.run(), name="stuck tasks")
    yield
    looking.cancel()
    hub: Hub = app.state.hub
    hub.close()
    bulks: Bulks = app.state.bulks
    bulks.close()
