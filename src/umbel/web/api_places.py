"""Where one may go by typing: pages, names, workers, queues, views and tasks, for the palette of the pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import Field as FieldInfo

from umbel.access.identity import Identity, Permit
from umbel.model.query import Compare, Field, Op, Page
from umbel.web.api_bodies import answer
from umbel.web.api_document import problems
from umbel.web.deps import Deps, Injected, identity_of
from umbel.web.pages.deeds import controllable
from umbel.web.pages.views import own_views, shared_views
from umbel.web.render import NAV
from umbel.web.seen import values_of

#: Places in one answer, and of one kind.
ITEMS: Final = 20
EACH: Final = 6
#: Characters from which a text may be the beginning of a task's id, and seconds to look for one.
ID: Final = 6
WITHIN: Final = 0.1
LONGEST: Final = 500
#: Pages that are reached from others, not from the rail.
INNER: Final = (
    ("Storage", "/storage", Permit.VIEW),
    ("Tasks without an end", "/stuck", Permit.VIEW),
    ("Audit trail", "/audit", Permit.ADMIN),
)

router = APIRouter(prefix="/api/v1", responses=problems(400))


@dataclass(frozen=True, slots=True)
class PlaceOut:
    """Somewhere to go."""

    kind: Annotated[str, FieldInfo(description="page, task, view, name, worker, queue or search.")]
    title: str
    href: Annotated[str, FieldInfo(description="The address on this server, with its prefix.")]


@dataclass(frozen=True, slots=True)
class PlacesOut:
    """The best first."""

    items: list[PlaceOut]


@router.get("/places", response_model=PlacesOut, operation_id="list_places", tags=["tasks"])
def places(
    request: Request,
    deps: Injected,
    q: Annotated[str, Query(max_length=LONGEST, description="What somebody typed; empty: the pages and views.")] = "",
) -> Response:
    """Where one may go, by a part of its name; a task by its id or the beginning of that."""
    typed = q.strip()
    who = identity_of(request)
    found = [*_pages(deps, typed, who), *_views(deps, typed, who)]
    if typed:
        found = [*_tasks(deps, typed), *found, *_seen(request, deps, typed), *_search(deps, typed)]
    return answer(PlacesOut(found[:ITEMS]))


def best(texts: Iterable[str], typed: str, limit: int = EACH) -> list[str]:
    """Those that hold what was typed: first where it begins the text, then where it begins a word, then the others."""
    low = typed.casefold()
    fits = [(text, text.casefold().find(low)) for text in texts]
    found = [(at > 0 and 1 + text[at - 1].isalnum(), text) for text, at in fits if text and at >= 0]
    return [text for _, text in sorted(found, key=lambda one: one[0])[:limit]]


def _pages(deps: Deps, typed: str, who: Identity) -> list[PlaceOut]:
    there = {item.title: item.path for item in NAV}
    there |= {title: path for title, path, permit in INNER if who.may(permit)}
    if controllable(deps, who):
        there["Start a task"] = "/start"
    prefix = deps.settings.url_prefix
    return [PlaceOut("page", title, prefix + there[title]) for title in best(there, typed, len(there))]


def _views(deps: Deps, typed: str, who: Identity) -> list[PlaceOut]:
    views = {view.name: view.query for view in (*shared_views(deps), *own_views(deps, who))}
    return [PlaceOut("view", name, f"{deps.settings.url_prefix}/tasks?{views[name]}") for name in best(views, typed)]


def _tasks(deps: Deps, typed: str) -> Iterator[PlaceOut]:
    """The task of this id, or those whose ids begin with it."""
    if len(typed) < ID or any(c.isspace() or c == "*" for c in typed):
        return
    found = deps.reader.tasks(Compare(Field.ID, Op.GLOB, f"{typed}*"), Page(3, within=WITHIN)).items
    for task in found:
        title = f"{task.id}  {task.name}".rstrip()
        yield PlaceOut("task", title, f"{deps.settings.url_prefix}/tasks/{quote(task.id, safe='')}")


def _seen(request: Request, deps: Deps, typed: str) -> Iterator[PlaceOut]:
    prefix = deps.settings.url_prefix

    def values(field: Field) -> Sequence[str]:
        return best(values_of(request.app, deps, field), typed)

    for name in values(Field.NAME):
        yield PlaceOut("name", name, f"{prefix}/names/{quote(name, safe='')}")
    for worker in values(Field.WORKER):
        yield PlaceOut("worker", worker, f"{prefix}/workers/{quote(worker, safe='@')}")
    for queue in values(Field.QUEUE):
        yield PlaceOut("queue", queue, f"{prefix}/queue?{urlencode({'name': queue})}")


def _search(deps: Deps, typed: str) -> Iterator[PlaceOut]:
    yield PlaceOut("search", typed, f"{deps.settings.url_prefix}/tasks?{urlencode({'q': typed})}")
