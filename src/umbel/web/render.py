"""Renders a page: a template of `templates/pages/`, the page's own context, and what every page shows."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from umbel import __version__
from umbel.access.identity import Identity, Permit
from umbel.settings import Settings
from umbel.web.assets import Assets
from umbel.web.deps import get_deps, identity_of
from umbel.web.filters import FILTERS
from umbel.web.pipeline import Pipeline
from umbel.web.readiness import Readiness, judge
from umbel.web.security import OPEN_TO_ALL, exposed

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

TEMPLATES: Final = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class NavItem:
    """A page in the navigation; `key` follows `g` on the keyboard."""

    name: str
    title: str
    path: str
    key: str


NAV: Final = (
    NavItem("overview", "Overview", "/", "o"),
    NavItem("tasks", "Tasks", "/tasks", "t"),
    NavItem("names", "Names", "/names", "n"),
    NavItem("errors", "Errors", "/errors", "e"),
    NavItem("queues", "Queues", "/queues", "q"),
    NavItem("workers", "Workers", "/workers", "w"),
    NavItem("schedules", "Schedules", "/schedules", "s"),
    NavItem("alerts", "Alerts", "/alerts", "a"),
    NavItem("ingest", "Ingest", "/ingest", "i"),
)


@dataclass(frozen=True, slots=True)
class Base:
    """What every template finds as `base`."""

    #: The page's name, which is its template's.
    name: str
    nav: tuple[NavItem, ...]
    #: Path under which Umbel is served, "" or such as /umbel; `url` puts it in front.
    prefix: str
    #: The request's path without the prefix, and its query parameters (the last of each name).
    path: str
    query: dict[str, str]
    #: Wall time, UTC seconds.
    now: float
    version: str
    pipeline: Pipeline
    readiness: Readiness
    assets: Assets
    #: Who looks at it, and whether anybody has to sign in here.
    who: Identity
    has_login: bool
    #: Why nobody may change anything, "" where somebody may.
    closed: str = ""
    #: Whether there is anything that whoever looks may change, by role or by a rule.
    controls: bool = True

    @property
    def outside(self) -> bool:
        """Whether it is shown to somebody who has yet to sign in, and so may tell nothing."""
        return self.has_login and not self.who.name

    def may(self, permit: str) -> bool:
        """Whether whoever looks has the permission: `base.may("admin")`."""
        asked = Permit(permit)
        return self.who.may(asked) and (asked is not Permit.CONTROL or self.controls)

    def url(self, path: str, **query: object) -> str:
        """The address of a page: `base.url('/tasks', q='state:FAILURE')`; empty parameters are left out."""
        given = {name: value for name, value in query.items() if value not in (None, "")}
        return self.prefix + path + (f"?{urlencode(given)}" if given else "")

    def task_url(self, task_id: str) -> str:
        """The address of a task's page."""
        return f"{self.prefix}/tasks/{quote(task_id, safe='')}"

    def worker_url(self, hostname: str) -> str:
        """The address of a worker's page."""
        return f"{self.prefix}/workers/{quote(hostname, safe='@')}"

    def static(self, name: str) -> str:
        """The address of a static file, such as `app.css` or `vendor/htmx.min.js`."""
        return self.assets.url(name, self.prefix)


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """The context of `templates/pages/error.html`."""

    status: int
    #: "Not found".
    title: str
    #: What happened and what to do, in plain words.
    message: str


def environment() -> Environment:
    """The templates' environment: escapes everything, and an unknown name is an error."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(FILTERS)
    return made


def page(request: Request, name: str, context: DataclassInstance, status: int = 200) -> HTMLResponse:
    """Render `templates/pages/<name>.html`: the fields of `context` by their names, and `base`.

    Called from plain `def` handlers, which run in the thread pool: it may read the store.
    """
    template = request.app.state.templates.get_template(f"pages/{name}.html")
    values: dict[str, Any] = {field.name: getattr(context, field.name) for field in fields(context)}
    return HTMLResponse(template.render(**values, base=_base(request, name)), status, {"Cache-Control": "no-store"})


def _base(request: Request, name: str) -> Base:
    deps = get_deps(request)
    prefix = deps.settings.url_prefix
    pipeline = deps.pipeline()
    now = deps.clock.now()
    return Base(
        name=name,
        nav=NAV,
        prefix=prefix,
        path=request.url.path.removeprefix(prefix),
        query=dict(request.query_params),
        now=now,
        version=__version__,
        pipeline=pipeline,
        readiness=judge(pipeline, now),
        assets=request.app.state.assets,
        who=identity_of(request),
        has_login=deps.login is not None,
        closed=_closed(deps.settings),
        controls=deps.rules.anything(identity_of(request)),
    )


def _closed(settings: Settings) -> str:
    if exposed(settings):
        return OPEN_TO_ALL
    return "Started with --read-only: nothing can be changed from here." if settings.read_only else ""
