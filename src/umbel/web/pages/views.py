"""Saved views of the list of tasks: shared ones, and those of each person who signs in, which the store keeps.

Where nobody signs in, one's own stay in the browser.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Final
from urllib.parse import parse_qsl, urlencode

from anyio import to_thread
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from umbel.access.identity import Identity
from umbel.control.audit import Action, Told
from umbel.stores.journal import Entry, Kind
from umbel.web.actions import Actions, actor
from umbel.web.deps import Deps, get_deps, identity_of
from umbel.web.forms import form

router = APIRouter()

#: Bytes of a form; views that are listed, and that one person may have; characters of a name and of an address.
FORM: Final = 16 * 1024
LISTED: Final = 50
NAME: Final = 80
QUERY: Final = 3_000
#: Of the list's address, what a view keeps.
PARTS: Final = ("q", "state", "cols")


@dataclass(frozen=True, slots=True)
class View:
    """A saved view."""

    name: str
    #: The query part of the list's address, without `?`.
    query: str
    #: Who saved it; "" where nobody signs in.
    who: str


def shared_views(deps: Deps) -> Sequence[View]:
    """Those that all see, by name."""
    entries = deps.entries.read(Kind.VIEW)[:LISTED]
    views = [View(entry.key, _kept(entry.texts.get("query", "")), entry.texts.get("who", "")) for entry in entries]
    return sorted(views, key=lambda view: view.name.casefold())


def keeps_own(deps: Deps, who: Identity) -> bool:
    """Whether the store keeps somebody's own views: they have a name to keep them under."""
    return bool(who.name) and deps.entries.kept


def own_views(deps: Deps, who: Identity) -> Sequence[View]:
    """Those that nobody else sees, by name."""
    if not keeps_own(deps, who):
        return ()
    stem = _stem(who)
    found = deps.entries.under(Kind.OWN_VIEW, stem)[:LISTED]
    views = [View(entry.key.removeprefix(stem), _kept(entry.texts.get("query", "")), who.name) for entry in found]
    return sorted(views, key=lambda view: view.name.casefold())


@router.post("/views")
async def save(request: Request, deps: Annotated[Deps, Depends(get_deps)]) -> Response:
    """Save a view for all, in place of the one of the same name; then show it."""
    name, query = _named(await _fields(request))
    by = actor(request, "page")
    entry = Entry(Kind.VIEW, name, deps.clock.now(), {"query": query, "who": by.who[:NAME]})
    await _do(request, deps, "save view", {"name": name, "query": query}, lambda: deps.entries.put(entry))
    return _back(deps, query)


@router.post("/views/delete")
async def delete(request: Request, deps: Annotated[Deps, Depends(get_deps)]) -> Response:
    """Forget a shared view; back to where the form was sent from."""
    fields = await _fields(request)
    name = fields.get("name", "")
    if not name:
        raise HTTPException(400, "Name the view that is to go.")
    await _do(request, deps, "delete view", {"name": name}, lambda: deps.entries.drop(Kind.VIEW, name))
    return _back(deps, _kept(fields.get("query", "")))


@router.post("/views/own")
async def save_own(request: Request, deps: Annotated[Deps, Depends(get_deps)]) -> Response:
    """Save a view for oneself, whatever one's role, in place of the one of the same name; then show it."""
    who = _somebody(request, deps)
    name, query = _named(await form(request, FORM))
    entry = Entry(Kind.OWN_VIEW, _stem(who) + name, deps.clock.now(), {"query": query})

    def put() -> None:
        names = {view.name for view in own_views(deps, who)}
        if len(names) >= LISTED and name not in names:
            raise HTTPException(400, f"You have {LISTED} views, as many as are kept: delete one first.")
        deps.entries.put(entry)

    await to_thread.run_sync(put)
    return _back(deps, query)


@router.post("/views/own/delete")
async def delete_own(request: Request, deps: Annotated[Deps, Depends(get_deps)]) -> Response:
    """Forget a view of one's own; back to where the form was sent from."""
    who, fields = _somebody(request, deps), await form(request, FORM)
    name = fields.get("name", "")
    if not name:
        raise HTTPException(400, "Name the view that is to go.")
    await to_thread.run_sync(deps.entries.drop, Kind.OWN_VIEW, _stem(who) + name)
    return _back(deps, _kept(fields.get("query", "")))


def _somebody(request: Request, deps: Deps) -> Identity:
    who = identity_of(request)
    if not keeps_own(deps, who):
        raise HTTPException(400, "Nobody is signed in whose view this could be: keep it in the browser, or for all.")
    return who


def _stem(who: Identity) -> str:
    """What the keys of somebody's views begin with: of one length, so that no name is the beginning of another's."""
    return sha256(who.name.encode(errors="surrogatepass")).hexdigest()[:32] + "/"


def _named(fields: Mapping[str, str]) -> tuple[str, str]:
    """Name and query of the view that a form asks for; 400 says what is wrong."""
    name, query = fields.get("name", "")[:NAME], _kept(fields.get("query", ""))
    if not name:
        raise HTTPException(400, "A view needs a name.")
    if len(query) > QUERY:
        raise HTTPException(400, f"The search is too long for a view: {QUERY:,} characters at most.")
    return name, query


async def _fields(request: Request) -> dict[str, str]:
    actions: Actions = request.app.state.actions
    actions.allow()
    return await form(request, FORM)


async def _do(request: Request, deps: Deps, what: str, arguments: dict[str, str], work: Callable[[], None]) -> None:
    actions: Actions = request.app.state.actions
    by = actor(request, "page")
    action = Action(deps.clock.now(), by.who, by.origin, what, by.via, arguments)

    def told() -> tuple[None, list[Told]]:
        work()
        return None, [Told("", "ok", "")]

    await to_thread.run_sync(lambda: actions.recorded(action, told))


def _kept(query: str) -> str:
    """Of an address, what a view keeps: never another page, nor a place in a list."""
    given = dict(parse_qsl(query.removeprefix("?")))
    return urlencode({name: given[name] for name in PARTS if given.get(name)})


def _back(deps: Deps, query: str) -> Response:
    return RedirectResponse(f"{deps.settings.url_prefix}/tasks{f'?{query}' if query else ''}", 303)
