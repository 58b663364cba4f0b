"""Signing in and out: by a form, or at a provider of identity and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar
from urllib.parse import urlsplit

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from umbel.access.base import SignInError
from umbel.access.identity import Claims, Identity, Via
from umbel.web.attempts import origin
from umbel.web.cookies import PENDING as PENDING_COOKIE
from umbel.web.cookies import SESSION, drop, read, write
from umbel.web.deps import get_deps, identity_of
from umbel.web.forms import form
from umbel.web.gate import WRONG, address
from umbel.web.login import PENDING, Login
from umbel.web.render import page
from umbel.web.turns import Turns

router = APIRouter()

T = TypeVar("T")

#: Characters of an address to go to after signing in.
THEN: Final = 2_000


@dataclass(frozen=True, slots=True)
class Context:
    """What `login.html` shows."""

    #: Where to go afterwards: a path of ours.
    then: str
    #: Whether there are passwords, and the name of the provider; "" for none.
    passwords: bool
    provider: str
    user: str
    problem: str


@dataclass(frozen=True, slots=True)
class Leaving:
    """What `logout.html` shows."""

    identity: Identity


@router.get("/login", response_class=HTMLResponse)
async def show(request: Request) -> Response:
    """The form; with `begin=1` the way to the provider; with its answer, the way in."""
    asked = dict(request.query_params)
    if "state" in asked and ("code" in asked or "error" in asked):
        return await _arrive(request, asked)
    then = local(asked.get("next", ""))
    if "begin" in asked:
        return await _depart(request, then)
    if identity_of(request).name and get_deps(request).login is not None:
        return RedirectResponse(_home(request) + then, 303)
    return await _form(request, then)


@router.post("/login", response_class=HTMLResponse)
async def sign_in(request: Request) -> Response:
    """Sign in by name and password."""
    fields = await form(request, strip=False)
    login, then, user = _login(request), local(fields.get("next", "")), fields.get("user", "").strip()
    attempts, key = login.attempts, origin(address(request))
    left = attempts.quick(key) or await _run(request, lambda: attempts.wait(key))
    if left:
        wait = math.ceil(left)
        words = f"Too many failed sign-ins from your address. Try again in {wait} seconds."
        return await _form(request, then, user, words, status=429, headers={"Retry-After": str(wait)})
    who = await _run(request, lambda: login.by_password(user, fields.get("password", "")))
    if who is None:
        await _run(request, lambda: attempts.count(key))
        return await _form(request, then, user, WRONG, status=401)
    return await _enter(request, Claims(who.name, Via.PASSWORD), then)


@router.get("/logout", response_class=HTMLResponse)
async def leaving(request: Request) -> Response:
    """Ask; a link alone signs nobody out."""
    if get_deps(request).login is None or not identity_of(request).name:
        return RedirectResponse(_home(request) + "/", 303)
    return await _run(request, lambda: page(request, "logout", Leaving(identity_of(request))))


@router.post("/logout", response_class=HTMLResponse)
async def leave(request: Request) -> Response:
    """End this session; with `everywhere=yes` all sessions of the user."""
    fields = await form(request)
    login, who = _login(request), identity_of(request)
    if fields.get("everywhere") == "yes" and who.name and who.via is not Via.TOKEN:
        await _run(request, lambda: login.end_everywhere(who.name))
    await _run(request, lambda: login.end(read(request, SESSION)))
    answer = RedirectResponse(_home(request) + "/login", 303)
    drop(request, answer, SESSION)
    return answer


async def _depart(request: Request, then: str) -> Response:
    login = _login(request)
    # Each one takes a row of the vault for some minutes.
    attempts, key = login.attempts, f"begin {origin(address(request))}"
    if attempts.quick(key) or await _run(request, lambda: attempts.wait(key)):
        return await _form(request, then, "", "Too many sign-ins were begun. Try again in a moment.", status=429)
    await _run(request, lambda: attempts.count(key))
    redirect_uri = get_deps(request).settings.oauth2_redirect_uri or str(request.url.replace(query=""))
    try:
        url, secret = await _run(request, lambda: login.depart(redirect_uri, then))
    except SignInError as error:
        return await _form(request, then, "", str(error), status=503)
    answer = RedirectResponse(url, 303)
    write(request, answer, PENDING_COOKIE, secret, PENDING)
    return answer


async def _arrive(request: Request, parameters: Mapping[str, str]) -> Response:
    login, secret = _login(request), read(request, PENDING_COOKIE)
    try:
        claims, then = await _run(request, lambda: login.arrive(secret, parameters))
    except SignInError as error:
        answer: Response = await _form(request, "/", "", str(error), status=403)
    else:
        key = f"begin {origin(address(request))}"
        await _run(request, lambda: login.attempts.forget(key))
        answer = await _enter(request, claims, local(then))
    drop(request, answer, PENDING_COOKIE)
    return answer


async def _enter(request: Request, claims: Claims, then: str) -> Response:
    """Begin a new session in place of the browser's old one."""
    login = _login(request)
    browser, old = request.headers.get("user-agent", ""), read(request, SESSION)
    secret = await _run(request, lambda: login.begin(claims, address(request), browser))
    if secret is None:
        words = f"{claims.name[:200]} has no role here. Whoever runs this Umbel can give you one (--roles)."
        return await _form(request, then, "", words, status=403)
    await _run(request, lambda: login.end(old))
    answer = RedirectResponse(_home(request) + then, 303)
    write(request, answer, SESSION, secret, get_deps(request).settings.session_lifetime)
    return answer


async def _form(
    request: Request,
    then: str,
    user: str = "",
    problem: str = "",
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> HTMLResponse:
    login = _login(request)
    provider = login.provider.title if login.provider else ""
    context = Context(then, login.passwords is not None, provider, user[:200], problem)
    answer = await _run(request, lambda: page(request, "login", context, status))
    answer.headers.update(headers or {})
    return answer


def local(place: str) -> str:
    """A path of ours to go to; `/` for anything that leads elsewhere."""
    ours = place.startswith("/") and not place.startswith(("//", "/\\", "/login", "/logout"))
    if not ours or len(place) > THEN or not place.isprintable() or "\\" in place:
        return "/"
    parts = urlsplit(place)
    return "/" if parts.scheme or parts.netloc else place


def _login(request: Request) -> Login:
    login = get_deps(request).login
    if login is None:
        raise HTTPException(404, "Nobody has to sign in to this Umbel.")
    return login


def _home(request: Request) -> str:
    return str(request.scope.get("root_path", ""))


async def _run(request: Request, work: Callable[[], T]) -> T:
    turns: Turns = request.scope["umbel.turns"]
    return await turns.run(work)
