"""Access: who one is here, one's sessions, and for admins everybody's, and the API tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from anyio import to_thread
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from umbel.access.base import Credential
from umbel.access.identity import Identity, Role, role_of
from umbel.control.audit import Action, Told
from umbel.web.actions import Actions, actor
from umbel.web.deps import get_deps, identity_of
from umbel.web.forms import form
from umbel.web.login import Login
from umbel.web.render import page

router = APIRouter()

#: Days that a token lasts unless told otherwise.
DAYS: Final = 90

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Context:
    """What the template shows."""

    #: Whether one signs in here at all.
    kept: bool
    identity: Identity
    #: Sessions: an admin's page has everybody's.
    sessions: Sequence[Credential]
    #: None for those who may not see them.
    tokens: Sequence[Credential] | None
    roles: Sequence[str]
    days: int
    #: The token that was just made, shown this once.
    fresh: str
    problem: str


@router.get("/access", response_class=HTMLResponse)
def show(request: Request) -> HTMLResponse:
    """The page."""
    return _page(request)


@router.post("/access/tokens", response_class=HTMLResponse)
async def issue(request: Request) -> HTMLResponse:
    """Make a token, and show it."""
    fields = await _fields(request)
    role = role_of(fields.get("role", "")) or Role.VIEWER
    login, label = _login(request), fields.get("label", "")
    try:
        days = float(fields.get("days", DAYS))
    except ValueError:
        days = 0.0

    def work() -> str:
        return login.issue(label, role, days, identity_of(request).name)

    try:
        arguments = {"label": label, "role": role.word, "days": days}
        token = await _recorded(request, "create_token", arguments, work)
    except ValueError as error:
        problem = f"No token was made: {error}."
        return await to_thread.run_sync(lambda: _page(request, problem=problem, status=400))
    return await to_thread.run_sync(lambda: _page(request, fresh=token))


@router.post("/access/tokens/revoke", response_class=HTMLResponse)
async def revoke(request: Request) -> Response:
    """End a token."""
    number, login = (await _fields(request)).get("token", ""), _login(request)
    found = await _recorded(request, "revoke_token", {"token": number[:12]}, lambda: login.revoke(number))
    if found is None:
        raise HTTPException(404, "There is no such token: it has been revoked already.")
    return _back(request)


@router.post("/access/sessions/end", response_class=HTMLResponse)
async def end(request: Request) -> Response:
    """End a session: one of one's own, or, for an admin, anybody's."""
    number, login, who = (await _fields(request)).get("session", ""), _login(request), identity_of(request)
    owner = None if who.role is Role.ADMIN else who.name
    await to_thread.run_sync(lambda: login.end_session(number, owner))
    return _back(request)


def _page(request: Request, *, fresh: str = "", problem: str = "", status: int = 200) -> HTMLResponse:
    login, who = get_deps(request).login, identity_of(request)
    admin = who.role is Role.ADMIN
    context = Context(
        kept=login is not None,
        identity=who,
        sessions=login.sessions(None if admin else who.name) if login else (),
        tokens=login.tokens() if login and admin else None,
        roles=[role.word for role in Role],
        days=DAYS,
        fresh=fresh,
        problem=problem,
    )
    return page(request, "access", context, status)


async def _fields(request: Request) -> Mapping[str, str]:
    return await form(request)


def _login(request: Request) -> Login:
    login = get_deps(request).login
    if login is None:
        raise HTTPException(404, "Nobody has to sign in to this Umbel, so it has no tokens.")
    return login


async def _recorded(request: Request, what: str, arguments: Mapping[str, object], work: Callable[[], T]) -> T:
    """Do the work between the two entries of the audit trail, which never hold the token itself."""
    actions: Actions = request.app.state.actions
    by = actor(request, "page")
    action = Action(get_deps(request).clock.now(), by.who, by.origin, what, by.via, arguments)
    return await actions.turns.run(lambda: actions.recorded(action, lambda: (work(), [Told("", "ok", "")])))


def _back(request: Request) -> Response:
    return RedirectResponse(f"{request.scope.get('root_path', '')}/access", 303)
